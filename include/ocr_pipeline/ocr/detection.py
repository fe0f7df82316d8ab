"""Finding the lines of a page: the detection network, and differentiable binarisation (DB) after it.

DB: Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", AAAI 2020.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ocr_pipeline.ocr.geometry import Corners, Quads, clockwise, heights
from ocr_pipeline.ocr.inference import Network
from ocr_pipeline.records import Pixels

ProbabilityMap = npt.NDArray[np.float32]
"""How likely each pixel of the reduced page is text: float32 (height, width), 0 to 1."""

STRIDE = 32
"""Both sides of what the detection network is given are multiples of this."""

SIZE = 960
"""Longest side, in pixels, of what the detection network sees of a page of ordinary shape, unless told otherwise."""

BATCH_PIXELS = 1 << 22
"""Of the pages that run together on a GPU: four square ones, or eight that are half as wide."""

_MAX_ASPECT = 3
"""Pages longer than this many times their breadth are seen in several tiles instead of being reduced further."""

_OVERLAP = 192
"""Pixels that neighbouring tiles share; half of them, at each inner edge, only give the network context."""

_MIN_SIDE = 3
"""Boxes whose short side has fewer pixels of the reduced page are noise (PP-OCR)."""

_SMALL_PRINT = 13
"""Median height of a page's boxes, in pixels of what the network saw, below which it looks again at a larger scale.

See decision 66: larger print is not read better at a larger scale.
"""

_AIM = 20
"""The median height that the boxes should have then."""

_LARGEST = 1920
"""The longest side of what the network sees then, which bounds the time and memory of a page of dust."""

_DILATION = np.ones((2, 2), np.uint8)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which probabilities on there is a line, and how large its box is.

    ``pixel`` is the probability from which a pixel counts as text, ``box`` the mean probability that a box needs.
    Boxes grow back by ``unclip`` in units of area / perimeter, because the network is trained on shrunk ones; with
    ``dilation``, text is first widened by a pixel of the map.
    """

    pixel: float
    box: float
    unclip: float
    dilation: bool


OURS = Thresholds(pixel=0.3, box=0.5, unclip=1.6, dilation=True)
"""What reads scanned receipts best (measured)."""

PADDLEOCR = Thresholds(pixel=0.3, box=0.6, unclip=1.5, dilation=False)
"""PaddleOCR's own, to compare with it."""


@dataclass(frozen=True, slots=True)
class _Tile:
    """A stretch of the reduced page along its long side: what the network sees, and what of that is kept."""

    start: int
    stop: int
    keep_from: int
    keep_to: int


def detect(
    pixels: Pixels, network: Network, size: int = SIZE, thresholds: Thresholds = OURS, *, few_shapes: bool = False
) -> Quads:
    """The boxes of the lines of text in ``pixels``, in its coordinates, in no particular order.

    ``size``, a multiple of :data:`STRIDE`, is the longest side of what the network sees; where most lines are small
    print at that, it sees the page a second time, larger. With ``few_shapes`` what it sees is padded, so that pages of
    like shape can run together.
    """
    probability = probability_map(pixels, network, size, few_shapes=few_shapes)
    boxes = boxes_from_map(probability, thresholds)
    height, width = probability.shape
    larger = _size_for_small_print(boxes, height, width, size)
    if larger is not None:
        probability = probability_map(pixels, network, larger, enlarge=True, few_shapes=few_shapes)
        boxes = boxes_from_map(probability, thresholds)
    height, width = pixels.shape[:2]
    scale = np.array([width / probability.shape[1], height / probability.shape[0]], np.float32)
    limit = np.array([width, height], np.float32)
    return np.clip(boxes * scale, 0, limit)


def _size_for_small_print(boxes: Quads, height: int, width: int, size: int) -> int | None:
    """The size at which to look at a page again that was seen ``height`` x ``width``; None where that is large enough.

    In quarters of ``size``, so that sizes are few.
    """
    usual = float(np.median(heights(boxes))) if len(boxes) else _SMALL_PRINT
    if usual >= _SMALL_PRINT:
        return None
    seen = _basis(height, width)
    quarter = math.ceil(size / 4 / STRIDE) * STRIDE
    larger = min(math.ceil(seen * _AIM / usual / quarter) * quarter, _LARGEST)
    return larger if larger > seen else None


def probability_map(
    pixels: Pixels, network: Network, size: int = SIZE, *, enlarge: bool = False, few_shapes: bool = False
) -> ProbabilityMap:
    """Run the detection network over ``pixels``, reduced to ``size``, in tiles if they are long and narrow.

    :param enlarge: also enlarge them to ``size``.
    """
    sides = _few_sides(size) if few_shapes else ()
    height, width = reduced_size(pixels.shape[0], pixels.shape[1], size, enlarge=enlarge)
    interpolation = cv2.INTER_AREA if height < pixels.shape[0] else cv2.INTER_LINEAR
    reduced = np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)
    if max(height, width) <= size:
        return _run(reduced, network, sides)
    upright = height >= width
    probability = np.empty((height, width), np.float32)
    for tile in _tiles(max(height, width), size):
        part = reduced[tile.start : tile.stop] if upright else reduced[:, tile.start : tile.stop]
        seen = _run(np.ascontiguousarray(part), network, sides)
        kept = slice(tile.keep_from - tile.start, tile.keep_to - tile.start)
        if upright:
            probability[tile.keep_from : tile.keep_to] = seen[kept]
        else:
            probability[:, tile.keep_from : tile.keep_to] = seen[:, kept]
    return probability


def _run(reduced: Pixels, network: Network, sides: Sequence[int]) -> ProbabilityMap:
    """Run the network over one picture, padded to the nearest of ``sides``, if there are any."""
    height, width = reduced.shape[:2]
    below, beside = (min((side - length for side in sides if side >= length), default=0) for length in (height, width))
    if below or beside:
        # The network weighs what it sees by averages over all of it, which more of the page's own paper changes least:
        # of the boxes of receipts 1.4 % move by more than 2 pixels, and 2.2 % where the padding is ImageNet's mean.
        paper = np.median(reduced[::8, ::8], axis=(0, 1)).tolist()
        padded = cv2.copyMakeBorder(reduced, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=paper)
        reduced = np.asarray(padded, np.uint8)
    return np.asarray(network(reduced[None])[0][0, 0, :height, :width], np.float32)


def _few_sides(size: int) -> tuple[int, ...]:
    """The lengths to which sides are padded: eighths of ``size``, in whole strides."""
    return tuple(math.ceil(size * eighths / 8 / STRIDE) * STRIDE for eighths in range(1, 9))


def reduced_size(height: int, width: int, size: int = SIZE, *, enlarge: bool = False) -> tuple[int, int]:
    """The height and width to which a page is reduced for detection, and to whole strides.

    :param enlarge: whether a smaller page is enlarged; otherwise it stays as it is, but for the strides.
    """
    scale = size / _basis(height, width)
    if not enlarge:
        scale = min(1.0, scale)
    return _whole_strides(height * scale), _whole_strides(width * scale)


def _basis(height: int, width: int) -> int:
    """What of a page is reduced to the size: its longest side, or less where it is seen in tiles."""
    return min(max(height, width), _MAX_ASPECT * min(height, width))


def _whole_strides(length: float) -> int:
    return max(STRIDE, round(length / STRIDE) * STRIDE)


def _tiles(length: int, size: int) -> Iterator[_Tile]:
    """Cover ``length`` with tiles of ``size``, each overlapping the one before; the last may overlap it more."""
    kept = 0
    for start in range(0, length - _OVERLAP, size - _OVERLAP):
        stop = min(start + size, length)
        keep_to = length if stop == length else stop - _OVERLAP // 2
        yield _Tile(stop - size, stop, kept, keep_to)
        kept = keep_to


def boxes_from_map(probability: ProbabilityMap, thresholds: Thresholds = OURS) -> Quads:
    """The boxes of the lines in a probability map, in pixels of the map.

    All of them: a cap on candidates, as PP-OCR has, drops the top of a dense page, because contours come from
    the bottom up. Coordinates are floats: the usual int16 wraps beyond 32,767 pixels.
    """
    mask = (probability > thresholds.pixel).astype(np.uint8)
    if thresholds.dilation:
        mask = np.asarray(cv2.dilate(mask, _DILATION), np.uint8)
    contours, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    quads = []
    for index, contour in enumerate(contours):
        if hierarchy[0][index][3] >= 0:  # the edge of a hole in a line, not of a line
            continue
        centre, (width, height), angle = cv2.minAreaRect(contour)
        if min(width, height) < _MIN_SIDE:
            continue
        corners = np.asarray(cv2.boxPoints((centre, (width, height), angle)), np.float32)
        if _mean_inside(probability, corners) < thresholds.box:
            continue
        # Growing a rectangle by d on all sides; PP-OCR offsets the polygon with rounded corners and takes the
        # smallest rectangle around it, which is this one.
        growth = 2 * thresholds.unclip * width * height / (2 * (width + height))
        quads.append(clockwise(cv2.boxPoints((centre, (width + growth, height + growth), angle))))
    return np.array(quads, np.float32).reshape(-1, 4, 2)


def _mean_inside(probability: ProbabilityMap, corners: Corners) -> float:
    """Mean of the map inside a quadrilateral."""
    height, width = probability.shape
    left = min(max(math.floor(corners[:, 0].min()), 0), width - 1)
    right = min(max(math.ceil(corners[:, 0].max()), 0), width - 1)
    top = min(max(math.floor(corners[:, 1].min()), 0), height - 1)
    bottom = min(max(math.ceil(corners[:, 1].max()), 0), height - 1)
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    cv2.fillPoly(mask, [(corners - (left, top)).astype(np.int32)], (1,))
    return float(cv2.mean(probability[top : bottom + 1, left : right + 1], mask)[0])
