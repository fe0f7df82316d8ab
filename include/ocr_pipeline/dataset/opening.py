"""From the settings to a dataset: its files as one table, and the column with the links."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ocr_pipeline.dataset.locations import Found, find_local, is_image, is_local, unknown_place
from ocr_pipeline.dataset.queries import RunQuery, find_query, is_query
from ocr_pipeline.dataset.rejections import Rejections
from ocr_pipeline.dataset.remote import find_objects, find_web, is_object, is_web
from ocr_pipeline.dataset.tables import LINK, LinksTable, Table, open_table, widest
from ocr_pipeline.errors import DatasetError, ImageError
from ocr_pipeline.fetch import parse_url
from ocr_pipeline.records import READ_ROW, RESULT_COLUMNS, ROW
from ocr_pipeline.settings.addresses import shown_address, shown_dataset, shown_text, shown_value, split_entries
from ocr_pipeline.settings.deployment import Allowances, ObjectUri
from ocr_pipeline.settings.run import RunSettings

USUAL_IMAGE_COLUMNS = (
    *(f"{what}_{how}" for how in ("link", "url", "uri", "src", "path", "file") for what in ("image", "img")),
    *(f"{what}_{how}" for how in ("link", "url", "uri", "src", "path") for what in ("photo", "picture", "pic")),
    *("image", "images", "img", "photo", "picture", "scan", "thumbnail_url", "media_url", "document_url", "file_url"),
    *("url", "link", "href", "uri", "src", "path", "file_path", "file", "file_name", "thumbnail"),
)
"""Column names taken to hold the links when none is named, the surest first; see :func:`_plain`."""

_LOOKED_AT = 100
_LINK_TEXT = re.compile(r"\s*(?:https?|s3|gs|file)://", re.IGNORECASE)

_OURS = {column.name for column in RESULT_COLUMNS} | {ROW, READ_ROW}
_RENAMED = "dataset_"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset that was found to be readable.

    ``base`` is where relative links start: a folder, a URL, or empty when there is nowhere. ``renamed`` are the
    columns whose names the results need, by their names in the dataset. ``rejections`` counts the rows left out.
    """

    tables: tuple[Table, ...]
    schema: pa.Schema
    image_column: str
    base: str
    renamed: dict[str, str]
    rejections: Rejections

    def record_batches(self, limit: int | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in order, at most ``limit`` of them.

        :raises DatasetError: when a file, or a row and bad rows are not skipped, cannot be read, saying which.
        """
        left = limit
        with self.rejections:
            for table in self.tables:
                try:
                    for batch in table.batches(self.rejections):
                        if left is not None:
                            batch = batch.slice(0, left)
                            left -= batch.num_rows
                        if batch.num_rows:
                            yield self._in_shape(batch)
                        if left == 0:
                            return
                except (pa.ArrowException, OSError, EOFError) as error:
                    raise DatasetError(f"dataset {table.name}: {_first_line(error)}") from None

    def _in_shape(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """``batch`` in the order, names and types that all files have in common."""
        theirs = {new: old for old, new in self.renamed.items()}
        columns = []
        for field in self.schema:
            column = batch.column(theirs.get(field.name, field.name))
            columns.append(column if column.type == field.type else _cast(column, field.type))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def open_dataset(
    settings: RunSettings, allowances: Allowances, scratch: Path, run_query: RunQuery | None = None
) -> Dataset:
    """Find the dataset that ``settings`` name and the column with its links.

    :param scratch: folder for copies and for the notes on rows that cannot be read; it must outlive the dataset.
    :param run_query: runs the query of a dataset that is one.
    :raises DatasetMissingError: when it is not there.
    :raises DatasetUnavailableError: when it cannot be had now.
    :raises StorageError: when an object store cannot be asked now.
    :raises DatasetError: when it is not allowed, not of a known format, or has no such column.
    """
    entries = split_entries(settings.dataset)
    found = [_find(entry, settings, allowances, scratch, run_query) for entry in entries]
    tables = tuple(table for place in found for table in _tables(place, settings, scratch))
    schema = _common_schema(tables)
    name = tables[0].name if len(tables) == 1 else shown_dataset(settings.dataset)
    image_column = _find_image_column(name, tables, schema, settings.image_column)
    place = schema.get_field_index(image_column)
    schema = schema.set(place, schema.field(place).with_type(pa.string()))
    renamed = _renamed(schema.names)
    return Dataset(
        tables,
        pa.schema([field.with_name(renamed.get(field.name, field.name)) for field in schema]),
        renamed.get(image_column, image_column),
        _common_base([place.base for place in found]),
        renamed,
        Rejections(scratch / "rejected.csv" if settings.bad_rows == "skip" else None),
    )


def check_places(dataset: str) -> None:
    """Check the form of the places that the setting names, without looking for what is there.

    :raises DatasetError: when one is of no known kind, or not of its kind's form.
    """
    for entry in split_entries(dataset):
        try:
            if is_web(entry):
                parse_url(entry)
            elif is_object(entry):
                ObjectUri.parse(entry)
            elif not is_local(entry) and not is_query(entry):
                raise unknown_place(entry)
        except (ValueError, ImageError) as error:
            raise DatasetError(f"dataset {shown_address(entry)}: {error}") from None


def _find(
    entry: str, settings: RunSettings, allowances: Allowances, scratch: Path, run_query: RunQuery | None
) -> Found:
    if is_local(entry):
        return find_local(entry, allowances)
    if is_web(entry):
        return find_web(entry, settings, allowances, scratch)
    if is_object(entry):
        return find_objects(entry, allowances, scratch)
    if is_query(entry):
        return find_query(entry, settings.query, allowances, scratch, run_query)
    raise unknown_place(entry)


def _common_base(bases: list[str]) -> str:
    """Where relative links of all places start."""
    if len(set(bases)) == 1:
        return bases[0]
    if all(base.startswith("/") for base in bases):
        return os.path.commonpath(bases)
    return ""


def _tables(found: Found, settings: RunSettings, scratch: Path) -> Iterator[Table]:
    if found.images is not None:
        yield LinksTable(found.base, found.images, settings.image_column or LINK)
    for file in found.files:
        try:
            yield open_table(file, settings, scratch)
        except (pa.ArrowException, OSError, EOFError) as error:
            raise DatasetError(f"dataset {file.name}: {_first_line(error)}") from None


def _common_schema(tables: tuple[Table, ...]) -> pa.Schema:
    """The columns that all ``tables`` have, in the order of the first."""
    first = tables[0]
    for table in tables:
        _check_names(table.name, table.schema.names)
    for other in tables[1:]:
        lacking = [name for name in first.schema.names if name not in other.schema.names]
        more = [name for name in other.schema.names if name not in first.schema.names]
        if lacking or more:
            differences = [f"lacks {_listed(lacking)}"] if lacking else []
            differences += [f"has {_listed(more)} besides"] if more else []
            raise DatasetError(
                f"dataset: {other.name} {' and '.join(differences)}, compared with {first.name}; "
                "all files of a dataset must have the same columns"
            )
    common = widest([table.schema for table in tables])
    return pa.schema([field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in common])


def _check_names(dataset: str, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DatasetError(
            f"dataset {dataset}: several columns are named {', '.join(map(shown_value, repeated))}; rename all but one"
        )


def _renamed(names: list[str]) -> dict[str, str]:
    """New names for the columns whose names the results need for their own."""
    renamed = {}
    for name in _OURS.intersection(names):
        new = _RENAMED + name
        while new in names:
            new = _RENAMED + new
        renamed[name] = new
    return dict(sorted(renamed.items()))


def _find_image_column(dataset: str, tables: tuple[Table, ...], schema: pa.Schema, wanted: str | None) -> str:
    columns = _listed(schema.names)
    if wanted and wanted not in schema.names:
        alike = [name for name in schema.names if _plain(name) == _plain(wanted)]
        meant = f"; did you mean {shown_text(alike[0])}?" if len(alike) == 1 else f"; it has {columns}"
        raise DatasetError(f"dataset {dataset} has no column {wanted!r}{meant}")
    name = wanted or _usual_column(schema) or _column_of_links(dataset, tables, schema)
    if any(name in table.repeated for table in tables):
        raise DatasetError(
            f"dataset {dataset}: several columns are named {shown_value(name)}, so it is not clear which has the "
            "links; rename all but one"
        )
    kind = schema.field(name).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not (_is_text(kind) or pa.types.is_null(kind)):
        raise DatasetError(
            f"dataset {dataset}: column {shown_value(name)} holds {kind}, not links; "
            f"set image_column to one of {columns}"
        )
    return name


def _usual_column(schema: pa.Schema) -> str | None:
    by_name = {_plain(column): column for column in reversed(schema.names)}
    return next((by_name[plain] for usual in USUAL_IMAGE_COLUMNS if (plain := _plain(usual)) in by_name), None)


def _plain(name: str) -> str:
    """``name`` without what people write in different ways: ``imageUrl``, ``Image URL`` and ``image-url`` are one."""
    return "".join(character for character in name.lower() if character.isalnum())


def _column_of_links(dataset: str, tables: tuple[Table, ...], schema: pa.Schema) -> str:
    """The only column that holds links, by what its first rows say.

    :raises DatasetError: when there is none, or more than one.
    """
    try:
        first = next(tables[0].batches(Rejections(None))).slice(0, _LOOKED_AT)
    except (StopIteration, DatasetError, pa.ArrowException, OSError):
        first = None  # what is wrong with it is said when it is read
    found = [name for name in schema.names if first is not None and _holds_links(first.column(name))]
    if len(found) != 1:
        what = (
            f"several columns hold links ({_listed(found)})" if found else "no column has a usual name for image links"
        )
        raise DatasetError(
            f"dataset {dataset}: {what}; name it with image_column. The columns are {_listed(schema.names)}"
        )
    return str(found[0])


def _holds_links(column: pa.Array) -> bool:
    if not _is_text(column.type):
        return False
    texts = [text for text in _cast(column, pa.string()).to_pylist() if text and text.strip()]
    return bool(texts) and all(_LINK_TEXT.match(text) or is_image(text) for text in texts)


def _is_text(kind: pa.DataType) -> bool:
    return any(
        fits(kind)
        for fits in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
        )
    )


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """``column`` in another type; bytes that are no UTF-8 become text in which they show as such."""
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        if not pa.types.is_string(kind):
            raise
        values = (v.decode(errors="replace") if isinstance(v, bytes) else v for v in column.to_pylist())
        return pa.array(values, kind)


def _first_line(error: BaseException) -> str:
    """What a library says first; it may quote a row, so the error itself is not chained."""
    lines = str(error).splitlines()
    return shown_text(lines[0]) if lines else type(error).__name__


def _listed(names: Iterable[str]) -> str:
    """Names of columns for a message: where a file has no header, they are its first row, with a link in it."""
    return ", ".join(map(shown_text, names))
