"""A page as a small picture, for people who look at results."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from ocr_pipeline.records import Pixels

PREVIEW_SIDE = 1600
"""Longest side in pixels: print of a page of A4 can be read."""

_QUALITY = 60
_METHOD = 1  # of 0 to 6: a third of the time of the usual 4, for a tenth more bytes


def encode_preview(pixels: Pixels) -> bytes:
    """``pixels`` as WebP, reduced to :data:`PREVIEW_SIDE` where they are larger."""
    height, width = pixels.shape[:2]
    if (scale := PREVIEW_SIDE / max(height, width)) < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    file = io.BytesIO()
    Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)).save(file, "WEBP", quality=_QUALITY, method=_METHOD)
    return file.getvalue()
