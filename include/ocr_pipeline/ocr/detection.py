"""Finding the lines of a page: the detection network, and differentiable binarisation (DB) after it.

DB: Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", AAAI 2020.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ocr_pipeline.ocr.geometry import Corners, Quads, clockwise, heights
from ocr_pipeline.ocr.inference import Network
from ocr_pipeline.ocr.scales import (
    SIZE,
    STRIDE,
    Ink,
    find_ink,
    first_size,
    reduced_size,
    resized,
    size_for_small_print,
    sizes_for_nothing,
)
from ocr_pipeline.records import Pixels

ProbabilityMap = npt.NDArray[np.float32]
"""How likely each pixel of the reduced page is text: float32 (height, width), 0 to 1."""

BATCH_PIXELS = 1 << 22
"""Of the pages that run together on a GPU: four square ones, or eight that are half as wide."""

_TILE = SIZE
"""Longest side, in pixels, of what the network sees at once, so that larger looks, in tiles, take no more memory."""

_OVERLAP = 160
"""Pixels that neighbouring tiles share; half of them, at each inner edge, only give the network context."""

_TALLEST = 240
"""Boxes that are higher, in pixels of what the network sees, may be of parts of print (measured: some from 340 on)."""

_TEXT = 0.2
"""Share of a box that smaller ones cover from which on it is a block of text and no tall print."""

_MIN_SIDE = 3
"""Boxes whose short side has fewer pixels of the reduced page are noise (PP-OCR)."""

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
    """A stretch of one side of the reduced page: what the network sees, and what of that is kept."""

    seen: slice
    kept: slice

    @property
    def kept_of_seen(self) -> slice:
        """What is kept, counted from the start of what is seen."""
        return slice(self.kept.start - self.seen.start, self.kept.stop - self.seen.start)


@dataclass(frozen=True, slots=True)
class _Look:
    """Boxes in a picture of a page, in its pixels, and how high and wide it is."""

    boxes: Quads
    shape: tuple[int, int]


def detect(
    pixels: Pixels, network: Network, size: int = SIZE, thresholds: Thresholds = OURS, *, few_shapes: bool = False
) -> Quads:
    """The boxes of the lines of text in ``pixels``, in its coordinates, in no particular order.

    ``size``, a multiple of :data:`STRIDE`, is the longest side of what the network sees of most pages. Where that shows
    nothing, or small print, it looks again, larger: see :mod:`ocr_pipeline.ocr.scales`. With ``few_shapes`` what it
    sees is padded, so that pages of like shape can run together.
    """
    height, width = pixels.shape[:2]
    first = first_size(height, width, size)
    reduced = resized(pixels, *reduced_size(height, width, first))

    def look(at: int, ink: Ink | None = None, *, enlarge: bool = False) -> _Look:
        shape = reduced_size(height, width, at, enlarge=enlarge)
        # A page may have many times the pixels: they are gone through once for both of its first looks.
        picture = resized(pixels if enlarge or at > first else reduced, *shape)
        probability = probability_map(picture, network, at, few_shapes=few_shapes, ink=ink)
        return _Look(boxes_from_map(probability, thresholds), shape)

    def on_page(seen: _Look, before: Quads) -> Quads:
        scale = np.array([width / seen.shape[1], height / seen.shape[0]], np.float32)
        return _with_taller(seen.boxes * scale, before, _TALLEST * float(scale.max()))

    boxes = np.empty((0, 4, 2), np.float32)
    if min(first, max(height, width)) > _TILE:
        boxes = on_page(look(_TILE // 2), boxes)
    seen, ink = look(first), None
    if not len(seen.boxes) and first < max(height, width):
        ink = find_ink(pixels)
        for closer in sizes_for_nothing(height, width, first, ink):
            seen = look(closer, ink)
            if len(seen.boxes):
                break
    boxes = on_page(seen, boxes)
    larger = size_for_small_print(seen.boxes, seen.shape, (height, width), size)
    if larger is not None:
        boxes = on_page(look(larger, ink, enlarge=True), boxes)
    return np.clip(boxes, 0, np.array([width, height], np.float32))


def _with_taller(found: Quads, before: Quads, tallest: float) -> Quads:
    """``found``, with boxes that were found ``before``, when all looked smaller, where print is too tall for it now.

    :param tallest: how high a box may be to be trusted now, in pixels of the page.
    """
    tall = before[heights(before) > tallest]
    for box, height in zip(tall, heights(tall), strict=True):
        centres = found.mean(axis=1).tolist()
        inside = np.array([cv2.pointPolygonTest(box, centre, False) >= 0 for centre in centres], np.bool_)
        small = heights(found) < height / 4
        # Many lines run into one box where they are too small for that look. Parts of tall print are about as high as
        # that; a little that is smaller is print on it, or within its letters.
        if sum(map(cv2.contourArea, found[inside & small])) < _TEXT * cv2.contourArea(box):
            found = np.concatenate([found[~inside | small], box[None]])
    return found


def probability_map(
    picture: Pixels, network: Network, size: int = SIZE, *, few_shapes: bool = False, ink: Ink | None = None
) -> ProbabilityMap:
    """Run the detection network over a picture whose sides are whole strides, in tiles where it is long or large.

    :param size: what its page was reduced to.
    :param ink: where it has any; tiles without are left out.
    """
    most = min(size, _TILE)
    sides = _few_sides(most) if few_shapes else ()
    height, width = picture.shape[:2]
    if max(height, width) <= most:
        return _run(picture, network, sides)
    probability = np.zeros((height, width), np.float32)
    for down, across in itertools.product(_tiles(height, most), _tiles(width, most)):
        if ink is not None and not _part(ink, down.kept, across.kept, height, width).any():
            continue
        seen = _run(np.ascontiguousarray(picture[down.seen, across.seen]), network, sides)
        probability[down.kept, across.kept] = seen[down.kept_of_seen, across.kept_of_seen]
    return probability


def _part(ink: Ink, down: slice, across: slice, height: int, width: int) -> Ink:
    """The part of ``ink`` that is a part of a picture of ``height`` x ``width``."""
    rows, columns = ink.shape[0] / height, ink.shape[1] / width
    return ink[
        int(down.start * rows) : math.ceil(down.stop * rows),
        int(across.start * columns) : math.ceil(across.stop * columns),
    ]


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


def _tiles(length: int, most: int) -> Iterator[_Tile]:
    """Cover a side with tiles of like length, up to ``most``, in whole strides; each overlaps the one before."""
    count = max(1, math.ceil((length - _OVERLAP) / (most - _OVERLAP)))
    each = min(math.ceil((length + (count - 1) * _OVERLAP) / count / STRIDE) * STRIDE, length)
    kept = 0
    for number in range(count):
        stop = min(number * (each - _OVERLAP) + each, length)
        keep_to = length if stop == length else stop - _OVERLAP // 2
        yield _Tile(slice(stop - each, stop), slice(kept, keep_to))
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
