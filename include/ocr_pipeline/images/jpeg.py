"""JPEG, by libjpeg-turbo. Layout of its segments: ITU-T T.81, annex B.

Libraries decode a truncated JPEG without complaint and fill the rest with grey. To libjpeg that is worth a warning,
and here a warning is an error.
"""

from __future__ import annotations

import re

import simplejpeg

from ocr_pipeline.images.checks import check_size, corrupt, truncated
from ocr_pipeline.images.pillow import decode_with_pillow
from ocr_pipeline.images.pixels import exif_orientation, turn_upright
from ocr_pipeline.images.sniffing import Format
from ocr_pipeline.records import Pixels

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


def decode_jpeg(body: bytes, max_pixels: int) -> Pixels:
    """Decode a JPEG, CMYK included.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    orientation, one_scan, data = _read_head(body)
    if not one_scan and body.count(_SCAN, data) >= _MAX_SCANS:
        raise corrupt(f"the JPEG has more than {_MAX_SCANS} scans")
    ended = body.find(_END, data) >= 0
    if not ended and one_scan:
        # Some cameras leave the marker out. Where a bit of the only scan is missing too, libjpeg warns all the same; of
        # several scans, one could be missing unseen. Padding would be taken for data.
        body = body.rstrip(b"\0\xff") + _END
    header = None
    try:
        header = simplejpeg.decode_jpeg_header(body)
        height, width, colours, _ = header
        check_size(width, height, max_pixels)
        pixels = simplejpeg.decode_jpeg(body, "BGR")
        if colours != "CMYK":
            return turn_upright(pixels, orientation)
    except ValueError as error:
        if not ended:
            raise truncated(f"the JPEG stops after {len(body):,} bytes: {error}") from error
        if header is not None and not _HARMLESS.search(str(error)):
            raise corrupt(f"the JPEG cannot be decoded: {error}") from error
    # CMYK, of which libjpeg does not tell whether it is inverted, or odd metadata or sampling.
    return decode_with_pillow(Format.JPEG, body, max_pixels)


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
