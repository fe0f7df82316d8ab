"""Leafing from image to image: through the dataset, or through the list of rows that somebody came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from ocr_airflow.pages.filters import ROWS_ON_A_PAGE, RowFilter
from ocr_airflow.pages.links import Query
from ocr_pipeline.viewing.answers import PageRef, RowFound
from ocr_pipeline.viewing.results import RunResults

_MOST = 10**12


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list of rows: which list, and the how many-eth of its rows, from 0; None where that is not known."""

    chosen: RowFilter
    at: int | None = None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """From the query of an image's address."""
        chosen, at = RowFilter.parse(query), query.get("at", "")
        known = at.isascii() and at.isdigit() and len(at) <= 12 and (chosen.chosen or chosen.sort)
        return cls(chosen, min(int(at), _MOST) if known else None)

    def query(self) -> Query:
        """What :meth:`parse` makes this of."""
        return {**self.chosen.query(), "at": self.at}

    @property
    def from_list(self) -> bool:
        """Whether it is in another list than the first rows of all."""
        return self.chosen != RowFilter()

    def list_query(self) -> Query:
        """The query of the list, at the page that has the place."""
        chosen = self.chosen if self.at is None else self.chosen.at(self.at // ROWS_ON_A_PAGE)
        return chosen.query()


@dataclass(frozen=True, slots=True)
class Leaf:
    """Another image to go to, and its place in the list."""

    to: PageRef
    place: Place


@dataclass(frozen=True, slots=True)
class Leaves:
    """The images before and after one, None where there is none. ``listed``: in the list, not in the dataset."""

    previous: Leaf | None
    following: Leaf | None
    listed: bool = False

    @classmethod
    def around(cls, results: RunResults, row: int, place: Place) -> Self:
        """Those around ``row``: in its list, where it is still in its place there; else in the dataset.

        :raises StorageError: when the run's folder cannot be read.
        """
        if place.at is not None and (listed := cls._listed(results, row, place, place.at)):
            return listed
        plain = replace(place, at=None)
        neighbours = (PageRef(number, 0) if 0 <= number < results.plan.rows else None for number in (row - 1, row + 1))
        previous, following = (Leaf(to, plain) if to else None for to in neighbours)
        return cls(previous, following)

    @classmethod
    def _listed(cls, results: RunResults, row: int, place: Place, at: int) -> Self | None:
        first = max(at - 1, 0)
        asked = replace(place.chosen.asked(), offset=first, limit=3)
        found = dict(enumerate(results.rows(asked).rows, first))
        # The list of a run that goes on grows; where it was searched only in part, it may have been more last time.
        if at not in found or found[at].row != row:
            return None
        previous, following = (_leaf(found.get(number), place, number) for number in (at - 1, at + 1))
        return cls(previous, following, listed=True)


def _leaf(found: RowFound | None, place: Place, at: int) -> Leaf | None:
    return Leaf(PageRef(found.row, found.page), replace(place, at=at)) if found else None
