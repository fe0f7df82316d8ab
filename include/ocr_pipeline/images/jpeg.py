"""JPEG: what its segments say, whether it is whole, and its pixels.

Libraries decode a truncated JPEG without complaint and fill the rest with grey, so the segments are walked
here: to the size, the orientation and the start of the coded data, after which an end marker must come.
Layout: ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ocr_pipeline.images import opencv
from ocr_pipeline.images.checks import check_size, corrupt, truncated
from ocr_pipeline.images.pillow import decode_cmyk_jpeg, decode_with_pillow
from ocr_pipeline.images.pixels import exif_orientation, turn_upright
from ocr_pipeline.images.sniffing import Format
from ocr_pipeline.records import Pixels

_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_EOI = b"\xff\xd9"
_SOS = b"\xff\xda"
_BARE = frozenset([0x01, *range(0xD0, 0xD9)])
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset([0xC0, 0xC1])

_MAX_SEGMENTS = 10_000
"""Far above real files (a colour profile takes at most 255); bounds the walk over hostile ones."""

_MAX_SCANS = 200
"""Progressive files have about 10. Each costs a pass over the whole image, so a small file could take hours."""


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What the segments before the coded data say.

    ``one_stream``: a single scan without restart markers carries all of the image. ``data`` is the offset of
    the first scan's header.
    """

    width: int
    height: int
    components: int
    progressive: bool
    one_stream: bool
    orientation: int
    adobe: bool
    data: int


def decode_jpeg(body: bytes, max_pixels: int) -> Pixels:
    """Decode a JPEG, CMYK included.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    header = read_jpeg_header(body)
    check_size(header.width, header.height, max_pixels)
    if header.progressive and body.count(_SOS, header.data) > _MAX_SCANS:
        raise corrupt(f"the JPEG has more than {_MAX_SCANS} scans")
    if body.rfind(_EOI, header.data) < 0:
        if not _complete_without_end(body, header):
            raise truncated(f"the JPEG's data stop after {len(body):,} bytes without an end marker")
        body += _EOI
    if header.components == 4 and not header.adobe:
        pixels = decode_cmyk_jpeg(body, max_pixels)
    else:
        samples = opencv.decode(body, opencv.COLOR)
        if samples is None or samples.shape != (header.height, header.width, 3):
            # Pillow reports what is wrong, and reads a few kinds more.
            return decode_with_pillow(Format.JPEG, body, max_pixels)
        pixels = samples
    return turn_upright(pixels, header.orientation)


def read_jpeg_header(body: bytes) -> JpegHeader:
    """Walk the segments up to the first scan.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``.
    """
    frame: bytes | None = None
    frame_marker = 0
    orientation = 1
    adobe = restarts = False
    position = 2
    for _ in range(_MAX_SEGMENTS):
        match = _MARKER.search(body, position)
        if match is None:
            raise truncated(f"the JPEG stops after {len(body):,} bytes, before its image data")
        marker, position = match[1][0], match.end()
        if marker in _BARE:
            continue
        if marker == _EOI[1]:
            raise corrupt("the JPEG ends before any image data")
        length = int.from_bytes(body[position : position + 2])
        payload = body[position + 2 : position + length]
        if position + max(length, 2) > len(body):
            raise truncated(f"the JPEG stops after {len(body):,} bytes, within its headers")
        if marker == _SOS[1]:
            break
        if marker in _SOF:
            frame, frame_marker = payload, marker
        elif marker == 0xE1 and payload.startswith(b"Exif\0\0"):
            orientation = exif_orientation(payload)
        elif marker == 0xEE and payload.startswith(b"Adobe"):
            adobe = True
        elif marker == 0xDD:
            restarts = any(payload)
        position += max(length, 2)
    else:
        raise corrupt(f"the JPEG has more than {_MAX_SEGMENTS:,} segments before its image data")
    if frame is None or len(frame) < 6:
        raise corrupt("the JPEG does not state its size")
    return JpegHeader(
        width=int.from_bytes(frame[3:5]),
        height=int.from_bytes(frame[1:3]),
        components=frame[5],
        progressive=frame_marker not in _SEQUENTIAL,
        one_stream=frame_marker in _SEQUENTIAL and payload[:1] == frame[5:6] and not restarts,
        orientation=orientation,
        adobe=adobe,
        data=position,
    )


def _complete_without_end(body: bytes, header: JpegHeader) -> bool:
    """Whether a JPEG without an end marker, as some cameras write, has all of its data all the same.

    Then whatever follows the data changes nothing. If the data are cut short, what follows is taken for
    image data: two different continuations give two different images. That holds where one stream carries
    everything; of several scans, or of the parts between restart markers, a whole one could be missing.
    """
    if not header.one_stream:
        return False
    # Padding would be read as data; 0xFF would make a marker of what follows.
    data = body.rstrip(b"\x00\xff")
    endings = (b"\x5a\xa7\x13" * 64, b"\xa5\x38\xec" * 64)
    first, second = (opencv.decode(data + ending + _EOI, opencv.COLOR) for ending in endings)
    return first is not None and second is not None and np.array_equal(first, second)
