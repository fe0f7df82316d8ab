"""WebP, by OpenCV; by Pillow what is animated. Layout: RFC 9649."""

from __future__ import annotations

import struct

from ocr_pipeline.images import opencv
from ocr_pipeline.images.checks import check_size, corrupt, truncated
from ocr_pipeline.images.decoded import Decoded, upright
from ocr_pipeline.images.pillow import decode_with_pillow
from ocr_pipeline.images.pixels import exif_orientation, to_bgr
from ocr_pipeline.images.sniffing import Format


def decode_webp(body: bytes, max_pixels: int) -> Decoded:
    """Decode a WebP; of an animation, the first frame that is not nearly blank.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    file_end = 8 + int.from_bytes(body[4:8], "little")
    if file_end > len(body):
        raise truncated(f"the WebP has {len(body):,} of {file_end:,} bytes; get the file again")
    check_size(*_size(body), max_pixels)
    samples = opencv.decode(body)
    if samples is None:
        # Animated or damaged.
        return decode_with_pillow(Format.WEBP, body, max_pixels)
    return upright(to_bgr(samples), exif_orientation(_exif(body)))


def _size(body: bytes) -> tuple[int, int]:
    """Width and height as the first chunk states them; of an animation, those of its canvas.

    :raises ImageError: ``CORRUPT``.
    """
    kind = body[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[24:27], "little"), 1 + int.from_bytes(body[27:30], "little")
    if kind == b"VP8 ":
        # 14 bits each; the two above are a scaling hint.
        return int.from_bytes(body[26:28], "little") & 0x3FFF, int.from_bytes(body[28:30], "little") & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(body[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise corrupt("the WebP does not state its size; get the file again")


def _exif(body: bytes) -> bytes:
    """The EXIF block, behind the picture; empty where there is none."""
    position = 12
    while position + 8 <= len(body):
        kind, size = struct.unpack_from("<4sI", body, position)
        position += 8
        if kind == b"EXIF":
            return body[position : position + size]
        # Chunks start at even bytes.
        position += size + size % 2
    return b""
