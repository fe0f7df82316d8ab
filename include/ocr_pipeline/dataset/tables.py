"""Files as tables: each streams its rows as Arrow record batches."""

from __future__ import annotations

import csv
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from ocr_pipeline.dataset.files import DataFile
from ocr_pipeline.dataset.headers import find_delimiter, separator_line, unique_names
from ocr_pipeline.dataset.rejections import Rejections
from ocr_pipeline.dataset.text import Piece, RecordCutter, Reject, doubled_quotes, utf8_blocks
from ocr_pipeline.errors import DatasetError
from ocr_pipeline.settings.run import RunSettings

LINK = "image_link"
"""The column of what has links only: lists and folders of images."""

_ROWS = 64 * 1024
_LONG_NUMBER = re.compile(rb"[:,\[\s]-?\d{19}")
_DEEPEST = 16
"""Values that are nested deeper are JSON text: readers of Parquet and CSV know no such columns."""

_BOM = "\N{BYTE ORDER MARK}".encode()


class Table(ABC):
    """Rows with a schema. ``name`` is what a person knows it by.

    ``repeated`` are names that several of its columns had before they were told apart.
    """

    name: str
    schema: pa.Schema
    repeated: frozenset[str] = frozenset()

    @abstractmethod
    def batches(self, rejections: Rejections) -> Iterator[pa.RecordBatch]:
        """The rows in order, in the types of ``schema``; those that cannot be read go to ``rejections``.

        :raises DatasetError: when it cannot be read.
        :raises OSError: likewise.
        :raises pa.ArrowException: likewise.
        """


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
            return JsonLinesTable(file, settings.encoding, skip=settings.bad_rows == "skip")
        case "list":
            return ListTable(file, settings.encoding, settings.image_column or LINK)
    return CsvTable(file, settings, b"\t" if kind == "tsv" else None)


class CsvTable(Table):
    """A CSV file; its values stay the text they are. The first line names the columns.

    :param delimiter: what separates fields; None to tell it from the first lines.
    """

    def __init__(self, file: DataFile, settings: RunSettings, delimiter: bytes | None) -> None:
        self.name = file.name
        self._file = file
        self._encoding = settings.encoding
        self._escape = settings.csv_escape
        self._comment = (settings.csv_comment or "").encode()
        start = next(self._whole_text(), b"")
        named, self._skipped = separator_line(start)
        self._delimiter = delimiter or named or find_delimiter(self._without_comments(start))
        cutter = RecordCutter(self._text(), self._delimiter)
        header, _ = self._split_header(cutter, next(cutter.pieces(self._refuse), Piece(1, b"")))
        try:
            text = header.decode()
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"dataset {self.name}, line 1: not UTF-8 text ({error.reason}); set encoding to the one it was "
                "written in, such as cp1252"
            ) from None
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter.decode(), strict=True)
        try:
            names = next(rows, [])
        except csv.Error as error:
            raise DatasetError(f"dataset {self.name}, line 1: {error}; it must name the columns") from None
        if not names:
            raise DatasetError(f"dataset {self.name}: it is empty; the first line must name the columns")
        names, self.repeated = unique_names(names)
        self.schema = pa.schema([(name, pa.string()) for name in names])

    def _whole_text(self) -> Iterator[bytes]:
        blocks = utf8_blocks(self._file, self._encoding)
        return doubled_quotes(blocks) if self._escape == "backslash" else blocks

    def _text(self) -> Iterator[bytes]:
        """The text without a first line that only names the delimiter."""
        blocks = self._whole_text()
        return chain([next(blocks, b"")[self._skipped :]], blocks)

    def _without_comments(self, text: bytes) -> bytes:
        if not self._comment:
            return text
        return b"".join(line for line in text.splitlines(keepends=True) if not self._is_comment(line))

    def _is_comment(self, record: bytes) -> bool:
        return bool(self._comment) and record.lstrip().startswith(self._comment)

    def batches(self, rejections: Rejections) -> Iterator[pa.RecordBatch]:
        """The rows, as text."""
        reject = partial(rejections.reject, self.name)
        cutter = RecordCutter(self._text(), self._delimiter)
        pieces = cutter.pieces(reject)
        _, first = self._split_header(cutter, next(pieces))
        yield from self._parse(cutter, first, reject)
        for piece in pieces:
            yield from self._parse(cutter, piece, reject)

    def _split_header(self, cutter: RecordCutter, piece: Piece) -> tuple[bytes, Piece]:
        """The first line that is not empty, and what follows it."""
        for record, _ in cutter.records(piece):
            if record.content.strip(b"\r\n") and not self._is_comment(record.content):
                end = piece.content.index(record.content) + len(record.content)
                line = record.line + record.content.count(cutter.newline)
                return record.content, Piece(line, piece.content[end:])
        return b"", Piece(piece.line, b"")

    def _refuse(self, line: int, reason: str, text: bytes) -> None:
        raise DatasetError(f"dataset {self.name}, line {line}: {reason}; it must name the columns")

    def _parse(self, cutter: RecordCutter, piece: Piece, reject: Reject) -> Iterator[pa.RecordBatch]:
        content = piece.content
        if self._comment and self._comment in content:
            records = (record.content for record, _ in cutter.records(piece))
            content = b"".join(record for record in records if not self._is_comment(record))
        try:
            batches = self._read(content)
        except pa.ArrowInvalid:
            batches = None  # some row is bad: only now it is worth knowing which
        yield from self._read(self._good_rows(cutter, piece, reject)) if batches is None else batches

    def _good_rows(self, cutter: RecordCutter, piece: Piece, reject: Reject) -> bytes:
        good = []
        columns = len(self.schema)
        for record, fields in cutter.records(piece):
            empty = columns > 1 and not record.content.strip(b"\r\n")
            if self._is_comment(record.content):
                continue
            if fields != columns and not empty:
                reject(record.line, f"it has {fields} fields and the header {columns}", record.content)
            elif _is_utf8(record.content):
                good.append(record.content)
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
            lines = piece.content.replace(b"\r\n", b"\n").split(cutter.newline)
            if not _is_utf8(piece.content):
                for number, line in enumerate(lines, piece.line):
                    if not _is_utf8(line):
                        reject(number, "it is not UTF-8 text: see the setting encoding", line)
                lines = [line for line in lines if _is_utf8(line)]
            # Where files were put together, each may begin with a mark of its own.
            lines = [line.removeprefix(_BOM) for line in lines]
            links = pa.array([line for line in lines if line.strip()], pa.binary()).cast(pa.string())
            yield pa.RecordBatch.from_arrays([links], schema=self.schema)


class JsonLinesTable(Table):
    """A file with one JSON object a line. Keys are columns, absent ones null; texts stay texts.

    The file is read twice, as any line may bring a new key or another type. Numbers widen; a column whose
    values have nothing in common becomes text, what is not text in it as JSON. ``skip``: bad lines are no error.
    """

    def __init__(self, file: DataFile, encoding: str, *, skip: bool) -> None:
        self.name = file.name
        self._text = partial(utf8_blocks, file, encoding)
        self.schema = pa.schema([])
        reject: Reject = _ignore if skip else partial(Rejections(None).reject, file.name)
        for piece in RecordCutter(self._text(), None).pieces(reject):
            self.schema = widest([self.schema, _as_written(self._table(piece, None, reject).schema)])
        if not self.schema.names:
            raise DatasetError(f"dataset {self.name}: it is empty; each line must hold a JSON object")

    def batches(self, rejections: Rejections) -> Iterator[pa.RecordBatch]:
        """The objects."""
        reject = partial(rejections.reject, self.name)
        for piece in RecordCutter(self._text(), None).pieces(reject):
            yield from self._table(piece, self.schema, reject).to_batches()

    def _table(self, piece: Piece, schema: pa.Schema | None, reject: Reject) -> pa.Table:
        if piece.content.strip() and _is_utf8(piece.content) and _is_plain_json(piece.content):
            try:
                return pa.json.read_json(
                    pa.py_buffer(piece.content),
                    read_options=pa.json.ReadOptions(block_size=len(piece.content) + 1, use_threads=False),
                    parse_options=pa.json.ParseOptions(explicit_schema=schema),
                )
            except pa.ArrowException:
                pass  # some line is bad, or of another type: only now it is worth knowing which
        rows = self._objects(piece, reject)
        names = schema.names if schema else list(dict.fromkeys(name for row in rows for name in row))
        columns = [
            _column([row.get(name) for row in rows], schema.field(name).type if schema else None) for name in names
        ]
        return pa.Table.from_arrays(columns, schema=schema) if schema else pa.Table.from_arrays(columns, names=names)

    def _objects(self, piece: Piece, reject: Reject) -> list[dict[str, Any]]:
        rows = []
        for number, line in enumerate(piece.content.split(b"\n"), piece.line):
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode())
                if b"\\u" in line:
                    value = _whole_characters(value)
            except RecursionError:
                reject(number, "its values are nested too deep", line)
                continue
            except ValueError as error:
                if number == 1 and line.lstrip().startswith(b"["):
                    raise self._is_an_array() from None
                reject(number, f"it is not JSON ({error})", line)
                continue
            if isinstance(value, dict):
                rows.append(value)
            elif isinstance(value, list) and number == 1:
                raise self._is_an_array()
            else:
                reject(number, 'it is not a JSON object; each line holds one, such as {"image_link": "…"}', line)
        return rows

    def _is_an_array(self) -> DatasetError:
        return DatasetError(
            f"dataset {self.name} is one JSON array, not an object a line, which can be read piece by piece: write it "
            "as JSON Lines, such as with jq -c '.[]' data.json > data.jsonl"
        )


class ParquetTable(Table):
    """A Parquet file; its values keep their types."""

    def __init__(self, file: DataFile) -> None:
        self.name = file.name
        self._file = file
        with file.raw() as raw:
            self.schema = _in_common_types(pa.parquet.read_schema(raw).remove_metadata())

    def batches(self, rejections: Rejections) -> Iterator[pa.RecordBatch]:
        """The rows."""
        # Not read ahead: a file may be one row group.
        with self._file.raw() as raw, pa.parquet.ParquetFile(raw, pre_buffer=False, buffer_size=1 << 20) as file:
            for batch in file.iter_batches(_ROWS):
                yield batch if batch.schema.equals(self.schema) else batch.cast(self.schema)


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


def _ignore(line: int, reason: str, text: bytes) -> None:
    """Pass over a bad row that the reading itself will speak of."""


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _as_written(schema: pa.Schema) -> pa.Schema:
    """``schema`` with text where Arrow takes it for a time, and where no file of the results has such a type."""
    return pa.schema(
        [field.with_type(pa.string() if _is_no_column(field.type) else _text_for_time(field.type)) for field in schema]
    )


def _is_no_column(kind: pa.DataType, depth: int = 0) -> bool:
    """Whether values of a type are nested too deep, or are objects that never have a key."""
    if pa.types.is_struct(kind):
        return kind.num_fields == 0 or any(_is_no_column(field.type, depth + 1) for field in kind)
    if pa.types.is_list(kind):
        return _is_no_column(kind.value_type, depth + 1)
    return depth > _DEEPEST or pa.types.is_uint64(kind)


def _is_plain_json(text: bytes) -> bool:
    """Whether Arrow reads it as it is meant: it rounds integers of more than 64 bits, and recurses into values."""
    if _LONG_NUMBER.search(text):
        return False
    octets = np.frombuffer(text, np.uint8)
    steps = _DEPTHS[octets]
    places = np.flatnonzero(steps)
    if not len(places):
        return True
    depths = np.cumsum(steps[places], dtype=np.int64)
    # Counted from the beginning of each line, so that a bracket inside a text counts for its line alone.
    ends = np.flatnonzero(octets == ord("\n"))
    before = np.concatenate([[0], depths])[np.searchsorted(places, ends)]
    depths -= np.concatenate([[0], before])[np.searchsorted(ends, places)]
    return int(depths.max()) <= _DEEPEST


_DEPTHS = np.zeros(256, np.int8)
_DEPTHS[list(b"[{")] = 1
_DEPTHS[list(b"]}")] = -1


def _whole_characters(value: Any) -> Any:
    """``value`` with a replacement for each half of a surrogate pair, which is no text."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    return value


def _in_common_types(schema: pa.Schema) -> pa.Schema:
    """``schema`` with the types that results are written in for those that only save memory."""
    return pa.schema([field.with_type(_common_type(field.type)) for field in schema])


def _common_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(kind) else kind


def _text_for_time(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_text_for_time(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_text_for_time(field.type)) for field in kind])
    return kind


def _depth(value: Any) -> int:
    """How deep lists and objects are nested in ``value``, itself left out."""
    deepest, layer = 0, [value]
    while layer := [
        part
        for outer in layer
        for part in (outer.values() if isinstance(outer, dict) else outer)
        if isinstance(part, (dict, list))
    ]:
        deepest += 1
        if deepest > _DEEPEST:
            break
    return deepest


def _column(values: list[Any], kind: pa.DataType | None) -> pa.Array:
    if kind is None or not pa.types.is_string(kind):
        try:
            if kind is not None or _depth(values) <= _DEEPEST:
                array = pa.array(values, kind)
                if kind is not None or not _is_no_column(array.type):
                    return array
        except (pa.ArrowException, OverflowError):
            if kind is not None:
                raise
    texts = (v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values)
    return pa.array(texts, pa.string())
