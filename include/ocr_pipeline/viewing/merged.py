"""The results of a merged run: their index, and their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet

from ocr_pipeline.viewing.table import Table


class MergedTable(Table):
    """The index of a merged run, a Parquet file."""

    def __init__(self, index: Path) -> None:
        self._path = str(index)
        with pa.parquet.ParquetFile(index) as file:
            self._rows: int = file.metadata.num_rows

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self._rows

    @property
    def paths(self) -> list[str]:
        """The index."""
        return [self._path]

    def part(self, database: duckdb.DuckDBPyConnection, start: int, end: int) -> tuple[str, dict[str, Any]]:
        """The rows at the positions from ``start`` to ``end``."""
        return (
            "(FROM read_parquet($path) WHERE position >= $start AND position < $stop)",
            {"path": self._path, "start": start, "stop": end},
        )


def read_row(results: Path, position: int) -> dict[str, Any]:
    """A row of the results, as plain values by column."""
    with pa.parquet.ParquetFile(results) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if position < rows:
                values: dict[str, Any] = file.read_row_group(group).slice(position, 1).to_pylist()[0]
                return values
            position -= rows
    raise IndexError(position)
