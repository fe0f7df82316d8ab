"""At what sizes the detection network looks at a page: what it misses is print that is small for its page."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from ocr_pipeline.ocr.geometry import Quads, heights
from ocr_pipeline.records import Pixels

STRIDE = 32
"""Both sides of what the detection network is given are multiples of this."""

SIZE = 960
"""Longest side, in pixels, of what the network sees of a page of ordinary shape, unless told otherwise."""

LARGEST = 1920
"""The longest side of what it sees when it looks again for small print. Of larger pages it may see twice what it saw
before, up to the page as it is."""

_MAX_ASPECT = 3
"""Pages longer than this many times their breadth are seen in several tiles instead of being reduced further."""

_MOST_REDUCED = 4
"""No page is reduced further: print of 8 points at 300 dpi is 8 pixels high then (decision 74)."""

_SMALL_PRINT = 13
"""Median height of a page's boxes, in pixels of what the network saw, below which it looks again at a larger scale.

See decision 66: larger print is not read better at a larger scale.
"""

_AIM = 20
"""The median height that the boxes should have then."""

_WORTH = 1.25
"""How many times as large as the last look one must be that is worth its time."""

_INK_SCALE = 1920
"""The size to which a page is reduced to see where it has ink."""

_NEAR = 9
"""Pixels of that around each in which ink and paper are compared."""

_CONTRAST = 40
"""How much they differ, in 256 levels of grey."""

_SPECK = 6
"""What is smaller than this on both sides, in pixels of that, is dust."""

_BAR = 0.1
"""Share of a page that a bar along its edges may cover."""

_PAPER = 0.3
"""Share of a page with ink up to which it may be a document, which is looked at as closely as it can be."""

_HALVED = 3
"""From this many times their new size on, pixels are halved first."""

Ink = npt.NDArray[np.bool_]
"""Where a page has ink, or anything else that stands out: bool (height, width), reduced."""


def first_size(height: int, width: int, size: int) -> int:
    """The size at which a page is looked at first: ``size``, or more where it would be reduced too far."""
    return max(size, _whole_strides(_basis(height, width) / _MOST_REDUCED))


def size_for_small_print(boxes: Quads, seen: tuple[int, int], page: tuple[int, int], size: int) -> int | None:
    """The size at which to look again at a page of which a picture was seen; None where that is large enough.

    In quarters of ``size``, so that sizes are few.

    :param seen: height and width of the picture.
    :param page: those of the page.
    """
    usual = float(np.median(heights(boxes))) if len(boxes) else _SMALL_PRINT
    if usual >= _SMALL_PRINT:
        return None
    basis = _basis(*seen)
    quarter = math.ceil(size / 4 / STRIDE) * STRIDE
    most = max(LARGEST, min(2 * basis, _whole_strides(_basis(*page))))
    larger = min(math.ceil(basis * _AIM / usual / quarter) * quarter, most)
    return larger if larger >= _WORTH * basis else None


def sizes_for_nothing(height: int, width: int, size: int, ink: Ink) -> Iterator[int]:
    """Sizes at which to look again at a page on which nothing was found at ``size``: each twice the one before.

    A photograph, which stands out everywhere, gets one more look. See decision 74.
    """
    whole = _whole_strides(_basis(height, width))
    share = float(ink.mean())
    while share > 0 and size < whole:
        size = min(2 * size, whole)
        yield size
        if share > _PAPER:
            return


def find_ink(pixels: Pixels) -> Ink:
    """Where ``pixels`` have ink: more than a speck of it, and not the bar along an edge that scanners leave."""
    grey = cv2.cvtColor(
        resized(pixels, *reduced_size(pixels.shape[0], pixels.shape[1], _INK_SCALE)), cv2.COLOR_BGR2GRAY
    )
    height, width = grey.shape
    near = np.ones((_NEAR, _NEAR), np.uint8)
    contrast = cv2.subtract(cv2.dilate(grey, near), cv2.erode(grey, near))
    _, labels, found, _ = cv2.connectedComponentsWithStats((contrast >= _CONTRAST).astype(np.uint8))
    left, top, across, down, area = found.T
    large = np.maximum(across, down) >= _SPECK + _NEAR - 1
    at_side, at_end = (left == 0) | (left + across == width), (top == 0) | (top + down == height)
    long = at_side & (2 * down > height) | at_end & (2 * across > width)
    bar = long & (area < _BAR * height * width)
    # The first is what is no ink.
    return np.asarray((large & ~bar & (np.arange(len(found)) > 0))[labels], np.bool_)


def reduced_size(height: int, width: int, size: int = SIZE, *, enlarge: bool = False) -> tuple[int, int]:
    """The height and width to which a page is reduced for detection, and to whole strides.

    :param enlarge: whether a smaller page is enlarged; otherwise it stays as it is, but for the strides.
    """
    scale = size / _basis(height, width)
    if not enlarge:
        scale = min(1.0, scale)
    return _whole_strides(height * scale), _whole_strides(width * scale)


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """``pixels`` at another size: each is an average of what it stands for, or between its neighbours if enlarged.

    They are returned themselves where they have that size.
    """
    if pixels.shape[:2] == (height, width):
        return np.ascontiguousarray(pixels)
    # Averages of four, which lie in the middle between them, are had five times as fast as those of other numbers.
    while pixels.shape[0] >= _HALVED * height and pixels.shape[1] >= _HALVED * width:
        half = pixels.shape[0] // 2, pixels.shape[1] // 2
        even = pixels[: 2 * half[0], : 2 * half[1]]
        pixels = np.asarray(cv2.resize(even, half[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    smaller = height < pixels.shape[0]
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)


def _basis(height: int, width: int) -> int:
    """What of a page is reduced to the size: its longest side, or less where it is seen in tiles."""
    return min(max(height, width), _MAX_ASPECT * min(height, width))


def _whole_strides(length: float) -> int:
    return max(STRIDE, round(length / STRIDE) * STRIDE)
