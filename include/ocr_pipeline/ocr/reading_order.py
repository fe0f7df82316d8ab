"""Putting lines in the order in which a person reads them: row by row, and columns one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ocr_pipeline.ocr.geometry import Quads

_ROW_OVERLAP = 0.5
"""Two lines share a row when their centres are closer than this share of the smaller height."""

_MIN_COLUMN_LINES = 3
"""Fewer lines beside each other are a table or a heading rather than columns of prose."""

_MIN_PROSE_ASPECT = 8.0
"""Lines of prose are at least this many times as wide as high (about 25 letters); prices, labels and dates are not."""

_HEAD = 2
"""Rows of one column alone with which a run of columns may begin, where the lines of the other are lower."""


@dataclass(frozen=True, slots=True)
class _Box:
    """A line's extent on the page once the page's tilt is taken out."""

    index: int
    left: float
    right: float
    middle: float
    height: float


def reading_order(quads: Quads) -> list[int]:
    """The indices of ``quads`` in reading order.

    Lines beside each other form rows, read from left to right, so that an item stays with its price. Only where
    several lines of prose stand on both sides of a gap is the left side read before the right one.
    """
    return [box.index for box in _ordered(_boxes(quads))]


def _ordered(boxes: Sequence[_Box]) -> list[_Box]:
    rows = _rows(boxes)
    order: list[_Box] = []
    start = 0
    while start < len(rows):
        stop, gap = _columns(rows, start)
        if gap is None:
            # Half the rows that share no columns are done with: looking again from each would take quadratic time.
            stop = max(start + 1, (start + stop) // 2)
            order += itertools.chain.from_iterable(rows[start:stop])
        else:
            run = list(itertools.chain.from_iterable(rows[start:stop]))
            order += _ordered([box for box in run if box.right <= gap])
            order += _ordered([box for box in run if box.right > gap])
        start = stop
    return order


def _boxes(quads: Quads) -> list[_Box]:
    if not len(quads):
        return []
    turned = quads.astype(np.float64) @ _untilt(quads)
    low, high = turned.min(axis=1), turned.max(axis=1)
    return [
        _Box(i, low[i, 0], high[i, 0], (low[i, 1] + high[i, 1]) / 2, max(high[i, 1] - low[i, 1], 1e-6))
        for i in range(len(quads))
    ]


def _untilt(quads: Quads) -> npt.NDArray[np.float64]:
    """The rotation, for row vectors on the left, that makes the page's longer lines level."""
    run = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]).astype(np.float64)
    lengths = np.linalg.norm(run, axis=1)
    angles = np.arctan2(run[:, 1], run[:, 0])
    level = (np.abs(angles) < np.pi / 6) & (lengths >= np.median(lengths))
    angle = float(np.median(angles[level])) if level.any() else 0.0
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _rows(boxes: Sequence[_Box]) -> list[list[_Box]]:
    """Group lines into rows from top to bottom, each from left to right."""
    rows: list[list[_Box]] = []
    for box in sorted(boxes, key=lambda b: b.middle):
        if rows and _same_row(rows[-1], box):
            rows[-1].append(box)
        else:
            rows.append([box])
    for row in rows:
        row.sort(key=lambda b: b.left)
    return rows


def _same_row(row: Sequence[_Box], box: _Box) -> bool:
    return all(abs(other.middle - box.middle) < _ROW_OVERLAP * min(other.height, box.height) for other in row)


def _columns(rows: Sequence[Sequence[_Box]], start: int) -> tuple[int, float | None]:
    """How far down from row ``start`` the same gaps run, and an x inside one with prose on both sides, or None."""
    covered: list[tuple[float, float]] = []
    gaps: list[float] = []
    stop = start
    while stop < len(rows):
        covered = _merge([*covered, *((box.left, box.right) for box in rows[stop])])
        least = min(box.height for box in rows[stop]) / 2
        left = [(a[1] + b[0]) / 2 for a, b in itertools.pairwise(covered) if b[0] - a[1] > least]
        if not left and (gaps or stop >= start + _HEAD):
            break
        gaps = left
        stop += 1
    run = list(itertools.chain.from_iterable(rows[start:stop]))
    for gap in gaps:
        if _is_prose([b for b in run if b.right <= gap]) and _is_prose([b for b in run if b.right > gap]):
            return stop, gap
    return stop, None


def _merge(intervals: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The union of ``intervals``, from left to right."""
    merged: list[tuple[float, float]] = []
    for low, high in sorted(intervals):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _is_prose(side: Sequence[_Box]) -> bool:
    return len(side) >= _MIN_COLUMN_LINES and bool(
        np.median([(box.right - box.left) / box.height for box in side]) >= _MIN_PROSE_ASPECT
    )
