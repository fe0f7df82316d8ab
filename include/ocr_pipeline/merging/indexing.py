"""Writing the index of the results beside them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from ocr_pipeline.merging.row_groups import RowGroups
from ocr_pipeline.run.blocks import RESULT_SCHEMA
from ocr_pipeline.run.index import INDEX_SCHEMA, REPEATED, RESULTS_BYTES, index_table

_GROUP_ROWS = 16 * 1024
_GROUP_BYTES = 16 << 20
"""Most rows and bytes of a Parquet row group: what has to be decoded to show a row."""


class IndexWriter:
    """Writes the index in a thread of its own, one table behind the results. A context manager.

    :param image_column: the dataset's column of links.
    :param base: where relative links start, as the plan has it.
    """

    def __init__(self, path: Path, image_column: str, base: str) -> None:
        self._image_column = image_column
        self._base = base
        self._file = RowGroups(path, INDEX_SCHEMA, _GROUP_ROWS, _GROUP_BYTES, use_dictionary=list(REPEATED))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._under_way: Future[None] | None = None
        self._position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._wait()
        finally:
            self._thread.shutdown()
            self._file.__exit__()

    def write(self, rows: pa.ChunkedArray, table: pa.Table) -> None:
        """Append the rows of a table of the results; ``rows`` are their numbers in the dataset."""
        self._wait()
        self._under_way = self._thread.submit(self._write, self._position, rows, table)
        self._position += table.num_rows

    def finish(self, results: Path) -> None:
        """Say of which file this is the index: the whole one at ``results``."""
        self._file.note(RESULTS_BYTES, str(results.stat().st_size))

    def _wait(self) -> None:
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None

    def _write(self, position: int, rows: pa.ChunkedArray, table: pa.Table) -> None:
        results = table.select(RESULT_SCHEMA.names)
        own = table.drop_columns(RESULT_SCHEMA.names)
        index = index_table(position, rows, own, results, self._image_column, self._base)
        self._file.write(index)
