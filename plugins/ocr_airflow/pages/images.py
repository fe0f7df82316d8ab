"""A page of an image as it is shown: its lines with the outlines that are drawn over its picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ocr_pipeline.records import RESULT_COLUMNS, TextLine
from ocr_pipeline.viewing.answers import Record

UNSURE = 0.8
"""Lines the recogniser is less sure of than this are marked."""


@dataclass(frozen=True, slots=True)
class Outlined:
    """A line of text; ``points`` are the corners of its quadrilateral as SVG writes them, in pixels of the page."""

    text: str
    confidence: float
    points: str

    @classmethod
    def of(cls, line: TextLine) -> Self:
        """The line as it is drawn."""
        return cls(line.text, line.confidence, " ".join(f"{x:.1f},{y:.1f}" for x, y in line.quad))

    @property
    def unsure(self) -> bool:
        """Whether it may well be wrong."""
        return self.confidence < UNSURE


@dataclass(frozen=True, slots=True)
class ImagePage:
    """A page of an image with everything that is shown of it. ``pictured``: whether its picture was kept."""

    record: Record
    pictured: bool

    @property
    def lines(self) -> list[Outlined]:
        """Its lines in the order of reading."""
        return [Outlined.of(line) for line in self.record.lines]

    @property
    def worded(self) -> bool:
        """Whether its words were asked for."""
        return any(line.words for line in self.record.lines)


def values_of(record: Record) -> Mapping[str, Any]:
    """Its row of the results: the dataset's own columns, then those of the contract."""
    return {**record.own, **{column.name: getattr(record.result, column.field) for column in RESULT_COLUMNS}}
