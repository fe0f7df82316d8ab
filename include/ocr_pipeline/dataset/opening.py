"""From the settings to a dataset: its files as one table, and the column with the links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ocr_pipeline.dataset.column_types import as_type, holds_all, is_surely_wider, widest
from ocr_pipeline.dataset.image_column import find_image_column, listed
from ocr_pipeline.dataset.locations import Found, find_local, is_local, unknown_place
from ocr_pipeline.dataset.queries import RunQuery, find_query, is_query
from ocr_pipeline.dataset.rejections import Rejections
from ocr_pipeline.dataset.remote import find_objects, find_web, is_object, is_web
from ocr_pipeline.dataset.table import Table
from ocr_pipeline.dataset.tables import LINK, LinksTable, open_table
from ocr_pipeline.errors import DatasetError, ImageError
from ocr_pipeline.fetch import parse_url
from ocr_pipeline.records import READ_ROW, RESULT_COLUMNS, ROW
from ocr_pipeline.settings.addresses import shown_address, shown_dataset, shown_text, shown_value, split_entries
from ocr_pipeline.settings.deployment import Allowances, ObjectUri
from ocr_pipeline.settings.run import RunSettings

_ROWS = 64 * 1024
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
                with _naming(table.name):
                    for batch in table.batches(self.rejections):
                        if left is not None:
                            batch = batch.slice(0, left)
                            left -= batch.num_rows
                        if batch.num_rows:
                            yield self._in_shape(batch)
                        if left == 0:
                            return

    def _in_shape(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """``batch`` in the order, names and types that all files have in common."""
        theirs = {new: old for old, new in self.renamed.items()}
        columns = []
        for field in self.schema:
            column = batch.column(theirs.get(field.name, field.name))
            columns.append(column if column.type == field.type else as_type(column, field.type))
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
    with _naming(name):
        image_column = find_image_column(name, tables, schema, settings.image_column)
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
        with _naming(file.name):
            table = open_table(file, settings, scratch)
        yield table


def _common_schema(tables: tuple[Table, ...]) -> pa.Schema:
    """The columns that all ``tables`` have, in the order of the first."""
    first = tables[0]
    for table in tables:
        _check_names(table.name, table.schema.names)
    for other in tables[1:]:
        lacking = [name for name in first.schema.names if name not in other.schema.names]
        more = [name for name in other.schema.names if name not in first.schema.names]
        if lacking or more:
            differences = [f"lacks {listed(lacking)}"] if lacking else []
            differences += [f"has {listed(more)} besides"] if more else []
            raise DatasetError(
                f"dataset: {other.name} {' and '.join(differences)}, compared with {first.name}; "
                "all files of a dataset must have the same columns"
            )
    common = widest([table.schema for table in tables])
    return pa.schema([field.with_type(_common_type(field, tables)) for field in common])


def _common_type(field: pa.Field, tables: tuple[Table, ...]) -> pa.DataType:
    """The type of ``field``, if it holds all values that ``tables`` have there as they are; or else text."""
    if pa.types.is_null(field.type):
        return pa.string()
    for table in tables:
        if not is_surely_wider(field.type, table.schema.field(field.name).type):
            with _naming(table.name):
                columns = (batch.column(0) for batch in table.some_columns([field.name], _ROWS))
                if not holds_all(field.type, columns):
                    return pa.string()
    return field.type


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


@contextmanager
def _naming(dataset: str) -> Iterator[None]:
    """Say of which file it is that a library cannot read it, in the first line of what it says.

    :raises DatasetError: without the library's error, which may quote a row.
    """
    try:
        yield
    except (pa.ArrowException, OSError, EOFError) as error:
        lines = str(error).splitlines()
        raise DatasetError(f"dataset {dataset}: {shown_text(lines[0]) if lines else type(error).__name__}") from None
