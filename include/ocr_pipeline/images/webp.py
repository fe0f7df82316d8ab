"""WebP, by OpenCV; by Pillow what is animated. Layout: RFC 9649."""

from __future__ import annotations

from ocr_pipeline.images import opencv
from ocr_pipeline.images.checks import check_size, corrupt, truncated
from ocr_pipeline.images.pillow import decode_with_pillow, open_image
from ocr_pipeline.images.pixels import exif_orientation, to_bgr, turn_upright
from ocr_pipeline.images.sniffing import Format
from ocr_pipeline.records import Pixels

_LOSSY, _LOSSLESS, _EXTENDED = b"VP8 ", b"VP8L", b"VP8X"
"""Kinds of the first chunk. An extended file has more than a picture: EXIF, an animation."""


def decode_webp(body: bytes, max_pixels: int) -> Pixels:
    """Decode a WebP; of an animation, the first frame.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    file_end = 8 + int.from_bytes(body[4:8], "little")
    if file_end > len(body):
        raise truncated(f"the WebP has {len(body):,} of {file_end:,} bytes")
    check_size(*_size(body), max_pixels)
    samples = opencv.decode(body)
    if samples is None:
        # Animated or damaged.
        return decode_with_pillow(Format.WEBP, body, max_pixels)
    orientation = 1
    if body[12:16] == _EXTENDED:
        with open_image(Format.WEBP, body) as image:
            orientation = exif_orientation(image.info.get("exif", b""))
    return turn_upright(to_bgr(samples), orientation)


def _size(body: bytes) -> tuple[int, int]:
    """Width and height as the first chunk states them; of an animation, those of its canvas.

    :raises ImageError: ``CORRUPT``.
    """
    kind = body[12:16]
    if kind == _EXTENDED:
        return 1 + int.from_bytes(body[24:27], "little"), 1 + int.from_bytes(body[27:30], "little")
    if kind == _LOSSY:
        # 14 bits each; the two above are a scaling hint.
        return int.from_bytes(body[26:28], "little") & 0x3FFF, int.from_bytes(body[28:30], "little") & 0x3FFF
    if kind == _LOSSLESS:
        bits = int.from_bytes(body[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise corrupt("the WebP does not state its size")
