"""Parquet files whose row groups have a size of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet


class RowGroups:
    """A Parquet file in zstd whose row groups are as large as said, whatever tables are written to it.

    :param rows: most rows of a row group.
    :param size: most bytes of one in memory, before encoding; a single row may have more.
    :param options: of Arrow's ParquetWriter.
    """

    def __init__(self, path: Path, schema: pa.Schema, rows: int, size: int, **options: Any) -> None:
        self._writer = pa.parquet.ParquetWriter(path, schema, compression="zstd", write_statistics=True, **options)
        self._most_rows = rows
        self._most_bytes = size
        self._held: list[pa.Table] = []
        self._rows = self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._flush()
        finally:
            self._writer.close()

    def write(self, table: pa.Table) -> None:
        """Append ``table``."""
        self._held.append(table)
        self._rows += table.num_rows
        self._bytes += table.nbytes
        if self._rows >= self._most_rows or self._bytes >= self._most_bytes:
            self._flush()

    def note(self, key: bytes, value: str) -> None:
        """Have the file say so in its metadata."""
        self._writer.add_key_value_metadata({key: value})

    def _flush(self) -> None:
        if not self._held:
            return
        rows = min(self._most_rows, self._rows * self._most_bytes // max(self._bytes, self._most_bytes))
        table = pa.concat_tables(self._held)
        self._held, self._rows, self._bytes = [], 0, 0
        self._writer.write_table(table, row_group_size=max(1, rows))
