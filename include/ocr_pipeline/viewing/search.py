"""Finding the rows that are asked for, in limited time.

Texts are searched by themselves (:mod:`ocr_pipeline.viewing.scanning`); what else a row must be like, and the order of
the rows, is for the database, a part of the table at a time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ocr_pipeline.records import BatchRef, Rows
from ocr_pipeline.run.index import POSITION, as_searched
from ocr_pipeline.viewing.questions import RowQuery
from ocr_pipeline.viewing.scanning import positions_with
from ocr_pipeline.viewing.table import Entry, Table

_FIRST_ROWS = 128 * 1024
"""How many rows the database looks at before it is known how fast that goes."""

_MATCHED = "matched"


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
    deadline = None if seconds is None else time.monotonic() + seconds
    where, values = _conditions(query)
    needle = as_searched(query.text)
    with table.asking() as database:
        start, end = table.bounds(database, batch) if batch else (0, table.rows)
        stop, matched = end, None
        if needle:
            matched, stopped = positions_with(table.texts(start, end), needle, deadline)
            stop = end if stopped is None else stopped
        if where is None and query.column == "row":
            matching: Sequence[int] | Rows = range(start, stop) if matched is None else matched
            page = matching[::-1] if query.descending else matching
            positions = [int(position) for position in page[query.offset : query.offset + query.limit]]
            return Found(table.entries(database, positions), len(matching), table.rows - (end - stop))
        ordering = _Ordering(table, database, query, where or "true", values, matched)
        stop = ordering.look(start, stop, deadline)
        return Found(table.entries(database, ordering.page()), ordering.total, table.rows - (end - stop))


class _Ordering:
    """Puts the rows that match in order, a part of the table at a time; keeps only as many as are wanted.

    :param where: what rows must be like, with ``values`` for its parameters.
    :param matched: the positions of those in whose texts something was found, in order; None for all.
    """

    def __init__(
        self,
        table: Table,
        database: duckdb.DuckDBPyConnection,
        query: RowQuery,
        where: str,
        values: dict[str, Any],
        matched: Rows | None,
    ) -> None:
        self._table = table
        self._database = database
        self._query = query
        self._where = where
        self._values = values
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
        if self._matched is not None:
            here = self._matched[slice(*np.searchsorted(self._matched, [start, stop]))]
            if not len(here):
                return
            self._database.register(_MATCHED, pa.Table.from_arrays([pa.array(here)], names=[POSITION]))
            source = f"(FROM {source} SEMI JOIN {_MATCHED} USING ({POSITION}))"
        self._database.execute(
            f"CREATE OR REPLACE TEMP TABLE hits AS SELECT {POSITION}, {self._key} AS key FROM {source} "
            f"WHERE {self._where}",
            given | self._values,
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
