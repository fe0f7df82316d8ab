"""The readings of a batch, out of its staged file, some whole images at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from ocr_pipeline.errors import StagedBatchError
from ocr_pipeline.records import READ_ROW, RESULT_COLUMNS, BatchRef
from ocr_pipeline.run.rows import HEADER
from ocr_pipeline.run.staging import StagedBatch

_BLOCK_BYTES = 16 << 20
"""Bytes of a batch's rows that are parsed at a time; more where a row has more."""

_ARROW_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}

RESULT_SCHEMA = pa.schema(
    [pa.field(column.name, _ARROW_TYPES[column.type], nullable=column.nullable) for column in RESULT_COLUMNS]
)
"""The columns of the contract as Arrow has them."""

READING_SCHEMA = pa.schema([pa.field(READ_ROW, pa.int64(), nullable=False), *RESULT_SCHEMA])
"""The columns of the contract, and the row that was read."""


def reading_blocks(staged: StagedBatch, batch: BatchRef) -> Iterator[tuple[pa.Table, int | None]]:
    """The readings of a batch, some whole images at a time; with the last of their rows, or None with the last ones.

    :raises StagedBatchError: when the file is not what staging writes.
    """
    held = READING_SCHEMA.empty_table()
    try:
        tables = _parse(staged)
        following = next(tables, None)
        while following is not None:
            held = pa.concat_tables([held, following])
            following = next(tables, None)
            if following is not None:  # pages of the last image may follow
                keys = held[READ_ROW].to_numpy()
                start = int(np.searchsorted(keys, keys[-1]))
                if start:
                    yield _checked(held.slice(0, start), batch), int(keys[start - 1])
                    held = held.slice(start)
    except pa.ArrowException as error:
        raise StagedBatchError(f"{batch.label}: its staged file cannot be read: {error}") from error
    yield _checked(held, batch), None


def _checked(readings: pa.Table, batch: BatchRef) -> pa.Table:
    """``readings``, whose rows must be in order, with the pages of each image counting up from 0."""
    keys = readings[READ_ROW].to_numpy()
    _, first_pages, pages = np.unique(keys, return_index=True, return_counts=True)
    expected = np.arange(len(keys)) - np.repeat(first_pages, pages)
    if np.any(keys[1:] < keys[:-1]) or not np.array_equal(readings["ocr_page"].to_numpy(), expected):
        raise StagedBatchError(f"{batch.label}: its staged file lacks a page, or its rows are out of order")
    return readings


def _parse(staged: StagedBatch) -> Iterator[pa.Table]:
    """A staged file as tables of the reading schema."""
    for lines in _pieces(staged.path):
        table = pa.csv.read_csv(
            pa.py_buffer(lines),
            read_options=pa.csv.ReadOptions(column_names=READING_SCHEMA.names, block_size=len(lines)),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=READING_SCHEMA,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
        columns = [
            column if field.nullable or not pa.types.is_string(field.type) else column.fill_null("")
            for column, field in zip(table.columns, READING_SCHEMA, strict=True)
        ]
        yield pa.Table.from_arrays(columns, schema=READING_SCHEMA)


def _pieces(path: Path) -> Iterator[bytes]:
    """The lines of a staged file without its first, about :data:`_BLOCK_BYTES` at a time.

    Arrow could cut the file itself, but loses the second half of a line end within a text that it cuts between them.
    """
    with path.open("rb") as file:
        file.seek(len(HEADER))
        rest = b""
        while part := file.read(_BLOCK_BYTES):
            rest += part
            end = _end_of_lines(rest)
            if end:
                yield rest[:end]
                rest = rest[end:]
        if rest:
            yield rest


def _end_of_lines(content: bytes) -> int:
    """Where the last whole line of ``content`` ends, which begins with one: at a line end outside of quotes."""
    quotes = content.count(b'"')
    end = len(content)
    while (start := content.rfind(b"\r\n", 0, end)) >= 0:
        quotes -= content.count(b'"', start, end)
        if quotes % 2 == 0:
            return start + 2
        end = start
    return 0
