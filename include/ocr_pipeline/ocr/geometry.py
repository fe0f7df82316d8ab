"""Quadrilaterals: where lines of text stand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ocr_pipeline.records import Quad

Corners = npt.NDArray[np.float32]
"""One quadrilateral: float32 (4, 2), corners as x, y; from the top left clockwise unless said otherwise."""

Quads = npt.NDArray[np.float32]
"""Several of them: float32 (n, 4, 2)."""


def clockwise(corners: npt.ArrayLike) -> Corners:
    """Put the corners (4, 2) of a rectangle in the order top left, top right, bottom right, bottom left."""
    points = np.asarray(corners, np.float32)
    points = points[np.argsort(points[:, 0], kind="stable")]
    left = points[:2][np.argsort(points[:2, 1], kind="stable")]
    right = points[2:][np.argsort(points[2:, 1], kind="stable")]
    return np.array([left[0], right[0], right[1], left[1]], np.float32)


def aspects(quads: Quads) -> npt.NDArray[np.float32]:
    """How many times as wide as high each quadrilateral is, (n,)."""
    across = np.linalg.norm(quads[:, 1] - quads[:, 0], axis=-1)
    down = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=-1)
    return np.asarray(np.maximum(across, 1e-3) / np.maximum(down, 1e-3), np.float32)


def started_at(quads: Quads, corners: npt.NDArray[np.intp]) -> Quads:
    """``quads``, each starting at the corner of it that ``corners`` (n,) names, 0 to 3."""
    order = (corners[:, None] + np.arange(4)) % 4
    return np.take_along_axis(quads, order[:, :, None], axis=1)


def sides(corners: Corners) -> tuple[float, float]:
    """How long a line is in the direction of reading, and how high, in pixels: the longer of each pair of sides."""
    across = np.linalg.norm(corners[[1, 2]] - corners[[0, 3]], axis=1).max()
    down = np.linalg.norm(corners[[3, 2]] - corners[[0, 1]], axis=1).max()
    return float(across), float(down)


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
