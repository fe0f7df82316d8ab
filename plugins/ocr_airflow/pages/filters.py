"""Which rows are looked for, as the address of a page says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from ocr_pipeline.errors import ErrorCategory, Status, WarningCategory
from ocr_pipeline.viewing.questions import RowQuery
from ocr_pipeline.viewing.results import SECONDS

ROWS_ON_A_PAGE = 50
_LONGEST = 253
_LAST_PAGE = 10_000_000
_MOST_SECONDS = 45.0
"""Less than the minute after which most proxies give up."""

ORDERS: Mapping[str, str] = {
    "": "as in the dataset",
    "-row": "the last rows first",
    "confidence": "the least sure first",
    "-confidence": "the surest first",
    "-read_seconds": "the longest read first",
    "-fetch_seconds": "the longest fetched first",
    "-bytes": "the largest files first",
    "link": "by their links",
    "random": "at random",
}
"""The orders in which rows can be looked at, as an address names them, and for people."""


@dataclass(frozen=True, slots=True)
class RowFilter:
    """What a row must be like; what is empty or None says nothing.

    ``least`` and ``most`` bound the confidence, ``sort`` is a column, with a minus before it the other way round, and
    ``page`` counts the pages of the list from 0. ``every`` is for looking at every row, even if
    that takes long. ``refused`` is what the address said besides, and makes no sense.
    """

    text: str = ""
    status: str = ""
    error: str = ""
    warning: str = ""
    least: float | None = None
    most: float | None = None
    host: str = ""
    batch: int | None = None
    sort: str = ""
    page: int = 0
    every: bool = False
    refused: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """From the query of an address. People edit those: what makes no sense is left out, and noted."""
        given = {name: value.strip()[:_LONGEST] for name, value in query.items()}
        sort = given.get("sort", "")
        status, error, warning = (given.get(name, "") for name in ("status", "error", "warning"))
        chosen = cls(
            text=given.get("q", ""),
            status=status if status in list(Status) else "",
            error=error if error in list(ErrorCategory) else "",
            warning=warning if warning in list(WarningCategory) else "",
            least=_share(given.get("from", "")),
            most=_share(given.get("to", "")),
            host=given.get("host", "").lower(),
            batch=_count(given.get("batch", "")),
            sort=sort if sort in ORDERS else "",
            page=_count(given.get("page", "")) or 0,
            every=given.get("every") == "1",
        )
        taken = chosen.query()
        refused = {name: given[name] for name in taken if given.get(name) and taken[name] in (None, "")}
        return replace(chosen, refused={name: value for name, value in refused.items() if value not in ("0", "")})

    def query(self) -> dict[str, str | int | float | None]:
        """What :meth:`parse` makes this of."""
        return {
            "q": self.text,
            "status": self.status,
            "error": self.error,
            "warning": self.warning,
            "from": self.least,
            "to": self.most,
            "host": self.host,
            "batch": self.batch,
            "sort": self.sort,
            "page": self.page or None,
            "every": int(self.every) or None,
        }

    def place(self, index: int) -> dict[str, str | int | float | None]:
        """The query that an image of the list carries, so that there is a way back and on; ``index`` on this page."""
        listed = self.chosen or self.sort
        return {**self.query(), "at": self.page * ROWS_ON_A_PAGE + index if listed else None}

    def asked(self) -> RowQuery:
        """What the results are asked."""
        return RowQuery(
            text=self.text,
            status=(self.status,) if self.status else (),
            error=(self.error,) if self.error else (),
            warning=(self.warning,) if self.warning else (),
            host=self.host,
            batch=self.batch,
            confidence=(self.least, self.most),
            order=self.sort or "row",
            offset=self.page * ROWS_ON_A_PAGE,
            limit=ROWS_ON_A_PAGE,
        )

    @property
    def chosen(self) -> bool:
        """Whether it leaves out any row."""
        return replace(self, sort="", page=0, every=False) != RowFilter()

    @property
    def column(self) -> str:
        """The column that the rows are sorted by."""
        return self.sort.removeprefix("-") or "row"

    @property
    def descending(self) -> bool:
        """Whether the greatest comes first."""
        return self.sort.startswith("-")

    @property
    def seconds(self) -> float:
        """How long to look for such rows before answering with what was found."""
        return _MOST_SECONDS if self.every else SECONDS

    def thorough(self) -> Self:
        """The same rows, of all that there are."""
        return replace(self, every=True)

    def at(self, page: int) -> Self:
        """Another page of the same rows."""
        return replace(self, page=page)

    def sorted_by(self, column: str) -> Self:
        """The same rows sorted by ``column``; the other way round when they are already."""
        upwards = "" if column == "row" else column
        turned = column == self.column and not self.descending
        return replace(self, sort=f"-{column}" if turned else upwards, page=0)

    def direction(self, column: str) -> Literal["ascending", "descending"] | None:
        """How the rows are sorted by ``column``; None if by another."""
        if column != self.column:
            return None
        return "descending" if self.descending else "ascending"


def _count(text: str) -> int | None:
    """A number of something; None when the text is none."""
    if not (text.isascii() and text.isdigit()) or len(text) > 12:
        return None
    return min(int(text), _LAST_PAGE)


def _share(text: str) -> float | None:
    """A number from 0 to 1; None when the text is none."""
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None
