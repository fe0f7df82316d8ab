"""Reading lines: cut each from the page, straight to the height that the network wants, and decode what that says."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np

from ocr_pipeline.ocr.decoding import LineText, decode
from ocr_pipeline.ocr.geometry import Corners, Quads, sides, stretch_of
from ocr_pipeline.ocr.inference import Network
from ocr_pipeline.ocr.words import NO_TRACE, joined
from ocr_pipeline.records import Pixels
from ocr_pipeline.settings.languages import is_unspaced

HEIGHT = 48
"""Height in pixels of a line as the network sees it."""

MAX_WIDTH = 3200
"""Lines that would be wider at that height are read in pieces (PP-OCR squeezes them to this)."""

_LEAST = 128
"""Width to which lines are padded at least, as the network learnt from lines of 320: see decision 37.

In little more than its own width a lone 0 is one of 0, O, o and 日, and so unsure that it is dropped.
"""

_BUCKETS: Final[tuple[int, ...]] = (*range(_LEAST, 256, 32), *range(256, 512, 64), *range(512, 1024 + 1, 128))
"""Widths to which lines are padded, so that the network sees few different shapes."""

_WIDE = 256
"""Lines beyond the last of them, which are rare, are padded to multiples of this."""

_BATCH = 2
"""Lines read at a time. One at a time need less padding, but take a tenth longer; more only pad more (measured)."""

LINE_SHAPES = tuple((_BATCH, HEIGHT, width, 3) for width in _BUCKETS)
"""The shapes of nearly all lines."""

PADDLEOCR_WIDTH = 320
"""The width to which PaddleOCR pads lines at least."""

_MANY = 64
"""Lines handed over at a time where lines of several pages are read together."""

_WIDE_BUCKET = _LEAST
"""Widths are padded to multiples of this then. Much more padding costs accuracy (measured)."""

BATCH_PIXELS = 1 << 20
"""Of the lines that run together on a GPU: 64 short ones, or 4 of the longest.

What takes the memory is behind the pixels: with every character, 18,710 probabilities for each 384 of them.
"""

_PADDING = 127
"""The grey that normalises to 0, with which PP-OCR pads."""

_REACH = 4 * HEIGHT
"""How far, in pixels at that height, a cut in a long line may be moved to fall between words."""


def recognise(
    pixels: Pixels,
    quads: Quads,
    network: Network,
    characters: Sequence[str],
    *,
    least_width: int = 0,
    few_shapes: bool = False,
    find_spaces: bool = True,
) -> list[LineText]:
    """Read the line inside each of ``quads``, which start where reading starts; the results are in their order.

    With ``few_shapes``, lines are padded more and read many at a time, so that those of several pages can run together.

    :param least_width: the width in pixels to which lines are padded at least.
    :param find_spaces: see :func:`~ocr_pipeline.ocr.decoding.decode`.
    """
    edges = [_edges(pixels, corners) for corners in quads]
    pieces = [piece for corners, along in zip(quads, edges, strict=True) for piece in _pieces(corners, along)]
    widths = [line_width(piece) for piece in pieces]
    texts = [LineText("", 0.0)] * len(pieces)
    for indices, padded in _large_batches(widths, least_width) if few_shapes else _batches(widths, least_width):
        # A last line alone gets a blank one beside it: that costs less than a shape of its own.
        rows = len(indices) if few_shapes else _BATCH
        lines = np.full((rows, HEIGHT, padded, 3), _PADDING, np.uint8)
        for line, index in zip(lines, indices, strict=False):
            line[:, : widths[index]] = cut(pixels, pieces[index], widths[index])
        probabilities, classes = network(lines)
        for row, index in enumerate(indices):
            texts[index] = decode(classes[row], probabilities[row], characters, widths[index], find_spaces=find_spaces)
    left = iter(texts)
    return [_join(list(itertools.islice(left, len(along) - 1)), along) for along in edges]


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


def _edges(pixels: Pixels, corners: Corners) -> list[float]:
    """Where to cut a line that is too long to be read at once: where it is emptiest near equal parts.

    In fractions of its length, from 0 to 1, both included.
    """
    width = line_width(corners)
    if width <= MAX_WIDTH:
        return [0.0, 1.0]
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
    return edges


def _pieces(corners: Corners, edges: Sequence[float]) -> list[Corners]:
    """The parts of a line between its ``edges``."""
    if len(edges) == 2:
        return [corners]
    return [stretch_of(corners, start, stop) for start, stop in itertools.pairwise(edges)]


def _batches(widths: Sequence[int], least: int) -> Iterator[tuple[list[int], int]]:
    """Indices of lines to read together, of like width, and the width they are padded to."""
    order = sorted(range(len(widths)), key=widths.__getitem__)
    for start in range(0, len(order), _BATCH):
        indices = order[start : start + _BATCH]
        yield indices, _padded(max(widths[indices[-1]], least))


def _padded(width: int) -> int:
    if width > _BUCKETS[-1]:
        return math.ceil(width / _WIDE) * _WIDE
    return _BUCKETS[bisect_left(_BUCKETS, width)]


def _large_batches(widths: Sequence[int], least: int) -> Iterator[tuple[list[int], int]]:
    """As :func:`_batches`, many lines at a time, of few different widths."""
    padded = [math.ceil(max(width, least) / _WIDE_BUCKET) * _WIDE_BUCKET for width in widths]
    for bucket in sorted(set(padded)):
        indices = [index for index, width in enumerate(padded) if width == bucket]
        for start in range(0, len(indices), _MANY):
            yield indices[start : start + _MANY], bucket


def _join(parts: Sequence[LineText], edges: Sequence[float]) -> LineText:
    """One reading of the pieces of a line, which was cut at ``edges``."""
    if len(parts) == 1:
        return parts[0]
    pieces = [
        part.trace.within(start, stop)
        for part, start, stop in zip(parts, edges[:-1], edges[1:], strict=True)
        if part.text.strip()
    ]
    firsts = list(itertools.accumulate((len(piece.characters) for piece in pieces), initial=0))
    line = joined([NO_TRACE, *pieces])
    letters = line.characters
    parted = [i for i in firsts[1:-1] if not (is_unspaced(letters[i - 1]) and is_unspaced(letters[i]))]
    return LineText.of(line.with_spaces(parted) if parted else line)
