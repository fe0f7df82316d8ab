"""Writing the index of the results beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from ocr_pipeline.merging.row_groups import RowGroups
from ocr_pipeline.run.blocks import RESULT_SCHEMA
from ocr_pipeline.run.index import (
    INDEX_SCHEMA,
    REPEATED,
    RESULTS_BYTES,
    SEARCHED_BLOCKS,
    SEARCHED_BYTES,
    SEARCHED_SCHEMA,
    index_table,
    searched_texts,
)

_GROUP_ROWS = 16 * 1024
_GROUP_BYTES = 16 << 20
"""Most rows and bytes of a Parquet row group."""

_PAGE_BYTES = 64 << 10
"""About the size of a page in a row group: what has to be uncompressed for a row."""

_BLOCK_ROWS = 16 * 1024
_BLOCK_BYTES = 4 << 20
"""Most rows and about the bytes of a block of texts: what is searched at a time."""


class IndexWriter:
    """Writes the index in a thread of its own, one table behind the results. A context manager.

    :param index: where the narrow rows go.
    :param searched: where the texts to search in go.
    :param image_column: the dataset's column of links.
    :param base: where relative links start, as the plan has it.
    """

    def __init__(self, index: Path, searched: Path, image_column: str, base: str) -> None:
        self._image_column = image_column
        self._base = base
        self._searched_path = searched
        self._files = ExitStack()
        self._index = self._files.enter_context(
            RowGroups(
                index,
                INDEX_SCHEMA,
                _GROUP_ROWS,
                _GROUP_BYTES,
                use_dictionary=list(REPEATED),
                data_page_size=_PAGE_BYTES,
            )
        )
        self._texts = self._files.enter_context(ExitStack())
        self._searched = self._texts.enter_context(_Blocks(searched))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._under_way: Future[None] | None = None
        self._position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        self._files.close()

    def write(self, rows: pa.ChunkedArray, table: pa.Table) -> None:
        """Append the rows of a table of the results; ``rows`` are their numbers in the dataset."""
        self._wait()
        self._under_way = self._thread.submit(self._write, self._position, rows, table)
        self._position += table.num_rows

    def finish(self, results: Path) -> None:
        """Write what is left, and say with which file this goes: the whole one at ``results``."""
        self._wait()
        self._texts.close()
        self._index.note(RESULTS_BYTES, str(results.stat().st_size))
        self._index.note(SEARCHED_BYTES, str(self._searched_path.stat().st_size))
        self._index.note(SEARCHED_BLOCKS, json.dumps(self._searched.rows))

    def _wait(self) -> None:
        if self._under_way is not None:
            self._under_way.result()
            self._under_way = None

    def _write(self, position: int, rows: pa.ChunkedArray, table: pa.Table) -> None:
        results = table.select(RESULT_SCHEMA.names)
        own = table.drop_columns(RESULT_SCHEMA.names)
        self._index.write(index_table(position, rows, own, results, self._image_column, self._base))
        # A part at a time: texts that are joined must not come to more than Arrow has offsets for.
        for part in _parts(own.num_rows, own.nbytes + results["ocr_text"].nbytes):
            self._searched.write(searched_texts(own.slice(*part), results.slice(*part)))


def _parts(rows: int, size: int) -> Iterator[tuple[int, int]]:
    """Where parts of about :data:`_BLOCK_BYTES` begin, and how many rows they have."""
    step = max(1, min(_BLOCK_ROWS, rows * _BLOCK_BYTES // max(size, 1)))
    return ((start, step) for start in range(0, rows, step))


class _Blocks:
    """A file of texts, in blocks of about the same size whatever is written to it; ``rows`` are those of each."""

    def __init__(self, path: Path) -> None:
        self.rows: list[int] = []
        self._writer = pa.ipc.new_file(path, SEARCHED_SCHEMA)
        self._held: list[pa.Table] = []
        self._rows = self._bytes = 0

    def write(self, table: pa.Table) -> None:
        """Append ``table``, which is no larger than a block."""
        if self._rows + table.num_rows > _BLOCK_ROWS or self._bytes + table.nbytes > _BLOCK_BYTES:
            self._flush()
        self._held.append(table)
        self._rows += table.num_rows
        self._bytes += table.nbytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._flush()
        finally:
            self._writer.close()

    def _flush(self) -> None:
        if self._held:
            self.rows.append(self._rows)
            self._writer.write_table(pa.concat_tables(self._held).combine_chunks())
            self._held, self._rows, self._bytes = [], 0, 0
