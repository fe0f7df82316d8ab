"""A page of an image as it is shown: its lines with the outlines that are drawn over its picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocr_airflow.pages.links import web_address
from ocr_pipeline.errors import StagedBatchError

UNSURE = 0.8
"""Lines the recogniser is less sure of than this are marked."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; ``points`` are the corners of its quadrilateral as SVG writes them, in pixels of the page."""

    text: str
    confidence: float
    points: str

    @property
    def unsure(self) -> bool:
        """Whether it may well be wrong."""
        return self.confidence < UNSURE


@dataclass(frozen=True, slots=True)
class ImagePage:
    """A page of an image with everything that is shown of it.

    ``values`` is its row of the results, the dataset's columns included; ``address`` the link where it leads into the
    web; ``previous`` and ``next`` are rows.
    """

    row: int
    page: int
    pages: int
    link: str
    previous: int | None
    next: int | None
    values: Mapping[str, Any]
    lines: tuple[Line, ...]
    worded: bool
    pictured: bool

    @property
    def address(self) -> str | None:
        """The link, where a person may follow it."""
        return web_address(self.link)


def lines_of(described: str) -> tuple[tuple[Line, ...], bool]:
    """The lines that a cell of ``ocr_lines`` describes, and whether it describes their words as well.

    :raises StagedBatchError: when it describes none as it should.
    """
    try:
        entries: list[Mapping[str, Any]] = json.loads(described or "[]")
        lines = tuple(Line(str(e["text"]), float(e["confidence"]), _points(e["quad"])) for e in entries)
        return lines, any("words" in entry for entry in entries)
    except (ValueError, TypeError, KeyError) as error:
        raise StagedBatchError(f"ocr_lines of this row is damaged: {error}") from error


def _points(quad: Any) -> str:
    return " ".join(f"{float(x):.1f},{float(y):.1f}" for x, y in quad)
