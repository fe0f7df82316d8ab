"""Typefaces and colours that go together."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from ocr_demo.fonts import Face
from ocr_demo.sheet import Colour, Pen

WHITE: Colour = (252, 252, 250)
PAPER: Colour = (246, 244, 238)
CREAM: Colour = (248, 240, 222)
INK: Colour = (28, 28, 32)
GREY: Colour = (92, 94, 100)
NIGHT: Colour = (20, 24, 34)


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of a label, a ticket or a sign: ``deep`` carries light text, ``pale`` dark text."""

    deep: Colour
    accent: Colour
    pale: Colour


PALETTES = (
    Palette((22, 62, 110), (230, 170, 52), (232, 240, 248)),
    Palette((24, 92, 66), (236, 196, 84), (234, 244, 234)),
    Palette((140, 34, 44), (240, 206, 150), (250, 236, 230)),
    Palette((74, 44, 104), (226, 142, 176), (242, 236, 248)),
    Palette((126, 70, 22), (246, 214, 142), (252, 242, 226)),
    Palette((16, 94, 104), (250, 206, 120), (228, 244, 244)),
    Palette((54, 60, 70), (236, 120, 66), (240, 240, 238)),
)

_LATIN = (
    (Face.SANS, Face.SANS_BOLD),
    (Face.HUMANIST, Face.HUMANIST_BOLD),
    (Face.ROUND, Face.ROUND_BOLD),
    (Face.SERIF, Face.SERIF_BOLD),
)
_TYPEWRITERS = (
    (Face.MONO, Face.MONO_BOLD),
    (Face.MONO_ROUND, Face.MONO_ROUND_BOLD),
    (Face.MONO_WIDE, Face.MONO_BOLD),
)
_IDEOGRAPHIC = {"ja": Face.JAPANESE, "zh": Face.CHINESE}


@dataclass(frozen=True, slots=True)
class Family:
    """A regular and a bold face; ``thickens`` when the bold one is the regular face drawn thicker."""

    regular: Face
    bold: Face
    thickens: bool = False

    def pen(self, size: int, ink: Colour = INK) -> Pen:
        """The regular face at ``size`` pixels to the em."""
        return Pen(self.regular, size, ink)

    def strong(self, size: int, ink: Colour = INK) -> Pen:
        """The bold face at ``size`` pixels to the em."""
        # A pixel more on either side is too much for the dense characters of small type.
        return Pen(self.bold, size, ink, size // 34 if self.thickens else 0)


def _family(language: str, pairs: tuple[tuple[Face, Face], ...], random: Random) -> Family:
    pair = random.choice(pairs)
    if face := _IDEOGRAPHIC.get(language):
        return Family(face, face, thickens=True)
    return Family(*pair)


def display(language: str, random: Random) -> Family:
    """A family for titles, labels and tables."""
    return _family(language, _LATIN, random)


def typewriter(language: str, random: Random) -> Family:
    """A family as tills and label printers have it: every character equally wide, where the script allows."""
    return _family(language, _TYPEWRITERS, random)


def book(language: str) -> Family:
    """The family of running text."""
    return _family(language, ((Face.SERIF, Face.SERIF_BOLD),), Random(0))
