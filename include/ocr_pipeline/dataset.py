"""Reading a dataset: a file of rows, one of whose columns links to images.

The rows are streamed as Arrow record batches; CSV values stay the text they are, Parquet values keep
their types.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ocr_pipeline.allowances import Allowances
from ocr_pipeline.errors import DatasetError, DatasetMissingError
from ocr_pipeline.records import RESULT_COLUMNS

USUAL_IMAGE_COLUMNS = (
    "image_link",
    "image_url",
    "image_uri",
    "image_path",
    "image",
    "url",
    "link",
    "uri",
    "path",
    "file",
    "filename",
    "file_name",
    "src",
    "img",
)
"""Column names taken to hold the links when none is named, the surest first."""

ROW = "ocr_row"
READ_ROW = "ocr_read_row"
"""Columns that the plan adds to the dataset's own: a row's number, and the row whose reading it shares."""

_FORMATS = {".csv": ",", ".tsv": "\t", ".parquet": None, ".pq": None}
_COMPRESSIONS = (".gz", ".zst", ".bz2")
_BLOCK_BYTES = 8 << 20
_PARQUET_ROWS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset that was found to be readable: where it is, its columns, and which one has the links."""

    path: Path
    schema: pa.Schema
    image_column: str

    @property
    def base(self) -> Path:
        """The folder that relative image paths start from."""
        return self.path.parent

    def record_batches(self, limit: int | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in order, at most ``limit`` of them.

        :raises DatasetError: at the first row that cannot be read, saying which.
        """
        left = limit
        try:
            for batch in _read(self.path, self.schema):
                if left is not None:
                    batch = batch.slice(0, left)
                    left -= batch.num_rows
                if batch.num_rows:
                    yield batch
                if left == 0:
                    return
        except (pa.ArrowException, OSError, EOFError) as error:
            raise DatasetError(f"{self.path}: {_first_line(error)}") from error


def open_dataset(uri: str, image_column: str | None, allowances: Allowances) -> Dataset:
    """Find the dataset at ``uri`` and the column with its links.

    :param uri: absolute path (or ``file://`` URL) of a ``.csv``, ``.tsv`` or ``.parquet`` file; the text
        formats may be compressed (``.csv.gz``, ``.tsv.zst``).
    :param image_column: name of the column; None to take one of :data:`USUAL_IMAGE_COLUMNS`.
    :raises DatasetMissingError: when it is not there.
    :raises DatasetError: when it is not allowed, not of a known format, or has no such column.
    """
    path = Path(os.path.realpath(os.path.expanduser(uri.removeprefix("file://"))))
    if not uri.startswith(("/", "~", "file:///")):
        raise DatasetError(f"dataset {uri!r} must be an absolute path to a CSV, TSV or Parquet file")
    if not allowances.allows_path(path):
        raise DatasetError(
            f"dataset {path} lies in a folder that is not allowed here: add {path.parent} to the Airflow "
            f"variable ocr_allow (with make run: ALLOW={path.parent})"
        )
    if not path.is_file():
        raise DatasetMissingError(f"dataset {path}: there is no such file")
    _format(path)
    try:
        schema = _schema(path)
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: {_first_line(error)}") from error
    _check_names(path, schema.names)
    return Dataset(path, schema, _find_image_column(path, schema, image_column))


def _format(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in _FORMATS:
        raise DatasetError(f"dataset {path}: its name must end in .csv, .tsv or .parquet to say what it is")
    return suffixes[-1]


def _schema(path: Path) -> pa.Schema:
    delimiter = _FORMATS[_format(path)]
    if delimiter is None:
        return pa.parquet.read_schema(path).remove_metadata()
    with pa.input_stream(str(path)) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as lines:
        header = next(csv.reader(lines, delimiter=delimiter, strict=True), None)
    if not header:
        raise DatasetError(f"dataset {path}: it is empty; the first line must name the columns")
    return pa.schema([(name, pa.string()) for name in header])


def _check_names(path: Path, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DatasetError(f"dataset {path}: several columns are named {', '.join(repeated)}; rename all but one")
    ours = {column.name for column in RESULT_COLUMNS} | {ROW, READ_ROW}
    taken = sorted(ours.intersection(names))
    if taken:
        raise DatasetError(f"dataset {path}: the results need the column names {', '.join(taken)}; rename yours")


def _find_image_column(path: Path, schema: pa.Schema, wanted: str | None) -> str:
    columns = ", ".join(schema.names)
    if wanted:
        if wanted not in schema.names:
            raise DatasetError(f"dataset {path} has no column {wanted!r}; it has {columns}")
        name = wanted
    else:
        by_lower = {str(column).strip().lower(): column for column in reversed(schema.names)}
        found = [by_lower[usual] for usual in USUAL_IMAGE_COLUMNS if usual in by_lower]
        if not found:
            raise DatasetError(
                f"dataset {path}: no column has a usual name for image links; name it with image_column. "
                f"The columns are {columns}"
            )
        name = found[0]
    kind = schema.field(name).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DatasetError(
            f"dataset {path}: column {name!r} holds {kind}, not links; set image_column to one of {columns}"
        )
    return name


def _read(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    delimiter = _FORMATS[_format(path)]
    if delimiter is None:
        with pa.parquet.ParquetFile(path) as file:
            yield from file.iter_batches(_PARQUET_ROWS)
        return
    with (
        pa.input_stream(str(path)) as stream,
        pa.csv.open_csv(
            stream,
            read_options=pa.csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
            parse_options=pa.csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                # In a file of one column, an empty line is a row whose cell is empty.
                ignore_empty_lines=len(schema) > 1,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=schema, strings_can_be_null=False, quoted_strings_can_be_null=False
            ),
        ) as reader,
    ):
        yield from reader


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
