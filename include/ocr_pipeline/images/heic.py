"""HEIC, by libheif, where the package pillow-heif is installed."""

from __future__ import annotations

import numpy as np

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.images.checks import check_size, corrupt
from ocr_pipeline.images.decoded import Decoded
from ocr_pipeline.images.pillow import check_boxes
from ocr_pipeline.images.pixels import to_bgr
from ocr_pipeline.images.sniffing import Format

_MISSING = (
    "the bytes are a HEIC image, which is read where the package pillow-heif is installed: it is the extra `heic` of "
    "this project; or convert the image to JPEG"
)


def decode_heic(body: bytes, max_pixels: int) -> Decoded:
    """Decode the primary image of a HEIC, upright.

    :raises ImageError: ``NOT_AN_IMAGE`` without pillow-heif; ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError(ErrorCategory.NOT_AN_IMAGE, _MISSING) from error
    # Images are decoded beside each other already.
    pillow_heif.options.DECODE_THREADS = 1
    pillow_heif.options.THUMBNAILS = pillow_heif.options.DEPTH_IMAGES = pillow_heif.options.AUX_IMAGES = False
    check_boxes(Format.HEIC, body)
    try:
        # libheif turns it itself, as the file says; what EXIF says of it is for those who do not.
        image = pillow_heif.open_heif(body, bgr_mode=True)
        width, height = image.size
        check_size(width, height, max_pixels)
        return Decoded(to_bgr(np.asarray(image)))
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise corrupt(f"the HEIC of {len(body):,} bytes cannot be decoded: {error}; get the file again") from error
