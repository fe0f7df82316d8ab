"""Images that are hardly more than a line: crops of words, labels, meter readings.

Detection learnt from pages. Of letters that reach the edge it finds some, and of a lone word that fills its image
often nothing at all, so such an image gets paper around it.
"""

from __future__ import annotations

import cv2
import numpy as np

from ocr_pipeline.records import Pixels

_LINE = 128
"""The shorter side, in pixels, below which an image is taken for a crop: larger ones need no paper (decision 73)."""

_MARGIN = 32
"""Pixels of paper on each side."""


def margin_of(pixels: Pixels) -> int:
    """How many pixels of paper an image needs on each side."""
    return _MARGIN if min(pixels.shape[:2]) < _LINE else 0


def with_margin(pixels: Pixels, margin: int) -> Pixels:
    """``pixels`` with so much paper on each side, of the colour that most of their edge has."""
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    paper = np.median(edge, axis=0).tolist()
    framed = cv2.copyMakeBorder(pixels, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=paper)
    return np.asarray(framed, np.uint8)
