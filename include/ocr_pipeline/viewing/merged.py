"""The results of a merged run: their index, and their rows."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet

from ocr_pipeline.errors import StorageError
from ocr_pipeline.records import BatchRef
from ocr_pipeline.run.index import RESULTS_BYTES, SEARCHED_BLOCKS, SEARCHED_BYTES
from ocr_pipeline.viewing.files import ReadableFile
from ocr_pipeline.viewing.table import Table, plain_values

Opening: TypeAlias = Callable[[], AbstractContextManager[ReadableFile]]
"""What opens a file for the time of a ``with`` block."""


class MergedTable(Table):
    """The index of a merged run, a Parquet file that is open, and beside it texts to search in and the results."""

    def __init__(self, index: ReadableFile, searched: Opening, results: Opening) -> None:
        self._index = index
        self._searched = searched
        self._results = results
        with index.stream() as stream, pa.parquet.ParquetFile(stream) as file:
            self._rows: int = file.metadata.num_rows
            notes = file.metadata.metadata
        self._results_bytes, self._searched_bytes = int(notes[RESULTS_BYTES]), int(notes[SEARCHED_BYTES])
        self._blocks = [0, *accumulate(json.loads(notes[SEARCHED_BLOCKS]))]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self._rows

    def bounds(self, database: duckdb.DuckDBPyConnection, batch: BatchRef) -> tuple[int, int]:
        """The positions of the rows of ``batch``, which the parts of the index with other rows are not read for."""
        (found,) = database.execute(
            "SELECT min(position), max(position) + 1 FROM read_parquet($path) WHERE row >= $first AND row < $end",
            {"path": self._index.name, "first": batch.first_row, "end": batch.first_row + batch.rows},
        ).fetchall()
        first, end = found
        return (first, end) if end is not None else (0, 0)

    def prepare(self, database: duckdb.DuckDBPyConnection) -> list[str]:
        """Let ``database`` read the index."""
        self._index.show(database)
        return [self._index.name]

    def part(self, database: duckdb.DuckDBPyConnection, start: int, end: int) -> tuple[str, dict[str, Any]]:
        """The rows at the positions from ``start`` to ``end``."""
        return (
            "(FROM read_parquet($path) WHERE position >= $start AND position < $stop)",
            {"path": self._index.name, "start": start, "stop": end},
        )

    def texts(self, start: int, end: int) -> Iterator[pa.StringArray]:
        """The texts to search in, a part a block of their file."""
        with _going_with(self._searched, self._searched_bytes) as file, file.native() as content:
            reader = pa.ipc.open_file(content)
            for number, (first, last) in enumerate(pairwise(self._blocks)):
                if first < end and last > start:
                    texts = reader.get_batch(number).column(0)
                    yield texts.slice(max(start - first, 0), min(end, last) - max(start, first))

    def values(self, positions: Sequence[int], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The rows of the results at ``positions``."""
        with _going_with(self._results, self._results_bytes) as file:
            return _rows(file, positions, columns)


@contextmanager
def merged_table(index: Opening, searched: Opening, results: Opening) -> Iterator[Table]:
    """The table of a merged run, for the time of a ``with`` block.

    :param index: opens the index of the results.
    :param searched: opens the texts that they are searched in.
    :param results: opens ``results.parquet``.
    :raises StorageError: when the index cannot be read, or is not there.
    """
    with ExitStack() as files:
        with _reading():
            table = MergedTable(files.enter_context(index()), searched, results)
        yield table


@contextmanager
def _going_with(file: Opening, size: int) -> Iterator[ReadableFile]:
    """Open ``file``, which is as large as the index says that goes with it."""
    with _reading(), file() as opened:
        if opened.size != size:
            raise StorageError("the results are being written anew: try again in a moment")
        yield opened


@contextmanager
def _reading() -> Iterator[None]:
    """Say what to do about files of the results that cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise StorageError("files of the results are not there: clear the merge task, which writes them") from None
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise StorageError(f"files of the results are damaged ({error}): clear the merge task") from error


def _rows(results: ReadableFile, positions: Sequence[int], columns: Sequence[str] | None) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    wanted = sorted(set(positions))
    first = 0
    with results.stream() as stream, pa.parquet.ParquetFile(stream) as file:
        for number in range(file.num_row_groups):
            end = first + file.metadata.row_group(number).num_rows
            here = wanted[bisect_left(wanted, first) : bisect_left(wanted, end)]
            if here:
                group = file.read_row_group(number, columns=columns)
                found |= {position: plain_values(group, position - first) for position in here}
            first = end
    return [found[position] for position in positions]
