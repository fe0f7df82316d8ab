"""JSON files as tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from ocr_pipeline.dataset.column_types import can_be_kept
from ocr_pipeline.dataset.files import DataFile
from ocr_pipeline.dataset.json_records import JsonPiece, json_pieces
from ocr_pipeline.dataset.rejections import Rejections
from ocr_pipeline.dataset.table import Table
from ocr_pipeline.dataset.text import Reject, is_utf8, utf8_blocks
from ocr_pipeline.errors import DatasetError
from ocr_pipeline.records import json_text

_EXACT = 1 << 53
"""Up to here, either side of zero, floating point numbers hold every integer."""

_LONG = pa.uint64()
"""While types are gathered: integers of 64 bits, of which some are beyond that."""

_DIGITS = bytes(ord("0") if octet in b"0123456789" else ord(" ") for octet in range(256))
_LONG_INTEGER = re.compile(rb"[:,\[\s]-?\d{16}")
_DECODER = json.JSONDecoder()
_WHITE = " \t\r\n"
_NULL_FIRST = re.compile(rb"[ \t\r\n]*+null")
_NULL_AFTER_OBJECT = re.compile(rb"\}[ \t\r\n]*+null")


class JsonTable(Table):
    """A file with JSON objects, a line each or in an array. Keys are columns, absent ones null; texts stay texts.

    The file is read twice, as any object may bring a new key or another type. Numbers widen where that keeps them as
    they are; a column whose values have nothing in common becomes text, what is not text in it as JSON, and so does
    one of a type that no file of a run can hold. ``skip``: bad records are no error.
    """

    def __init__(self, file: DataFile, encoding: str, *, skip: bool) -> None:
        self.name = file.name
        self._text = partial(utf8_blocks, file, encoding)
        passed_over: list[str] = []

        def pass_over(line: int, reason: str, text: bytes) -> None:  # the reading itself will speak of it
            if not passed_over:
                passed_over.append(f"line {line:,}: {reason}")

        reject: Reject = pass_over if skip else partial(Rejections(None).reject, file.name)
        types: dict[str, pa.DataType] = {}
        for piece in json_pieces(self.name, self._text(), reject):
            for name, kind in self._types(piece, reject).items():
                wider = _wider(types.get(name, kind), kind)
                types[name] = pa.string() if wider is None else wider
        kept = {name: _without_marks(kind) for name, kind in types.items()}
        self.schema = pa.schema([(name, kind if can_be_kept(kind) else pa.string()) for name, kind in kept.items()])
        if not self.schema.names:
            why = "it is empty; it must hold JSON objects, such as one a line"
            raise DatasetError(
                f"dataset {self.name}: " + (f"it has no good row; {passed_over[0]}" if passed_over else why)
            )

    def batches(self, rejections: Rejections) -> Iterator[pa.RecordBatch]:
        """The objects."""
        reject = partial(rejections.reject, self.name)
        for piece in json_pieces(self.name, self._text(), reject):
            table = _read(piece, self.schema)
            if table is None:  # some record is bad, or a value is of another type
                rows = self._objects(piece, reject)
                columns = [_column([row.get(field.name) for row in rows], field.type) for field in self.schema]
                table = pa.Table.from_arrays(columns, schema=self.schema)
            yield from table.to_batches()

    def _types(self, piece: JsonPiece, reject: Reject) -> dict[str, pa.DataType]:
        """The types of the columns of ``piece``; those of integers are :data:`_LONG` where that may matter."""
        table = _read(piece, None)
        if table is not None and not _has_long_integers(piece.content):
            return {field.name: _type_of(field.type) for field in table.schema}
        # As floating point numbers, Arrow rounds integers. Otherwise they are looked at, but not in this table: where
        # it does not know the types before, lists that begin with null are broken.
        if table is not None and not any(map(_has_floats, table.schema.types)):
            table = _read(piece, table.schema)
            if table is not None:
                return {name: _type_of(table[name].type, table[name].combine_chunks()) for name in table.column_names}
        rows = self._objects(piece, reject)
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: _column([row.get(name) for row in rows], None) for name in names}
        return {name: _type_of(column.type, column) for name, column in columns.items()}

    def _objects(self, piece: JsonPiece, reject: Reject) -> list[dict[str, Any]]:
        rows = []
        for number, record in piece.records():
            try:
                values = _values(record.decode())
            except ValueError as error:
                reject(number, f"it is not JSON ({error})", record)
                continue
            for value in values:
                if isinstance(value, dict):
                    rows.append(_whole_characters(value) if b"\\u" in record else value)
                    continue
                what = "null, not a JSON object" if value is None else "not a JSON object"
                hint = "; if jq wrote it, a key in its path is missing" if value is None else ""
                reject(number, f'it is {what}; each row is one, such as {{"image_link": "…"}}{hint}', record)
        return rows


def _values(text: str) -> list[Any]:
    """The values that follow each other in ``text``: one a record, yet Arrow reads more.

    :raises ValueError: when it is not JSON.
    """
    values: list[Any] = []
    position = 0
    text = text.strip(_WHITE)
    while position < len(text):
        value, position = _DECODER.raw_decode(text, position)
        values.append(value)
        while text[position : position + 1] in _WHITE and position < len(text):
            position += 1
    return values


def _read(piece: JsonPiece, schema: pa.Schema | None) -> pa.Table | None:
    """The records of ``piece`` in the types of ``schema``, or in those that they have; None when they have others."""
    if not piece.content.strip() or not is_utf8(piece.content):
        return None
    if _has_null_record(piece.content):
        return None  # Arrow crashes on one that comes first, and takes a later one for an object without keys
    if schema is not None and any(map(_has_lists_of_nulls, schema.types)):
        return None  # Arrow would count their elements wrongly
    try:
        return pa.json.read_json(
            pa.py_buffer(piece.content),
            read_options=pa.json.ReadOptions(block_size=len(piece.content) + 1, use_threads=False),
            parse_options=pa.json.ParseOptions(explicit_schema=schema),
        )
    except pa.ArrowException:
        return None


def _has_null_record(content: bytes) -> bool:
    """Whether a record may be ``null``. Behind one that is neither that nor an object, Arrow reads no further."""
    return b"null" in content and bool(_NULL_FIRST.match(content) or _NULL_AFTER_OBJECT.search(content))


def _has_long_integers(content: bytes) -> bool:
    """Whether there may be integers in ``content`` that floating point numbers do not hold."""
    return b"0" * 16 in content.translate(_DIGITS) and _LONG_INTEGER.search(content) is not None


def _has_lists_of_nulls(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return bool(pa.types.is_null(kind.value_type)) or _has_lists_of_nulls(kind.value_type)
    return bool(pa.types.is_struct(kind)) and any(_has_lists_of_nulls(field.type) for field in kind)


def _has_floats(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _has_floats(kind.value_type)
    if pa.types.is_struct(kind):
        return any(_has_floats(field.type) for field in kind)
    return bool(pa.types.is_floating(kind))


def _type_of(kind: pa.DataType, values: pa.Array | None = None) -> pa.DataType:
    """``kind`` with text where Arrow takes it for a time, and :data:`_LONG` where ``values`` have such integers."""
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_integer(kind) and values is not None:
        bounds = pc.min_max(values).as_py()
        return _LONG if max(bounds["max"] or 0, -(bounds["min"] or 0)) > _EXACT else kind
    if pa.types.is_list(kind):
        return pa.list_(_type_of(kind.value_type, None if values is None else values.flatten()))
    if pa.types.is_struct(kind):
        parts = [None if values is None else values.field(place) for place in range(kind.num_fields)]
        return pa.struct([(field.name, _type_of(field.type, part)) for field, part in zip(kind, parts, strict=True)])
    return kind


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both as they are; None when only text does.

    A type is never asked whether it is true: that of objects without keys is not.
    """
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if pa.types.is_list(one) and pa.types.is_list(other):
        values = _wider(one.value_type, other.value_type)
        return None if values is None else pa.list_(values)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        types: dict[str, pa.DataType | None] = {field.name: field.type for field in one}
        for field in other:
            types[field.name] = _wider(types.get(field.name, field.type), field.type)
        return None if any(kind is None for kind in types.values()) else pa.struct(types.items())
    kinds = {one, other}
    if kinds == {pa.int64(), _LONG}:
        return _LONG
    return pa.float64() if kinds == {pa.int64(), pa.float64()} else None


def _without_marks(kind: pa.DataType) -> pa.DataType:
    """``kind`` without :data:`_LONG`."""
    if pa.types.is_list(kind):
        return pa.list_(_without_marks(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _without_marks(field.type)) for field in kind])
    return pa.int64() if kind == _LONG else kind


def _whole_characters(value: Any) -> Any:
    """``value`` with a replacement for each half of a surrogate pair, which is no text."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    return value


def _column(values: list[Any], kind: pa.DataType | None) -> pa.Array:
    if kind is None or not pa.types.is_string(kind):
        try:
            return pa.array(values, kind)
        except (pa.ArrowException, OverflowError):
            if kind is not None:
                raise
    texts = (v if v is None or isinstance(v, str) else json_text(v) for v in values)
    return pa.array(texts, pa.string())
