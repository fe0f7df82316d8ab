"""Finding the rows that are asked for, in limited time.

Texts come first (:mod:`ocr_pipeline.viewing.scanning`); then what else a row must be like, and the order of the rows, a
part of the table at a time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np

from ocr_pipeline.records import BatchRef, Rows
from ocr_pipeline.run.index import POSITION, as_searched
from ocr_pipeline.viewing.questions import RowQuery
from ocr_pipeline.viewing.scanning import Mask, texts_with
from ocr_pipeline.viewing.table import Entry, Table

_FIRST_ROWS = 256 * 1024
"""How many rows the database looks at before it is known how fast that goes."""

_ORDER_SHARE = 0.25
"""Of the time to look in texts, what ordering those that were found may take in any case."""


@dataclass(frozen=True, slots=True)
class Found:
    """Rows that were asked for, how many match, and how many were looked at."""

    entries: list[Entry]
    total: int
    searched: int


def find(table: Table, query: RowQuery, batch: BatchRef | None, seconds: float | None) -> Found:
    """The rows of ``table`` that ``query`` asks for.

    :param batch: the one that it asks for.
    :param seconds: how long to look before answering with what was found; None for as long as it takes.
    """
    began = time.monotonic()
    where, values = _conditions(query)
    needle = as_searched(query.text)
    with table.asking() as database:
        start, end = table.bounds(database, batch) if batch else (0, table.rows)
        stop, matched = end, None
        if needle:
            deadline = None if seconds is None else began + seconds
            matched = texts_with(database, table.texts(start, end), needle, deadline)
            stop = start + len(matched)
        if where is None and query.column == "row":
            matching: Sequence[int] | Rows = range(start, stop) if matched is None else start + np.flatnonzero(matched)
            page = matching[::-1] if query.descending else matching
            positions = [int(position) for position in page[query.offset : query.offset + query.limit]]
            return Found(table.entries(database, positions), len(matching), table.rows - (end - stop))
        ordering = _Ordering(table, database, query, where or "true", values, start, matched)
        deadline = None if seconds is None else max(began + seconds, time.monotonic() + seconds * _ORDER_SHARE)
        stop = ordering.look(start, stop, deadline)
        return Found(table.entries(database, ordering.page()), ordering.total, table.rows - (end - stop))


class _Ordering:
    """Puts the rows that match in order, a part of the table at a time; keeps only as many as are wanted.

    :param where: what rows must be like, with ``values`` for its parameters.
    :param first: the position of the first.
    :param matched: whether what is looked for is in the text of each, from the first on; None where nothing is.
    """

    def __init__(
        self,
        table: Table,
        database: duckdb.DuckDBPyConnection,
        query: RowQuery,
        where: str,
        values: dict[str, Any],
        first: int,
        matched: Mask | None,
    ) -> None:
        self._table = table
        self._database = database
        self._query = query
        self._where = where
        self._values = values
        self._first = first
        self._matched = matched
        self._key = {"row": POSITION, "random": "hash(row, page)"}.get(query.column, query.column)
        self._order = f"key {'DESC' if query.descending else 'ASC'} NULLS LAST, {POSITION}"
        self.total = 0

    def look(self, start: int, end: int, deadline: float | None) -> int:
        """Look at the rows at the positions from ``start`` to ``end``, until time is up; gives where that was."""
        position = start
        size = end - start if deadline is None else _FIRST_ROWS
        while position < end:
            began = time.monotonic()
            if position > start and deadline is not None and began > deadline:
                break
            stop = min(end, position + size)
            self._look_at(position, stop)
            if deadline is not None:
                now = time.monotonic()
                size = max(_FIRST_ROWS, int((stop - position) / max(now - began, 1e-6) * (deadline - now) / 2))
            position = stop
        return position

    def page(self) -> list[int]:
        """The positions of the rows that are wanted."""
        if not self.total:
            return []
        found = self._database.execute(
            f"SELECT {POSITION} FROM found ORDER BY {self._order} LIMIT $1 OFFSET $2",
            [self._query.limit, self._query.offset],
        )
        return [position for (position,) in found.fetchall()]

    def _look_at(self, start: int, stop: int) -> None:
        source, given = self._table.part(self._database, start, stop)
        where, given = self._where, given | self._values
        if self._matched is not None:
            # A bit each: joining with the positions of most of a million rows takes three times as long. Only rows of
            # this part come so far, as DuckDB does what cannot fail, such as comparing positions, first.
            bits = np.packbits(self._matched[start - self._first : stop - self._first])
            where += f" AND get_bit($bits::BLOB::BIT, ({POSITION} - $bits_start)::INTEGER) = 1"
            given |= {"bits": bits.tobytes(), "bits_start": start}
        self._database.execute(
            f"CREATE OR REPLACE TEMP TABLE hits AS SELECT {POSITION}, {self._key} AS key FROM {source} WHERE {where}",
            given,
        )
        self.total += self._database.execute("SELECT count(*) FROM hits").fetchall()[0][0]
        self._database.execute("CREATE TEMP TABLE IF NOT EXISTS found AS FROM hits LIMIT 0")
        # So that what is kept does not grow with what matches.
        wanted = self._query.offset + self._query.limit
        self._database.execute(f"INSERT INTO found FROM hits ORDER BY {self._order} LIMIT $1", [wanted])


def _conditions(query: RowQuery) -> tuple[str | None, dict[str, Any]]:
    """What a row must be like but for its text and its batch, in SQL, and its parameters; None for whatever it is."""
    terms: list[str] = []
    values: dict[str, Any] = {}

    def add(term: str, **given: Any) -> None:
        terms.append(term)
        values.update(given)

    if query.status:
        add("list_contains($status::VARCHAR[], status)", status=list(query.status))
    if query.error:
        add("list_contains($error::VARCHAR[], error)", error=list(query.error))
    if query.warning:
        add("list_has_any($warning::VARCHAR[], string_split(warning, ','))", warning=list(query.warning))
    if query.host:
        add("host = $host", host=query.host.lower())
    least, most = query.confidence
    if least is not None:
        add("confidence >= $least", least=least)
    if most is not None:
        add("confidence <= $most", most=most)
    return " AND ".join(terms) or None, values
