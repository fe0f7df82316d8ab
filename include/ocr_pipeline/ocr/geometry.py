"""Quadrilaterals: where lines of text stand."""

from __future__ import annotations

import math
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from ocr_pipeline.records import Quad

Corners = npt.NDArray[np.float32]
"""One quadrilateral: float32 (4, 2), corners as x, y; from the top left clockwise unless said otherwise."""

Quads = npt.NDArray[np.float32]
"""Several of them: float32 (n, 4, 2)."""


def clockwise(corners: npt.ArrayLike) -> Corners:
    """Put the corners (4, 2) of a rectangle in the order top left, top right, bottom right, bottom left."""
    # Plain numbers, here and below: for four points, NumPy takes several times as long.
    points = sorted(np.asarray(corners, np.float32).tolist(), key=itemgetter(0))
    left, right = (sorted(pair, key=itemgetter(1)) for pair in (points[:2], points[2:]))
    return np.array([left[0], right[0], right[1], left[1]], np.float32)


def aspects(quads: Quads) -> npt.NDArray[np.float32]:
    """How many times as wide as high each quadrilateral is, (n,)."""
    across = np.linalg.norm(quads[:, 1] - quads[:, 0], axis=-1)
    down = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=-1)
    return np.asarray(np.maximum(across, 1e-3) / np.maximum(down, 1e-3), np.float32)


def heights(quads: Quads) -> npt.NDArray[np.float32]:
    """The shorter side of each quadrilateral, (n,)."""
    across, down = (np.linalg.norm(quads[:, corner] - quads[:, 0], axis=-1) for corner in (1, 3))
    return np.asarray(np.minimum(across, down), np.float32)


def started_at(quads: Quads, corners: npt.NDArray[np.intp]) -> Quads:
    """``quads``, each starting at the corner of it that ``corners`` (n,) names, 0 to 3."""
    order = (corners[:, None] + np.arange(4)) % 4
    return np.take_along_axis(quads, order[:, :, None], axis=1)


def sides(corners: Corners) -> tuple[float, float]:
    """How long a line is in the direction of reading, and how high, in pixels: the longer of each pair of sides."""
    a, b, c, d = corners.tolist()
    return max(math.dist(a, b), math.dist(d, c)), max(math.dist(a, d), math.dist(b, c))


def stretch_of(corners: Corners, start: float, stop: float) -> Corners:
    """The part of a line between two fractions, 0 to 1, of its length."""
    top, bottom = corners[1] - corners[0], corners[2] - corners[3]
    return np.array(
        [
            corners[0] + start * top,
            corners[0] + stop * top,
            corners[3] + stop * bottom,
            corners[3] + start * bottom,
        ],
        np.float32,
    )


def as_quad(corners: npt.ArrayLike) -> Quad:
    """``corners`` (4, 2) as plain numbers."""
    a, b, c, d = ((float(x), float(y)) for x, y in np.asarray(corners))
    return (a, b, c, d)
