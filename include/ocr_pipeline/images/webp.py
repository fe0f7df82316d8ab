"""WebP: its chunks, whether they are whole, and its pixels. Layout: RFC 9649."""

from __future__ import annotations

from dataclasses import dataclass

from ocr_pipeline.images import opencv
from ocr_pipeline.images.checks import check_size, corrupt, truncated
from ocr_pipeline.images.pillow import decode_with_pillow
from ocr_pipeline.images.pixels import exif_orientation, to_bgr, turn_upright
from ocr_pipeline.images.sniffing import Format
from ocr_pipeline.records import Pixels

_RIFF_HEADER = 12
_ANIMATED = 0x02

_MAX_CHUNKS = 10_000
"""Far above real files; bounds the walk over hostile ones."""


@dataclass(frozen=True, slots=True)
class WebpHeader:
    """What the chunks say; of an animation, the size is the canvas."""

    width: int
    height: int
    animated: bool
    orientation: int


def decode_webp(body: bytes, max_pixels: int) -> Pixels:
    """Decode a WebP; of an animation, the first frame.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    header = read_webp_header(body)
    check_size(header.width, header.height, max_pixels)
    # OpenCV does not read animations.
    samples = None if header.animated else opencv.decode(body, opencv.UNCHANGED)
    pixels = decode_with_pillow(Format.WEBP, body, max_pixels) if samples is None else to_bgr(samples)
    return turn_upright(pixels, header.orientation)


def read_webp_header(body: bytes) -> WebpHeader:
    """Walk the chunks.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``.
    """
    file_end = 8 + int.from_bytes(body[4:8], "little")
    if file_end > len(body):
        raise truncated(f"the WebP has {len(body):,} of {file_end:,} bytes")
    size: tuple[int, int] | None = None
    animated, orientation = False, 1
    position = _RIFF_HEADER
    for _ in range(_MAX_CHUNKS):
        if position + 8 > file_end:
            break
        kind = body[position : position + 4]
        start = position + 8
        position = start + int.from_bytes(body[position + 4 : start], "little")
        payload = body[start : min(position, file_end)]
        if kind == b"VP8X" and len(payload) >= 10:
            animated = bool(payload[0] & _ANIMATED)
            size = 1 + int.from_bytes(payload[4:7], "little"), 1 + int.from_bytes(payload[7:10], "little")
        elif kind == b"VP8 " and len(payload) >= 10:
            # 14 bits each; the two above are a scaling hint.
            lossy = int.from_bytes(payload[6:8], "little") & 0x3FFF, int.from_bytes(payload[8:10], "little") & 0x3FFF
            size = size or lossy
        elif kind == b"VP8L" and len(payload) >= 5:
            bits = int.from_bytes(payload[1:5], "little")
            size = size or (1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
        elif kind == b"EXIF":
            orientation = exif_orientation(payload)
        position += position & 1
    if size is None:
        raise corrupt("the WebP does not state its size")
    return WebpHeader(*size, animated, orientation)
