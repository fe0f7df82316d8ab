"""What decoders give: a page, or the way to one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ocr_pipeline.images.pixels import turn_upright
from ocr_pipeline.records import PageWarning, Pixels


@dataclass(frozen=True, slots=True)
class Decoded:
    """A page as its file says: upright, BGR uint8.

    ``warnings`` say what may be missing; ``full_size`` is the page's own width and height, upright, where the pixels
    show it reduced.
    """

    pixels: Pixels
    warnings: tuple[PageWarning, ...] = ()
    full_size: tuple[int, int] | None = None


DecodePage = Callable[[], Decoded]
"""Decodes one page. Raises ``ImageError``, or whatever its library does; the pages after it are another matter."""


def upright(pixels: Pixels, orientation: int, *, reduced_from: tuple[int, int] | None = None) -> Decoded:
    """A page of pixels as stored and an EXIF orientation; ``reduced_from`` is its width and height as stored."""
    if reduced_from is None:
        return Decoded(turn_upright(pixels, orientation))
    width, height = reduced_from
    full_size = (height, width) if orientation in (5, 6, 7, 8) else (width, height)
    return Decoded(turn_upright(pixels, orientation), full_size=full_size)
