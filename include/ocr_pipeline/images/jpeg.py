"""JPEG, by libjpeg-turbo. Layout of its segments: ITU-T T.81, annex B.

Libraries decode a truncated JPEG without complaint and fill the rest with grey. To libjpeg that is worth a warning,
and here a warning is an error.
"""

from __future__ import annotations

import re

import simplejpeg

from ocr_pipeline.images.checks import MOST_REDUCED, corrupt, reduction, truncated
from ocr_pipeline.images.decoded import Decoded, upright
from ocr_pipeline.images.pillow import decode_with_pillow
from ocr_pipeline.images.pixels import exif_orientation
from ocr_pipeline.images.sniffing import Format

_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_END = b"\xff\xd9"
_SCAN = b"\xff\xda"
_BARE = frozenset([0x01, *range(0xD0, 0xD9)])
_SEQUENTIAL = frozenset([0xC0, 0xC1])

_MAX_SEGMENTS = 10_000
"""Far above real files (a colour profile takes at most 255); bounds the walk over hostile ones."""

_MAX_SCANS = 200
"""Progressive files have about 10. Each costs a pass over the whole image, so a small file could take hours."""

_HARMLESS = re.compile("extraneous bytes before marker 0xd9|Invalid SOS parameters")
"""Warnings about the coded data of files that lack nothing: needless bytes before the end, and a misnamed scan."""


def decode_jpeg(body: bytes, max_pixels: int) -> Decoded:
    """Decode a JPEG, CMYK included.

    One of a single scan that has too many pixels is decoded at a half, a quarter or an eighth of its size, for which
    libjpeg holds some of its lines only; of several scans, it would hold all coefficients.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    orientation, one_scan, data = _read_head(body)
    if not one_scan and body.count(_SCAN, data) >= _MAX_SCANS:
        raise corrupt(f"the JPEG has more than {_MAX_SCANS} scans, which would take hours; save it as a baseline JPEG")
    ended = body.find(_END, data) >= 0
    if not ended and one_scan:
        # Some cameras leave the marker out. Where a bit of the only scan is missing too, libjpeg warns all the same; of
        # several scans, one could be missing unseen. Padding would be taken for data.
        body = body.rstrip(b"\0\xff") + _END
    header = None
    try:
        header = simplejpeg.decode_jpeg_header(body)
        height, width, colours, _ = header
        coarse = one_scan and colours != "CMYK"
        if reduction(width, height, max_pixels, most=MOST_REDUCED if coarse else 1) > 1:
            pixels = simplejpeg.decode_jpeg(body, "BGR", **_reduced_size(width, height, max_pixels))
            return upright(pixels, orientation, reduced_from=(width, height))
        pixels = simplejpeg.decode_jpeg(body, "BGR")
        if colours != "CMYK":
            return upright(pixels, orientation)
    except ValueError as error:
        if not ended:
            raise truncated(f"the JPEG stops after {len(body):,} bytes ({error}); get the file again") from error
        if header is not None and not _HARMLESS.search(str(error)):
            raise corrupt(f"the JPEG is damaged ({error}); get the file again") from error
    # CMYK, of which libjpeg does not tell whether it is inverted, or odd metadata or sampling.
    return decode_with_pillow(Format.JPEG, body, max_pixels)


def _reduced_size(width: int, height: int, max_pixels: int) -> dict[str, int]:
    """The size to ask libjpeg for: it takes the smallest of its scales that is no smaller, and rounds up."""
    sizes = [(-(-width // scale), -(-height // scale)) for scale in (2, 4, 8)]
    width, height = next((size for size in sizes if size[0] * size[1] <= max_pixels), sizes[-1])
    return {"min_width": width, "min_height": height}


def _read_head(body: bytes) -> tuple[int, bool, int]:
    """Walk the segments up to the first scan, or as far as they go: what is wrong with them, libjpeg says.

    Gives the EXIF orientation, whether the first scan carries all of the image, and where the coded data begin.

    :raises ImageError: ``CORRUPT`` for segments without end.
    """
    orientation, components = 1, b""
    position = 2
    for _ in range(_MAX_SEGMENTS):
        match = _MARKER.search(body, position)
        if match is None or match[1] == _END[1:]:
            return orientation, False, match.start() if match else len(body)
        marker, position = match[1][0], match.end()
        if marker in _BARE:
            continue
        length = int.from_bytes(body[position : position + 2])
        payload = body[position + 2 : position + length]
        if marker == _SCAN[1]:
            return orientation, payload[:1] == components, position
        if marker in _SEQUENTIAL:
            components = payload[5:6]
        elif marker == 0xE1 and payload.startswith(b"Exif\0\0"):
            orientation = exif_orientation(payload)
        position += length
    raise corrupt(f"the JPEG has more than {_MAX_SEGMENTS:,} segments before its image data")
