"""The types of columns: what they hold, which of them holds the values of others, and turning one into another."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet

from ocr_pipeline.records import json_text


def holds_text(kind: pa.DataType) -> bool:
    """Whether values of this type are text, or bytes that may be."""
    kind = _values(kind)
    return holds_bytes(kind) or bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether values of this type are bytes."""
    kind = _values(kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def widest(schemas: list[pa.Schema]) -> pa.Schema:
    """The columns of all ``schemas``, each in a type that holds its values of all; text where there is no other."""
    try:
        return pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException:
        types: dict[str, pa.DataType] = {}
        for field in (field for schema in schemas for field in schema):
            try:
                alone = [pa.schema([(field.name, kind)]) for kind in (types.get(field.name, field.type), field.type)]
                types[field.name] = pa.unify_schemas(alone, promote_options="permissive").field(0).type
            except pa.ArrowException:
                types[field.name] = pa.string()
        return pa.schema(types.items())


def is_surely_wider(wide: pa.DataType, kind: pa.DataType) -> bool:
    """Whether ``wide``, found by :func:`widest`, holds all values that a column of type ``kind`` may have."""
    if wide == kind or pa.types.is_string(wide) or pa.types.is_null(kind):
        return True
    if pa.types.is_integer(wide):
        return bool(pa.types.is_integer(kind) and (not pa.types.is_uint64(kind) or pa.types.is_uint64(wide)))
    return bool(pa.types.is_floating(wide) and pa.types.is_floating(kind))


def holds_all(kind: pa.DataType, columns: Iterable[pa.Array]) -> bool:
    """Whether ``kind`` holds all values of ``columns`` as they are."""
    try:
        for column in columns:
            column.cast(kind)
    except pa.ArrowException:
        return False
    return True


def can_be_kept(kind: pa.DataType) -> bool:
    """Whether the files of a run can hold columns of this type, which the deepest and the emptiest they cannot."""
    if not pa.types.is_nested(kind):
        return True
    empty = pa.RecordBatch.from_arrays([pa.array([], kind)], names=["column"])
    stream, file = pa.BufferOutputStream(), pa.BufferOutputStream()
    try:
        with pa.ipc.new_stream(stream, empty.schema) as writer:
            writer.write_batch(empty)
        pa.parquet.write_table(pa.Table.from_batches([empty]), file)
        pa.parquet.read_schema(pa.BufferReader(file.getvalue()))
    except (pa.ArrowException, OSError):
        return False
    return True


def as_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """``column`` in another type: as text, lists and objects are JSON, and what is no UTF-8 shows as ``\\xff``.

    :raises pa.ArrowException: when that does not hold its values.
    """
    try:
        return column.cast(kind)
    except pa.ArrowException:
        if not pa.types.is_string(kind):
            raise
        return pa.array(map(_as_text, column.to_pylist()), kind)


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return json_text(value, _as_text) if isinstance(value, (list, dict)) else str(value)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """``kind`` without what only saves memory, and what few functions of Arrow can handle: views."""
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_list(kind):
        return pa.list_(_plain_field(kind.value_field))
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain_field(kind.value_field))
    if pa.types.is_struct(kind):
        return pa.struct([_plain_field(field) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_plain_field(kind.key_field), _plain_field(kind.item_field), kind.keys_sorted)
    return kind


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(plain_type(field.type))


def _values(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
