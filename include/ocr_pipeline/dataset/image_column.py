"""The column that links to the images: the one that was named, or the one that its name or its values give away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from ocr_pipeline.dataset.column_types import holds_bytes, holds_text
from ocr_pipeline.dataset.links import holds_links, is_link, plain_name, usual_columns
from ocr_pipeline.dataset.table import Table
from ocr_pipeline.dataset.text import is_utf8
from ocr_pipeline.errors import DatasetError
from ocr_pipeline.fetch import is_missing
from ocr_pipeline.settings.addresses import shown_text, shown_value

_TEXTS = 100
_BYTES = 10
"""How many rows at the beginning of a dataset are looked at: fewer where values may be whole images."""


def find_image_column(dataset: str, tables: Sequence[Table], schema: pa.Schema, wanted: str | None) -> str:
    """The name of the column with the links.

    :param dataset: its name for people.
    :param schema: the columns that all ``tables`` have.
    :param wanted: the column that was named, if one was.
    :raises DatasetError: when there is none, when it is not clear which it is, or when it holds something else.
    :raises OSError: when the first rows cannot be read.
    :raises pa.ArrowException: likewise.
    """
    if wanted and wanted not in schema.names:
        alike = [name for name in schema.names if plain_name(name) == plain_name(wanted)]
        meant = f"did you mean {shown_text(alike[0])}?" if len(alike) == 1 else f"it has {listed(schema.names)}"
        raise DatasetError(f"dataset {dataset} has no column {wanted!r}; {meant}")
    name = wanted or _guess(dataset, tables, schema)
    kind = schema.field(name).type
    if any(name in table.repeated for table in tables):
        raise DatasetError(
            f"dataset {dataset}: several columns are named {shown_value(name)}, so it is not clear which has the "
            "links; rename all but one"
        )
    if not holds_text(kind):
        raise DatasetError(
            f"dataset {dataset}: column {shown_value(name)} holds {kind}, not links; "
            f"{_instead(schema, name)}{_hint(schema)}"
        )
    if holds_bytes(kind) and not _has_text(_first_values(tables, [name], _BYTES)[name]):
        raise DatasetError(
            f"dataset {dataset}: column {shown_value(name)} holds bytes that are no text, perhaps the images "
            f"themselves, not links to them; {_instead(schema, name)}"
        )
    return name


def listed(names: Iterable[str]) -> str:
    """Names of columns for a message: where a file has no header, they are its first row, with a link in it."""
    return ", ".join(map(shown_text, names))


def _guess(dataset: str, tables: Sequence[Table], schema: pa.Schema) -> str:
    names: list[str] = schema.names
    texts = [name for name in names if holds_text(schema.field(name).type) and not holds_bytes(schema.field(name).type)]
    values: dict[str, list[str | None]] | None = None
    unlikely: list[str] = []
    for found, sure in usual_columns(names):
        found = [name for name in found if holds_text(schema.field(name).type)]
        if not sure and found:
            values = values or _first_values(tables, texts, _TEXTS)
            unlikely += [name for name in found if not _may_be_links(values.get(name, []))]
            found = [name for name in found if name not in unlikely]
        if len(found) > 1:
            raise _several(dataset, found, names)
        if found:
            return found[0]
    if any(map(is_link, names)):
        raise DatasetError(
            f"dataset {dataset}: its first line names no columns but is a row, {listed(names)}; put a line with their "
            "names above it, or set format to list if all of each line is a link"
        )
    values = values or _first_values(tables, texts, _TEXTS)
    found = [name for name in texts if holds_links(values[name])]
    if len(found) > 1:
        raise _several(dataset, found, names)
    usual = [name for columns, _ in usual_columns(names) for name in columns]
    if found or usual:
        return [*found, *unlikely, *usual][0]
    raise DatasetError(
        f"dataset {dataset}: no column has a usual name for image links, and none has links alone; name it with "
        f"image_column. The columns are {listed(names)}{_hint(schema)}"
    )


def _instead(schema: pa.Schema, name: str) -> str:
    """What to do where column ``name`` holds no links."""
    texts = [field.name for field in schema if holds_text(field.type) and field.name != name]
    kind = schema.field(name).type
    if (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and holds_text(kind.value_type):
        return "write a row for each link" + (f", or set image_column to one of {listed(texts)}" if texts else "")
    if texts:
        return f"set image_column to one that holds text: {listed(texts)}"
    return "the dataset needs a column of text, with one link a row"


def _hint(schema: pa.Schema) -> str:
    """What to do where the rows are in a list in one row."""
    nested = [f.name for f in schema if pa.types.is_list(f.type) and pa.types.is_struct(f.type.value_type)]
    return f"; if the rows are in {nested[0]}, write them out, such as with jq '.{nested[0]}'" if nested else ""


def _several(dataset: str, found: list[str], names: list[str]) -> DatasetError:
    return DatasetError(
        f"dataset {dataset}: several columns may hold the links ({listed(found)}); name it with image_column. "
        f"The columns are {listed(names)}"
    )


def _first_values(tables: Sequence[Table], names: list[str], rows: int) -> dict[str, list[str | None]]:
    """The first values of each of the columns ``names``, of a few rows."""
    for table in tables:
        batch = next(table.some_columns(names, rows), None) if names else None
        if batch is not None:
            return {name: batch.column(name).to_pylist() for name in names}
    return {name: [] for name in names}


def _may_be_links(values: Iterable[str | None]) -> bool:
    texts = [text for text in values if text and not is_missing(text)]
    return not texts or any(is_link(text) or "/" in text for text in texts)


def _has_text(values: Iterable[bytes | str | None]) -> bool:
    """Whether a value is text, or there is none."""
    found = [value for value in values if value]
    return not found or any(isinstance(value, str) or is_utf8(value) for value in found)
