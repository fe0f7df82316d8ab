"""The results of a run that is not merged yet: the batches that are staged."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from typing import Any

import duckdb
import pyarrow as pa

from ocr_pipeline.errors import StagedBatchError, StorageError
from ocr_pipeline.records import READ_ROW, ROW, BatchRef
from ocr_pipeline.run.blocks import reading_blocks
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.index import INDEX_SCHEMA, POSITION, SEARCHED
from ocr_pipeline.run.plan import Plan, planned_rows
from ocr_pipeline.run.staged_index import read_staged_index
from ocr_pipeline.run.staging import BatchStatistics, open_staged
from ocr_pipeline.viewing.caching import Kept, on_local_disk
from ocr_pipeline.viewing.table import Table, plain_values

_INDEXES: Kept[tuple[str, tuple[str, ...]], pa.Table] = Kept(1 << 30)
"""Indexes of groups of staged batches, on the local disk, by what they are of; the size is in bytes."""

_GROUP_ROWS = 64 * 1024
"""About how many rows are put together: a thousand small tables take a database longer than their rows."""


class StagedTable(Table):
    """The index of the batches that are staged, one after the other.

    :param staged: their statistics, by their numbers, in order.
    """

    def __init__(self, run: RunFolder, plan: Plan, staged: Mapping[int, BatchStatistics]) -> None:
        self._run = run
        self._plan = plan
        self._staged = list(staged.values())
        self._starts = [0, *accumulate(statistics.pages for statistics in self._staged)]
        # By their numbers, so that most groups stay as they are when another batch is staged.
        size = max(1, _GROUP_ROWS // max(1, plan.batch_size))
        numbers = range(len(self._staged))
        self._groups = [list(group) for _, group in groupby(numbers, lambda n: self._staged[n].index // size)]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self._starts[-1]

    def prepare(self, database: duckdb.DuckDBPyConnection) -> list[str]:
        """It needs no files: what it reads is in memory."""
        return []

    def bounds(self, database: duckdb.DuckDBPyConnection, batch: BatchRef) -> tuple[int, int]:
        """The positions of the batch, none when it is not staged."""
        number = bisect_left(self._staged, batch.index, key=lambda statistics: statistics.index)
        if number == len(self._staged) or self._staged[number].index != batch.index:
            return 0, 0
        return self._starts[number], self._starts[number + 1]

    def texts(self, start: int, end: int) -> Iterator[pa.StringArray]:
        """The texts to search in, a part a group of batches."""
        for position, index in self._indexes(start, end):
            for texts in index[SEARCHED].chunks:
                first, last = max(start, position), min(end, position + len(texts))
                if first < last:
                    yield texts.slice(first - position, last - first)
                position += len(texts)

    def part(self, database: duckdb.DuckDBPyConnection, start: int, end: int) -> tuple[str, dict[str, Any]]:
        """The rows at the positions from ``start`` to ``end``."""
        tables = [_placed(index, position) for position, index in self._indexes(start, end)]
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
            raise _written_anew(batch) from error
        raise _written_anew(batch)

    def _place(self, position: int) -> tuple[int, int]:
        """The batch of the row at ``position``, and its place in the batch."""
        number = bisect_right(self._starts, position) - 1
        return self._staged[number].index, position - self._starts[number]

    def _indexes(self, start: int, end: int) -> Iterator[tuple[int, pa.Table]]:
        """The indexes of the groups that have positions from ``start`` to ``end``, and where each begins."""
        for group in self._groups:
            first, last = self._starts[group[0]], self._starts[group[-1] + 1]
            if first < end and last > start:
                yield first, self._group(group)

    def _group(self, group: Sequence[int]) -> pa.Table:
        key = self._run.uri, tuple(self._staged[number].csv_sha256 for number in group)
        index = _INDEXES.get(key)
        if index is None:
            index = pa.concat_tables(self._run.folder.map(self._load, group))
            kept = on_local_disk(index)
            if kept is not None:
                _INDEXES.put(key, kept, kept.nbytes)
                return kept
        return index

    def _load(self, number: int) -> pa.Table:
        """The index of a batch.

        :raises StorageError: when it is another than its statistics tell of.
        """
        statistics = self._staged[number]
        batch = self._plan.batches[statistics.index]
        try:
            index = read_staged_index(self._run, batch, self._plan, statistics)
        except StagedBatchError as error:
            raise _written_anew(batch) from error
        if index.num_rows != statistics.pages:
            raise _written_anew(batch)
        return index


def _placed(index: pa.Table, start: int) -> pa.Table:
    """The index of a group with its positions among all groups, without the texts to search in."""
    positions = pa.arange(start, start + index.num_rows)
    return index.select(INDEX_SCHEMA.names).set_column(0, INDEX_SCHEMA.field(POSITION), [positions])


def _written_anew(batch: BatchRef) -> StorageError:
    return StorageError(f"{batch.label} is being written anew: try again in a moment")
