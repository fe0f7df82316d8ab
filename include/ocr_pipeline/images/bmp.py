"""BMP, by OpenCV in the usual kind and by Pillow in the others."""

from __future__ import annotations

import struct

from ocr_pipeline.images import opencv
from ocr_pipeline.images.checks import check_size, truncated
from ocr_pipeline.images.pillow import decode_with_pillow
from ocr_pipeline.images.sniffing import Format
from ocr_pipeline.records import Pixels

_HEADER = struct.Struct("<10xIIiiHHI")
_UNCOMPRESSED = 0


def decode_bmp(body: bytes, max_pixels: int) -> Pixels:
    """Decode a Windows or OS/2 bitmap.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    if len(body) < _HEADER.size:
        raise truncated(f"the BMP stops after {len(body):,} bytes, within its header")
    data, header_size, width, height, _, bits, compression = _HEADER.unpack_from(body)
    # A negative height means that rows run downwards.
    height = abs(height)
    if header_size >= 40:
        check_size(width, height, max_pixels)
        if compression == _UNCOMPRESSED:
            # Rows are padded to 4 bytes.
            needed = data + (width * bits + 31) // 32 * 4 * height
            if needed > len(body):
                raise truncated(f"the BMP has {len(body):,} of {needed:,} bytes")
            if bits == 24 and opencv.can_hold(width, height):
                samples = opencv.decode(body, opencv.COLOR)
                if samples is not None:
                    return samples
    return decode_with_pillow(Format.BMP, body, max_pixels)
