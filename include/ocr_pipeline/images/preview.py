"""A page as a small picture, for people who look at results."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from ocr_pipeline.errors import Status
from ocr_pipeline.records import Pixels, ResultRow
from ocr_pipeline.settings.run import Previews

SAMPLE_ROWS = 200
"""Rows of the dataset, from the first on, of which ``sample`` keeps pictures."""

PREVIEW_SIDE = 1600
"""Longest side in pixels: print of a page of A4 can be read."""

_SAMPLE_PAGES = 10
_DOUBTFUL = 0.8
_QUALITY = 60
_METHOD = 1  # of 0 to 6: a third of the time of the usual 4, for a tenth more bytes


def wants_preview(previews: Previews, row: ResultRow) -> bool:
    """Whether a picture of the page with this row is to be kept."""
    if previews in ("none", "all"):
        return previews == "all"
    doubtful = row.status is not Status.OK or row.warning is not None or (row.confidence or 0.0) < _DOUBTFUL
    return doubtful or (previews == "sample" and row.row < SAMPLE_ROWS and row.page < _SAMPLE_PAGES)


def encode_preview(pixels: Pixels) -> bytes:
    """``pixels`` as WebP, reduced to :data:`PREVIEW_SIDE` where they are larger."""
    height, width = pixels.shape[:2]
    if (scale := PREVIEW_SIDE / max(height, width)) < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    file = io.BytesIO()
    Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)).save(file, "WEBP", quality=_QUALITY, method=_METHOD)
    return file.getvalue()
