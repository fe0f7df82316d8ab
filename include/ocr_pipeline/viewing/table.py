"""The index of the results as a table that DuckDB is asked about.

Each question has a database of its own in memory, which may read what it is told and nothing else, and has a limit of
memory and of threads: whoever asks, the API server, lives on. Values come in as parameters only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import duckdb
import pyarrow as pa

from ocr_pipeline.errors import Status, StorageError
from ocr_pipeline.records import BatchRef
from ocr_pipeline.viewing.answers import Distributions, Histogram, HostOverview, PageRef
from ocr_pipeline.viewing.scanning import THREADS

_OPTIONS: dict[str, Any] = {
    "threads": THREADS,
    "memory_limit": "512MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}

_FAILED = [status.value for status in Status if status.failed]
_READ = [Status.OK.value, Status.NO_TEXT.value]

_CONFIDENCES = tuple(number / 20 for number in range(21))
_SECONDS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, float("inf"))

_SHOWN = (
    "position, row, page, link, host, status, error, warning, confidence, bytes, fetch_seconds, read_seconds, beginning"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the index, as the column names say; without the texts to search in."""

    position: int
    row: int
    page: int
    link: str
    host: str
    status: str
    error: str | None
    warning: str | None
    confidence: float | None
    bytes: int | None
    fetch_seconds: float
    read_seconds: float
    beginning: str


class Table(ABC):
    """The rows of a run, or those that there are so far: a narrow one of each to be asked for, and what it stands for.

    Thread-safe.
    """

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def prepare(self, database: duckdb.DuckDBPyConnection) -> list[str]:
        """Show ``database`` what it is to read; gives the names of the files."""

    @abstractmethod
    def part(self, database: duckdb.DuckDBPyConnection, start: int, end: int) -> tuple[str, dict[str, Any]]:
        """What stands for the rows at the positions from ``start`` to ``end`` after FROM, and its parameters."""

    @abstractmethod
    def texts(self, start: int, end: int) -> Iterator[pa.StringArray]:
        """The texts to search in of the rows at the positions from ``start`` to ``end``, a part after the other."""

    @abstractmethod
    def values(self, positions: Sequence[int], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """What the results have at ``positions``, in their order: plain values by column.

        The dataset's own columns come first, then those of the contract.

        :param columns: only these.
        :raises StorageError: when it cannot be read.
        """

    @abstractmethod
    def bounds(self, database: duckdb.DuckDBPyConnection, batch: BatchRef) -> tuple[int, int]:
        """The positions of the rows of ``batch``: the first, and the one after the last."""

    def neighbours(
        self, batch: BatchRef, row: int, page: int
    ) -> tuple[Entry, int, PageRef | None, PageRef | None] | None:
        """A page of ``batch``, how many its image has, and the pages before and after it; None when it is not there."""
        with self.asking() as database:
            source, given = self.part(database, *self.bounds(database, batch))
            pages = database.execute(
                f"SELECT {_SHOWN} FROM {source} WHERE row = $row ORDER BY page", given | {"row": row}
            ).fetchall()
            own = next((entry for entry in (Entry(*values) for values in pages) if entry.page == page), None)
            if own is None:
                return None
            beside = self.entries(database, [own.position - 1, own.position + 1])
        places = {entry.position: PageRef(entry.row, entry.page) for entry in beside}
        return own, len(pages), places.get(own.position - 1), places.get(own.position + 1)

    def hosts(self, limit: int) -> list[HostOverview]:
        """The hosts with the most pages that failed, then those with the most pages."""
        with self.asking() as database:
            source, given = self.part(database, 0, self.rows)
            top = database.execute(
                f"SELECT host, count(*) AS pages, count(*) FILTER (list_contains($failed::VARCHAR[], status)) AS bad "
                f"FROM {source} GROUP BY host ORDER BY bad DESC, pages DESC, host LIMIT $limit",
                given | {"failed": _FAILED, "limit": limit},
            ).fetchall()
            source, given = self.part(database, 0, self.rows)
            errors: dict[str, dict[str, int]] = {host: {} for host, _, _ in top}
            for host, error, count in database.execute(
                f"SELECT host, error, count(*) AS pages FROM {source} "
                "WHERE error IS NOT NULL AND list_contains($hosts::VARCHAR[], host) "
                "GROUP BY host, error ORDER BY pages DESC, error",
                given | {"hosts": list(errors)},
            ).fetchall():
                errors[host][error] = count
        return [HostOverview(host, pages, failed, errors[host]) for host, pages, failed in top]

    def first(self, column: Literal["error", "warning"], most: int) -> dict[str, list[Entry]]:
        """The first rows, at most so many, of each category of failure, or with each list of warnings."""
        with self.asking() as database:
            source, given = self.part(database, 0, self.rows)
            found = database.execute(
                f"SELECT {column}, min(position, $most) FROM {source} WHERE {column} IS NOT NULL GROUP BY {column}",
                given | {"most": most},
            ).fetchall()
            there = self.entries(database, [position for _, positions in found for position in positions])
        entries = {entry.position: entry for entry in there}
        return {value: [entries[position] for position in positions] for value, positions in found}

    def distributions(self) -> Distributions:
        """How the values of pages lie: of those that were read, and of those that were fetched."""
        with self.asking() as database:
            return Distributions(
                self._histogram(database, "confidence", _CONFIDENCES, "confidence IS NOT NULL"),
                self._histogram(database, "fetch_seconds", _SECONDS, "fetch_seconds > 0 AND page = 0"),
                self._histogram(
                    database, "read_seconds", _SECONDS, "list_contains($read::VARCHAR[], status)", read=_READ
                ),
            )

    def _histogram(
        self,
        database: duckdb.DuckDBPyConnection,
        column: str,
        edges: Sequence[float],
        where: str,
        **values: Any,
    ) -> Histogram:
        source, given = self.part(database, 0, self.rows)
        # The last bin has its upper edge as well, as 1 is one for confidence.
        bins = " ".join(f"WHEN {column} < {edge} THEN {number}" for number, edge in enumerate(edges[1:-1]))
        last = len(edges) - 2
        counts = dict(
            database.execute(
                f"SELECT CASE {bins} ELSE {last} END AS bin, count(*) FROM {source} WHERE {where} GROUP BY bin",
                given | values,
            ).fetchall()
        )
        return Histogram(tuple(edges), tuple(counts.get(number, 0) for number in range(last + 1)))

    def entries(self, database: duckdb.DuckDBPyConnection, positions: Sequence[int]) -> list[Entry]:
        """The rows at ``positions``, in the order of these; those that are not there are left out."""
        there = [position for position in positions if 0 <= position < self.rows]
        if not there:
            return []
        source, given = self.part(database, min(there), max(there) + 1)
        found = database.execute(
            f"SELECT {_SHOWN} FROM {source} WHERE position IN (SELECT unnest($positions::BIGINT[]))",
            given | {"positions": there},
        ).fetchall()
        by_position = {values[0]: Entry(*values) for values in found}
        return [by_position[position] for position in there if position in by_position]

    @contextmanager
    def asking(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A database that can read what the table is and nothing else, for the time of a ``with`` block."""
        with duckdb.connect(":memory:", config=_OPTIONS) as database:
            database.execute("SET allowed_paths = $1", [self.prepare(database)])
            database.execute("SET enable_external_access = false")
            database.execute("SET lock_configuration = true")
            try:
                yield database
            except duckdb.Error as error:
                raise StorageError(f"the results cannot be searched: {error}") from error


def plain_values(table: pa.Table, row: int) -> dict[str, Any]:
    """A row of ``table`` as Python has its values; what Python has no value for, such as the year 10000, is text."""
    return {name: _plain(column[row]) for name, column in zip(table.column_names, table.columns, strict=True)}


def _plain(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError):
        return value.cast(pa.string()).as_py()
