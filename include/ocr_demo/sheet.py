"""A drawing surface that remembers what was written on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from PIL import Image, ImageDraw

from ocr_demo.fonts import Face, Font

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""

Align = Literal["left", "centre", "right"]
_ANCHORS: dict[Align, str] = {"left": "la", "centre": "ma", "right": "ra"}

_NO_LINE_START = frozenset("、。，．：；！？）」』】》・ー")
"""Characters that Chinese and Japanese typesetting keeps off the start of a line."""


@dataclass(frozen=True, slots=True)
class Pen:
    """How text is written: typeface, size in pixels to the em, colour, and extra thickness in pixels.

    ``weight`` stands in for a bold face where a script has none here.
    """

    face: Face
    size: int
    ink: Colour = (25, 25, 28)
    weight: int = 0

    @property
    def font(self) -> Font:
        """The typeface at this pen's size."""
        return self.face.at(self.size)

    def width(self, text: str) -> float:
        """Width of ``text`` in pixels."""
        return self.font.getlength(text) + 2 * self.weight

    def fitted(self, text: str, width: float) -> Pen:
        """This pen, made smaller where ``text`` would be wider than ``width`` pixels."""
        excess = self.width(text) / width
        return self if excess <= 1 else Pen(self.face, max(8, int(self.size / excess)), self.ink, self.weight)


class Sheet:
    """A surface of ``width`` x ``height`` pixels; ``ground`` None makes it transparent.

    ``lines`` is the text written so far, one entry a visible line, in reading order as long as the drawing
    code writes from top to bottom.
    """

    def __init__(self, width: int, height: int, ground: Colour | None) -> None:
        self.image = Image.new("RGBA", (width, height), (*ground, 255) if ground else (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.image)
        self.lines: list[str] = []

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.image.height

    def write(self, x: float, y: float, text: str, pen: Pen, align: Align = "left") -> None:
        """Write one line whose ascender line is ``y`` and whose left, middle or right is ``x``."""
        self.row(y, [(x, text, align)], pen)

    def row(self, y: float, cells: Sequence[tuple[float, str, Align]], pen: Pen) -> None:
        """Write ``(x, text, align)`` cells side by side: one line of the truth, from left to right.

        :raises ValueError: when the typeface lacks a character, which would be drawn as an empty box.
        """
        for x, text, align in cells:
            if missing := pen.face.missing(text):
                raise ValueError(f"{pen.face} has no glyph for {missing!r} in {text!r}: write it with another face")
            self.draw.text(
                (round(x), round(y)),
                text,
                font=pen.font,
                fill=(*pen.ink, 255),
                anchor=_ANCHORS[align],
                stroke_width=pen.weight,
            )
        self.lines.append(" ".join(text for _, text, _ in cells))

    def paragraph(self, left: float, top: float, width: float, text: str, pen: Pen, leading: float = 1.45) -> float:
        """Write ``text`` in lines no wider than ``width`` pixels; return the y below the last one.

        ``leading`` is the distance from line to line in ems.
        """
        for line in wrap(text, pen, width):
            self.write(left, top, line, pen)
            top += pen.size * leading
        return top

    def rule(self, y: float, left: float, right: float, ink: Colour, thickness: int = 2) -> None:
        """Draw a horizontal line."""
        self.draw.line((left, y, right, y), fill=(*ink, 255), width=thickness)

    def dashes(self, y: float, left: float, right: float, ink: Colour) -> None:
        """Draw a dashed horizontal line."""
        for x in range(round(left), round(right), 14):
            self.draw.line((x, y, min(x + 8, right), y), fill=(*ink, 255), width=2)

    def block(self, box: Box, fill: Colour, radius: int = 0) -> None:
        """Fill a rectangle, its corners rounded by ``radius`` pixels."""
        self.draw.rounded_rectangle(box, radius, fill=(*fill, 255))

    def frame(self, box: Box, ink: Colour, thickness: int = 2, radius: int = 0) -> None:
        """Outline a rectangle, its corners rounded by ``radius`` pixels."""
        self.draw.rounded_rectangle(box, radius, outline=(*ink, 255), width=thickness)

    def cut(self, height: float) -> None:
        """Keep only the topmost ``height`` pixels."""
        self.image = self.image.crop((0, 0, self.width, round(height)))
        self.draw = ImageDraw.Draw(self.image)

    def tear(self, depth: int = 7) -> None:
        """Give the lower edge the teeth of a paper cutter, ``depth`` pixels deep."""
        for x in range(0, self.width, 2 * depth):
            bottom = self.height
            self.draw.polygon(((x, bottom), (x + depth, bottom - depth), (x + 2 * depth, bottom)), fill=(0, 0, 0, 0))

    def round_off(self, radius: int) -> None:
        """Round the sheet's corners."""
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, self.width - 1, self.height - 1), radius, fill=255)
        self.image.putalpha(mask)

    def bars(self, box: Box, random: Random, ink: Colour = (20, 20, 20)) -> None:
        """Draw a barcode that stands for no number."""
        left, top, right, bottom = box
        x = left
        while x < right:
            width = random.choice((2, 2, 3, 4, 6))
            self.block((x, top, min(x + width, right), bottom), ink)
            x += width + random.choice((2, 3, 3, 5))


def wrap(text: str, pen: Pen, width: float) -> list[str]:
    """Break ``text`` into lines no wider than ``width`` pixels: between words, or anywhere without spaces."""
    spaced = " " in text
    units: Iterable[str] = text.split() if spaced else text
    glue = " " if spaced else ""
    lines: list[str] = []
    for unit in units:
        if not lines:
            lines.append(unit)
        elif pen.width(lines[-1] + glue + unit) <= width or (not spaced and unit in _NO_LINE_START):
            lines[-1] += glue + unit
        else:
            lines.append(unit)
    return lines
