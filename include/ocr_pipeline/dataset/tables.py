"""Files as tables, each by its kind."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from ocr_pipeline.dataset.column_types import plain_type
from ocr_pipeline.dataset.csv_table import CsvTable
from ocr_pipeline.dataset.files import DataFile
from ocr_pipeline.dataset.json_table import JsonTable
from ocr_pipeline.dataset.rejections import Rejections
from ocr_pipeline.dataset.table import Table
from ocr_pipeline.dataset.text import RecordCutter, is_utf8, utf8_blocks, without_marks
from ocr_pipeline.settings.run import RunSettings

LINK = "image_link"
"""The column of what has links only: lists and folders of images."""

_ROWS = 64 * 1024


def open_table(file: DataFile, settings: RunSettings, scratch: Path) -> Table:
    """The table in ``file``.

    :param scratch: folder for copies of what cannot be streamed.
    :raises DatasetError: when it cannot be read.
    :raises OSError: likewise.
    :raises pa.ArrowException: likewise.
    """
    kind = file.format(settings.format, settings.encoding)
    match kind:
        case "parquet":
            return ParquetTable(file.uncompressed(scratch))
        case "jsonl":
            return JsonTable(file, settings.encoding, skip=settings.bad_rows == "skip")
        case "list":
            return ListTable(file, settings.encoding, settings.image_column or LINK)
    return CsvTable(file, settings, b"\t" if kind == "tsv" else None)


class ListTable(Table):
    """A text file with one link a line; empty lines are none."""

    def __init__(self, file: DataFile, encoding: str, column: str) -> None:
        self.name = file.name
        self.schema = pa.schema([(column, pa.string())])
        self._text = partial(utf8_blocks, file, encoding)

    def batches(self, rejections: Rejections) -> Iterator[pa.RecordBatch]:
        """The lines."""
        reject = partial(rejections.reject, self.name)
        cutter = RecordCutter(self._text(), None)
        for piece in cutter.pieces(reject):
            lines = without_marks(piece.content).replace(b"\r\n", b"\n").split(cutter.newline)
            if not is_utf8(piece.content):
                for number, line in enumerate(lines, piece.line):
                    if not is_utf8(line):
                        reject(number, "it is not UTF-8 text: see the setting encoding", line)
                lines = [line for line in lines if is_utf8(line)]
            links = pa.array([line for line in lines if line.strip()], pa.binary()).cast(pa.string())
            yield pa.RecordBatch.from_arrays([links], schema=self.schema)


class ParquetTable(Table):
    """A Parquet file; its values keep their types, but for those that only save memory."""

    def __init__(self, file: DataFile) -> None:
        self.name = file.name
        self._file = file
        with file.raw() as raw:
            schema = pa.parquet.read_schema(raw).remove_metadata()
        self.schema = pa.schema([field.with_type(plain_type(field.type)) for field in schema])

    def batches(self, rejections: Rejections) -> Iterator[pa.RecordBatch]:
        """The rows."""
        return self._read(self.schema, _ROWS)

    def some_columns(self, names: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        """The columns ``names``; no more of the others is read than their places."""
        return self._read(pa.schema([self.schema.field(name) for name in names]), rows)

    def _read(self, schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
        # Not read ahead: a file may be one row group.
        with self._file.raw() as raw, pa.parquet.ParquetFile(raw, pre_buffer=False, buffer_size=1 << 20) as file:
            for batch in file.iter_batches(rows, columns=schema.names):
                batch = batch.select(schema.names)
                yield batch if batch.schema.equals(schema) else batch.cast(schema)


class LinksTable(Table):
    """Links that were listed: the images of a folder."""

    def __init__(self, name: str, links: Iterator[str], column: str) -> None:
        self.name = name
        self.schema = pa.schema([(column, pa.string())])
        self._links = links

    def batches(self, rejections: Rejections) -> Iterator[pa.RecordBatch]:
        """The links; they can be taken once."""
        held: list[str] = []
        for link in self._links:
            held.append(link)
            if len(held) == _ROWS:
                yield pa.RecordBatch.from_arrays([pa.array(held)], schema=self.schema)
                held = []
        if held:
            yield pa.RecordBatch.from_arrays([pa.array(held)], schema=self.schema)
