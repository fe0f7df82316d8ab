"""Keeping readings for later rows that repeat a link, in memory that does not grow with the run.

Batches are taken in groups. What a group needs of the batches before it waits in a file of its own, and is in
memory only while the group's turn lasts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from itertools import islice

import numpy as np
import pyarrow as pa

from ocr_pipeline.records import READ_ROW, BatchRef, Rows
from ocr_pipeline.storage.folders import scratch_file

_GROUPS = 64
_WAITING_BYTES = 64 << 20
"""Bytes of readings that may wait in memory to be written to the files."""


class KeptReadings:
    """Readings that later rows need, found again when their turn has come.

    :meth:`put` and :meth:`take` are to be called in the order of the rows.

    :param batches: those of the run, in order.
    :param needed: of each batch, the rows of it and of those before it whose reading it repeats; int64, sorted.
    :param schema: that of the readings; its column :data:`READ_ROW` says for which row they are.
    """

    def __init__(self, batches: Sequence[BatchRef], needed: Iterable[Rows], schema: pa.Schema) -> None:
        self._schema = schema
        self._size = -(-len(batches) // _GROUPS)
        rows = iter(needed)
        groups = -(-len(batches) // self._size)
        self._needed = [np.unique(np.concatenate(list(islice(rows, self._size)))) for _ in range(groups)]
        self._waiting: list[list[pa.Table]] = [[] for _ in self._needed]
        self._waiting_bytes = 0
        self._files = ExitStack()
        self._spilled: dict[int, _Spill] = {}
        self._group = -1
        self._tables: list[pa.Table] = []
        self._keys: list[Rows] = []

    def __enter__(self) -> KeptReadings:
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.close()

    def put(self, readings: pa.Table, batch: BatchRef) -> None:
        """Keep what is needed later of some readings of ``batch``, which are sorted by row and page."""
        keys = readings[READ_ROW].to_numpy()
        self._enter_group(batch)
        for group in range(self._group, len(self._needed)):
            needed = self._needed[group]
            first, end = np.searchsorted(needed, [batch.first_row, batch.first_row + batch.rows])
            indices, _ = pages_of(needed[first:end], keys)
            if not len(indices):
                continue
            kept = readings.take(indices)
            if group == self._group:
                self._add(kept)
            else:
                self._waiting[group].append(kept)
                self._waiting_bytes += kept.nbytes
        if self._waiting_bytes > _WAITING_BYTES:
            self._write_waiting()

    def take(self, rows: Rows, batch: BatchRef) -> pa.Table:
        """The readings that ``batch`` needs for earlier ``rows``, sorted by row and page.

        :param rows: int64, sorted, without repeats; those for which nothing was put are left out.
        """
        self._enter_group(batch)
        found = [self._schema.empty_table()]
        for table, keys in zip(self._tables, self._keys, strict=True):
            # From each by itself: to take from several at once, Arrow would copy all of them first.
            indices, _ = pages_of(rows, keys)
            if len(indices):
                found.append(table.take(indices))
        return pa.concat_tables(found)

    def _enter_group(self, batch: BatchRef) -> None:
        group = batch.index // self._size
        if group == self._group:
            return
        self._group = group
        self._tables, self._keys = [], []
        tables = []
        if spill := self._spilled.pop(group, None):
            tables.append(spill.read())
            spill.close()
        waiting, self._waiting[group] = self._waiting[group], []
        self._waiting_bytes -= sum(table.nbytes for table in waiting)
        if tables or waiting:
            self._add(pa.concat_tables([*tables, *waiting]).combine_chunks())

    def _add(self, table: pa.Table) -> None:
        self._tables.append(table)
        self._keys.append(table[READ_ROW].to_numpy())

    def _write_waiting(self) -> None:
        for group, tables in enumerate(self._waiting):
            if not tables:
                continue
            if group not in self._spilled:
                self._spilled[group] = self._files.enter_context(closing(_Spill(self._schema)))
            self._spilled[group].write(pa.concat_tables(tables).combine_chunks())
            self._waiting[group] = []
        self._waiting_bytes = 0


class _Spill:
    """Tables on disk, in a file without a name, so that nothing is left of it when the process is killed."""

    def __init__(self, schema: pa.Schema) -> None:
        self._file = scratch_file()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._writer = pa.ipc.new_stream(self._file, schema, options=options)

    def write(self, table: pa.Table) -> None:
        """Append ``table``."""
        self._writer.write_table(table)

    def read(self) -> pa.Table:
        """All tables as one; nothing can be written afterwards."""
        self._writer.close()
        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as reader:
            return reader.read_all()

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


def pages_of(images: Rows, keys: Rows) -> tuple[Rows, Rows]:
    """Where in the sorted ``keys`` the pages of each of ``images`` are, and how many each has."""
    starts = np.searchsorted(keys, images, side="left")
    pages = np.searchsorted(keys, images, side="right") - starts
    within = np.arange(pages.sum()) - np.repeat(np.cumsum(pages) - pages, pages)
    return np.repeat(starts, pages) + within, pages
