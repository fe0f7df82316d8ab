"""CSV files as tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import partial
from itertools import chain

import pyarrow as pa
import pyarrow.csv

from ocr_pipeline.dataset.files import DataFile
from ocr_pipeline.dataset.headers import find_delimiter, separator_line, unique_names
from ocr_pipeline.dataset.rejections import Rejections
from ocr_pipeline.dataset.table import Table
from ocr_pipeline.dataset.text import Piece, RecordCutter, Reject, is_utf8, utf8_blocks
from ocr_pipeline.errors import DatasetError
from ocr_pipeline.settings.run import RunSettings


class CsvTable(Table):
    """A CSV file; its values stay the text they are. The first line names the columns.

    :param delimiter: what separates fields, where no line ``sep=;`` says it; None to tell it from the first lines.
    """

    def __init__(self, file: DataFile, settings: RunSettings, delimiter: bytes | None) -> None:
        self.name = file.name
        self._file = file
        self._encoding = settings.encoding
        self._escape = settings.csv_escape == "backslash"
        self._comment = (settings.csv_comment or "").encode()
        start = next(utf8_blocks(self._file, self._encoding), b"")
        named = separator_line(start)
        self._begins_with_separator = named is not None
        self._delimiter = named or delimiter or self._find_delimiter(start, settings.image_column)
        self._tsv = delimiter == self._delimiter == b"\t"
        cutter = self._cutter(0)
        header, _ = self._split_header(cutter, cutter.pieces(self._refuse))
        try:
            text = header.content.decode()
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"dataset {self.name}, line {header.line}: not UTF-8 text ({error.reason}); set encoding to the one it "
                "was written in, such as cp1252"
            ) from None
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter.decode(), strict=True)
        try:
            names = next(rows, [])
        except csv.Error as error:
            raise DatasetError(f"dataset {self.name}, line {header.line}: {error}; it must name the columns") from None
        if not names:
            raise DatasetError(f"dataset {self.name}: it is empty; the first line must name the columns")
        names, self.repeated = unique_names(names)
        self.schema = pa.schema([(name, pa.string()) for name in names])

    def batches(self, rejections: Rejections) -> Iterator[pa.RecordBatch]:
        """The rows, as text."""
        reject = partial(rejections.reject, self.name)
        cutter = self._cutter(len(self.schema))
        _, pieces = self._split_header(cutter, cutter.pieces(reject))
        for piece in pieces:
            yield from self._parse(cutter, piece, reject)

    def _cutter(self, columns: int) -> RecordCutter:
        return RecordCutter(
            utf8_blocks(self._file, self._encoding),
            self._delimiter,
            escape=self._escape,
            comment=self._comment,
            columns=columns,
            tsv=self._tsv,
        )

    def _find_delimiter(self, start: bytes, image_column: str | None) -> bytes:
        if self._comment:
            lines = start.splitlines(keepends=True)
            start = b"".join(line for line in lines if not line.lstrip(b" \t").startswith(self._comment))
        return find_delimiter(start, image_column, escape=self._escape)

    def _split_header(self, cutter: RecordCutter, pieces: Iterator[Piece]) -> tuple[Piece, Iterator[Piece]]:
        """The first record that is not empty, but for one that only names the delimiter; and what follows it."""
        skipped = not self._begins_with_separator
        for piece in pieces:
            done = 0
            for record, _ in cutter.records(piece):
                done += len(record.content)
                if not record.content.strip(b"\r\n"):
                    continue
                if not skipped:
                    skipped = True
                else:
                    line = record.line + record.content.count(cutter.newline)
                    return record, chain([Piece(line, piece.content[done:])], pieces)
        return Piece(1, b""), pieces

    def _refuse(self, line: int, reason: str, text: bytes) -> None:
        raise DatasetError(f"dataset {self.name}, line {line}: {reason}; it must name the columns")

    def _parse(self, cutter: RecordCutter, piece: Piece, reject: Reject) -> Iterator[pa.RecordBatch]:
        try:
            batches = self._read(piece.content)
        except pa.ArrowInvalid:
            batches = None  # some row is bad: only now it is worth knowing which
        yield from self._read(self._good_rows(cutter, piece, reject)) if batches is None else batches

    def _good_rows(self, cutter: RecordCutter, piece: Piece, reject: Reject) -> bytes:
        good = []
        columns = len(self.schema)
        for record, fields in cutter.records(piece):
            empty = columns > 1 and not record.content.strip(b"\r\n")
            content = record.content if fields == columns or empty else cutter.unquoted(record.content)
            if content is None:
                reject(record.line, f"it has {fields} fields and the header {columns}", record.content)
            elif is_utf8(content):
                good.append(content)
            else:
                reject(record.line, "it is not UTF-8 text: see the setting encoding", record.content)
        return b"".join(good)

    def _read(self, content: bytes) -> list[pa.RecordBatch]:
        one_column = len(self.schema) == 1
        if not (content if one_column else content.strip(b"\r\n")):
            return []
        table = pa.csv.read_csv(
            pa.py_buffer(content),
            read_options=pa.csv.ReadOptions(
                column_names=self.schema.names, block_size=len(content) + 1, use_threads=False
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=self._delimiter.decode(),
                newlines_in_values=True,
                # In a file of one column, an empty line is a row whose cell is empty.
                ignore_empty_lines=not one_column,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=self.schema, strings_can_be_null=False, quoted_strings_can_be_null=False
            ),
        )
        batches: list[pa.RecordBatch] = table.to_batches()
        return batches
