"""OpenCV's decoder, quiet and without surprises."""

from __future__ import annotations

import cv2
import numpy as np

from ocr_pipeline.images.pixels import Samples

# A bad image is an error category in the results, not a line on the worker's stderr.
cv2.setLogLevel(0)

COLOR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
"""Flags: BGR uint8, alpha dropped, EXIF not applied (that is done for all formats alike)."""

UNCHANGED = cv2.IMREAD_UNCHANGED
"""Flags: channels and depth as in the file, EXIF not applied."""

_MAX_SIDE = 1 << 20
_MAX_PIXELS = 1 << 30


def can_hold(width: int, height: int) -> bool:
    """Whether the size is within OpenCV's own limits (OPENCV_IO_MAX_IMAGE_WIDTH, _HEIGHT and _PIXELS)."""
    return max(width, height) <= _MAX_SIDE and width * height <= _MAX_PIXELS


def decode(body: bytes, flags: int) -> Samples | None:
    """The samples of an image, or None where OpenCV cannot decode it."""
    try:
        # The stubs know no None, which is what an undecodable image gives.
        samples: Samples | None = cv2.imdecode(np.frombuffer(body, np.uint8), flags)
    except cv2.error:
        return None
    return samples


def decode_page(body: bytes, number: int) -> Samples | None:
    """The samples of one page of a TIFF, channels and depth as in the file, or None."""
    try:
        _, pages = cv2.imdecodemulti(np.frombuffer(body, np.uint8), UNCHANGED, range=(number, number + 1))
    except cv2.error:
        return None
    return pages[0] if pages else None
