"""The results of a run that is not merged yet: the batches that are staged."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import duckdb
import pyarrow as pa

from ocr_pipeline.errors import StagedBatchError, StorageError
from ocr_pipeline.records import READ_ROW, ROW, BatchRef
from ocr_pipeline.run.blocks import reading_blocks
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.index import INDEX_SCHEMA, POSITION, SEARCHED
from ocr_pipeline.run.plan import Plan, planned_rows
from ocr_pipeline.run.staged_index import STAGED_SCHEMA, read_staged_index
from ocr_pipeline.run.staging import BatchStatistics, open_staged
from ocr_pipeline.viewing.caching import Kept, on_local_disk
from ocr_pipeline.viewing.table import Table, plain_values

_INDEXES: Kept[tuple[str, int, str], pa.Table] = Kept(1 << 30)
"""Indexes of staged batches, on the local disk, by what they are of; the size is in bytes."""


class StagedTable(Table):
    """The index of the batches that are staged, one after the other.

    :param staged: their statistics, by their numbers, in order.
    """

    def __init__(self, run: RunFolder, plan: Plan, staged: Mapping[int, BatchStatistics]) -> None:
        self._run = run
        self._plan = plan
        self._staged = list(staged.values())
        self._starts = [0, *accumulate(statistics.pages for statistics in self._staged)]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self._starts[-1]

    def prepare(self, database: duckdb.DuckDBPyConnection) -> list[str]:
        """It needs no files: what it reads is in memory."""
        return []

    def bounds(self, batch: BatchRef) -> tuple[int, int]:
        """The positions of the batch, none when it is not staged."""
        number = bisect_left(self._staged, batch.index, key=lambda statistics: statistics.index)
        if number == len(self._staged) or self._staged[number].index != batch.index:
            return 0, 0
        return self._starts[number], self._starts[number + 1]

    def texts(self, start: int, end: int) -> Iterator[tuple[int, pa.StringArray]]:
        """The texts to search in, a part a batch."""
        for number, index in self._indexes(start, end):
            position = self._starts[number]
            for texts in index[SEARCHED].chunks:
                first, last = max(start, position), min(end, position + len(texts))
                if first < last:
                    yield first, texts.slice(first - position, last - first)
                position += len(texts)

    def part(self, database: duckdb.DuckDBPyConnection, start: int, end: int) -> tuple[str, dict[str, Any]]:
        """The rows at the positions from ``start`` to ``end``."""
        tables = [self._placed(number, index) for number, index in self._indexes(start, end)]
        database.register("staged", pa.concat_tables([INDEX_SCHEMA.empty_table(), *tables]))
        return "(FROM staged WHERE position >= $start AND position < $stop)", {"start": start, "stop": end}

    def values(self, positions: Sequence[int], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The rows at ``positions``: the dataset's own columns are in the plan, the others in the staged file."""
        rows = [self._values(position) for position in positions]
        return [{name: value for name, value in row.items() if columns is None or name in columns} for row in rows]

    def _values(self, position: int) -> dict[str, Any]:
        index, place = self._place(position)
        batch = self._plan.batches[index]
        try:
            with open_staged(self._run, batch, self._plan.digests[index]) as staged:
                for readings, _ in reading_blocks(staged, batch):
                    if place < readings.num_rows:
                        result = plain_values(readings, place)
                        planned = planned_rows(self._run, batch)
                        row = planned[ROW].index(result.pop(READ_ROW)).as_py()
                        return plain_values(planned.drop_columns([ROW, READ_ROW]), row) | result
                    place -= readings.num_rows
        except StagedBatchError as error:
            raise StorageError(f"{batch.label} is being written anew: try again in a moment") from error
        raise StorageError(f"{batch.label} is being written anew: try again in a moment")

    def _place(self, position: int) -> tuple[int, int]:
        """The batch of the row at ``position``, and its place in the batch."""
        number = bisect_right(self._starts, position) - 1
        return self._staged[number].index, position - self._starts[number]

    def _indexes(self, start: int, end: int) -> Iterator[tuple[int, pa.Table]]:
        """The indexes of the batches that have positions from ``start`` to ``end``, and their places."""
        wanted = [n for n, first in enumerate(self._starts[:-1]) if first < end and self._starts[n + 1] > start]
        return zip(wanted, self._run.folder.map(self._load, wanted), strict=True)

    def _load(self, number: int) -> pa.Table:
        statistics = self._staged[number]
        key = self._run.uri, statistics.index, statistics.csv_sha256
        index = _INDEXES.get(key)
        if index is None:
            try:
                index = read_staged_index(self._run, self._plan.batches[statistics.index], self._plan, statistics)
            except StagedBatchError:  # it is staged anew at this moment
                return STAGED_SCHEMA.empty_table()
            kept = on_local_disk(index)
            if kept is not None:
                _INDEXES.put(key, kept, kept.nbytes)
                return kept
        return index

    def _placed(self, number: int, index: pa.Table) -> pa.Table:
        """The index of a batch with its positions among all batches."""
        start = self._starts[number]
        return index.select(INDEX_SCHEMA.names).set_column(
            0, INDEX_SCHEMA.field(POSITION), [pa.arange(start, start + index.num_rows)]
        )
