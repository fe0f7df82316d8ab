"""The results of a merged run: their index, and their rows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.parquet

from ocr_pipeline.errors import StorageError
from ocr_pipeline.records import BatchRef
from ocr_pipeline.run.index import RESULTS_BYTES
from ocr_pipeline.viewing.files import ReadableFile
from ocr_pipeline.viewing.table import Table, plain_values

Opening: TypeAlias = Callable[[], AbstractContextManager[ReadableFile]]
"""What opens a file for the time of a ``with`` block."""


class MergedTable(Table):
    """The index of a merged run, a Parquet file that is open, and behind it the results."""

    def __init__(self, index: ReadableFile, results: Opening) -> None:
        self._index = index
        self._results = results
        with index.stream() as stream, pa.parquet.ParquetFile(stream) as file:
            self._rows: int = file.metadata.num_rows
            self._of = int(file.metadata.metadata[RESULTS_BYTES])

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self._rows

    def bounds(self, batch: BatchRef) -> tuple[int, int]:
        """All positions: the index has the least and the greatest row of each of its parts."""
        return 0, self._rows

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

    def values(self, positions: Sequence[int], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The rows of the results at ``positions``."""
        try:
            with self._results() as results:
                if results.size != self._of:
                    raise StorageError("the results are being written anew: try again in a moment")
                return _rows(results, positions, columns)
        except pa.ArrowException as error:
            raise StorageError(f"results.parquet is damaged ({error}): clear the merge task") from error
        except FileNotFoundError:
            raise StorageError("results.parquet is not there: clear the merge task, which writes it") from None


@contextmanager
def merged_table(index: Opening, results: Opening) -> Iterator[Table]:
    """The table of a merged run, for the time of a ``with`` block.

    :param index: opens the index of the results.
    :param results: opens ``results.parquet``.
    :raises StorageError: when the index cannot be read, or is not there.
    """
    with ExitStack() as files:
        try:
            opened = files.enter_context(index())
        except FileNotFoundError:
            raise StorageError("the results have no index: clear the merge task, which writes it") from None
        try:
            table = MergedTable(opened, results)
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise StorageError(f"the index of the results is damaged ({error}): clear the merge task") from error
        yield table


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
