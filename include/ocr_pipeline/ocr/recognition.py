"""Reading lines: cut each from the page, straight to the height that the network wants, and decode its classes.

Decoding is connectionist temporal classification (CTC), best path: Graves et al., ICML 2006.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ocr_pipeline.ocr.geometry import Corners, Quads, sides, stretch_of
from ocr_pipeline.ocr.runners import Network
from ocr_pipeline.records import Pixels

HEIGHT = 48
"""Height in pixels of a line as the network sees it."""

MAX_WIDTH = 3200
"""Lines that would be wider at that height are read in pieces (PP-OCR squeezes them to this)."""

_BUCKETS = (*range(32, 256, 32), *range(256, 512, 64), *range(512, 1024, 128), *range(1024, MAX_WIDTH + 256, 256))
"""Widths to which lines are padded, so that the network sees few different shapes."""

LINE_SHAPES = 16
"""Shapes of lines that are worth a network of their own: what nine of ten lines have on receipts and book pages."""

_BATCH = 2
"""Lines read at a time: larger batches only pad more, as the network fills a core already (measured)."""

_MANY = 64
"""Lines handed over at a time where lines of several pages are read together."""

_WIDE_BUCKET = 128
"""Widths are padded to multiples of this then. Much more padding costs accuracy (measured)."""

BATCH_PIXELS = 1 << 20
"""Of the lines that run together on a GPU: 64 short ones, or 4 of the longest.

What takes the memory is behind the pixels: with every character, 18,710 probabilities for each 384 of them.
"""

_PADDING = 127
"""The grey that normalises to 0, with which PP-OCR pads."""

_REACH = 4 * HEIGHT
"""How far, in pixels at that height, a cut in a long line may be moved to fall between words."""

_FIRST_UNSPACED = "\u2e80"
"""Scripts from here on in Unicode (Chinese, Japanese) are written without spaces between words."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a line says and the mean probability of its characters."""

    text: str
    confidence: float


def recognise(
    pixels: Pixels, quads: Quads, network: Network, characters: Sequence[str], *, few_shapes: bool = False
) -> list[Reading]:
    """Read the line inside each of ``quads``, which start where reading starts; the results are in their order.

    With ``few_shapes``, lines are padded more and read many at a time, so that those of several pages can run together.
    """
    pieces: list[Corners] = []
    owners: list[int] = []
    for index, corners in enumerate(quads):
        parts = _pieces(pixels, corners)
        pieces += parts
        owners += [index] * len(parts)
    widths = [line_width(piece) for piece in pieces]
    readings = [Reading("", 0.0)] * len(pieces)
    for indices, bucket in _large_batches(widths) if few_shapes else _batches(widths):
        lines = np.full((len(indices), HEIGHT, bucket, 3), _PADDING, np.uint8)
        for line, index in zip(lines, indices, strict=True):
            line[:, : widths[index]] = cut(pixels, pieces[index], widths[index])
        probabilities, classes = network(lines)
        for row, index in enumerate(indices):
            readings[index] = decode(classes[row].ravel(), probabilities[row].ravel(), characters)
    joined: list[list[Reading]] = [[] for _ in quads]
    for owner, reading in zip(owners, readings, strict=True):
        joined[owner].append(reading)
    return [_join(parts) for parts in joined]


def line_width(corners: Corners) -> int:
    """How wide a line is in pixels when scaled to :data:`HEIGHT`."""
    across, down = sides(corners)
    return max(1, math.ceil(HEIGHT * across / max(down, 1.0)))


def cut(pixels: Pixels, corners: Corners, width: int) -> Pixels:
    """The line inside ``corners``, straightened: uint8 (48, width, 3).

    One warp from the original pixels; going through a full-size crop would blur twice and cost more.
    """
    # OpenCV warps in 16-bit coordinates, which wrap beyond 32,767 pixels: give it the line's surroundings only.
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    high = np.ceil(corners.max(axis=0)).astype(int) + 2
    around = pixels[low[1] : high[1], low[0] : high[0]]
    target = np.array([[0, 0], [width, 0], [width, HEIGHT], [0, HEIGHT]], np.float32)
    transform = cv2.getPerspectiveTransform(corners - low.astype(np.float32), target)
    line = cv2.warpPerspective(
        around, transform, (width, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(line, np.uint8)


def _pieces(pixels: Pixels, corners: Corners) -> list[Corners]:
    """Cut a line that is too long to be read at once, where it is emptiest near equal parts."""
    width = line_width(corners)
    if width <= MAX_WIDTH:
        return [corners]
    count = math.ceil(width / (MAX_WIDTH - 2 * _REACH))
    reach = _REACH / width
    edges = [0.0]
    for part in range(1, count):
        start, stop = part / count - reach, part / count + reach
        strip = cut(pixels, stretch_of(corners, start, stop), 2 * _REACH)
        contrast = np.asarray(cv2.cvtColor(strip, cv2.COLOR_BGR2GRAY), np.float32).std(axis=0)
        # Averaged over some columns, so that the middle of a gap wins and not the first blank column.
        smooth = np.convolve(contrast, np.ones(7), mode="same")[4:-4]
        edges.append(start + (stop - start) * (int(smooth.argmin()) + 4.5) / (2 * _REACH))
    edges.append(1.0)
    return [stretch_of(corners, start, stop) for start, stop in itertools.pairwise(edges)]


def _batches(widths: Sequence[int]) -> Iterator[tuple[list[int], int]]:
    """Indices of lines to read together, of like width, and the width they are padded to."""
    order = sorted(range(len(widths)), key=widths.__getitem__)
    for start in range(0, len(order), _BATCH):
        indices = order[start : start + _BATCH]
        yield indices, _BUCKETS[bisect_left(_BUCKETS, widths[indices[-1]])]


def _large_batches(widths: Sequence[int]) -> Iterator[tuple[list[int], int]]:
    """As :func:`_batches`, many lines at a time, of few different widths."""
    padded = [math.ceil(width / _WIDE_BUCKET) * _WIDE_BUCKET for width in widths]
    for bucket in sorted(set(padded)):
        indices = [index for index, width in enumerate(padded) if width == bucket]
        for start in range(0, len(indices), _MANY):
            yield indices[start : start + _MANY], bucket


def decode(
    classes: npt.NDArray[np.integer], probabilities: npt.NDArray[np.float32], characters: Sequence[str]
) -> Reading:
    """CTC best path: repeated classes are one character, class 0 (blank) is none. Both arrays are (steps,)."""
    chosen = classes != 0
    chosen[1:] &= classes[1:] != classes[:-1]
    if not chosen.any():
        return Reading("", 0.0)
    text = "".join(characters[c] for c in classes[chosen])
    return Reading(text, float(probabilities[chosen].mean()))


def _join(parts: Sequence[Reading]) -> Reading:
    """One reading of the pieces of a line."""
    parts = [part for part in parts if part.text.strip()]
    if len(parts) < 2:
        return parts[0] if parts else Reading("", 0.0)
    text = ""
    for part in parts:
        unspaced = text[-1:] >= _FIRST_UNSPACED and part.text[0] >= _FIRST_UNSPACED
        text = part.text if not text else text + ("" if unspaced else " ") + part.text
    length = sum(len(part.text) for part in parts)
    return Reading(text, sum(part.confidence * len(part.text) for part in parts) / length)
