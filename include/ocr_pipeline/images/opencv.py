"""OpenCV's decoder, quiet and without surprises."""

from __future__ import annotations

import cv2
import numpy as np

from ocr_pipeline.images.pixels import Samples

# A bad image is an error category in the results, not a line on the worker's stderr.
cv2.setLogLevel(0)

_MAX_SIDE = 1 << 20
_MAX_PIXELS = 1 << 30


def can_hold(width: int, height: int) -> bool:
    """Whether the size is within OpenCV's own limits (OPENCV_IO_MAX_IMAGE_WIDTH, _HEIGHT and _PIXELS)."""
    return max(width, height) <= _MAX_SIDE and width * height <= _MAX_PIXELS


def decode(body: bytes, *, grey: bool = False) -> Samples | None:
    """The samples of an image, channels and depth as in the file, or None where OpenCV cannot decode all of it.

    :param grey: as 8 bits of grey, without alpha, whatever the file has: for a PNG, a byte a pixel from the start.
    """
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION if grey else cv2.IMREAD_UNCHANGED
    try:
        # The stubs know no None, which is what an undecodable image gives.
        samples: Samples | None = cv2.imdecode(np.frombuffer(body, np.uint8), flags)
    except cv2.error:
        return None
    return samples
