"""PNG, by OpenCV, which alone refuses data that do not fill the picture. Layout: W3C PNG, third edition.

Its libpng prints a line on stderr for a cut file and for many chunks that make no picture, and Pillow refuses a
file for text that is a bomb: so the chunks are walked here, and the decoder is given those that make the picture.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from ocr_pipeline.images import opencv
from ocr_pipeline.images.checks import check_size, corrupt, truncated
from ocr_pipeline.images.pillow import decode_with_pillow
from ocr_pipeline.images.pixels import exif_orientation, to_bgr, turn_upright
from ocr_pipeline.images.sniffing import Format
from ocr_pipeline.records import Pixels

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PICTURE = frozenset([b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"])
_GREY = 0

_MAX_CHUNKS = 200_000
"""Far above real files (encoders cut their data into chunks of 8 kB and more); bounds the walk over hostile ones."""


def decode_png(body: bytes, max_pixels: int) -> Pixels:
    """Decode a PNG of any colour type and depth; of an animated one, the default image.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    chunks = _chunks(body)
    kind, header = next(chunks)
    if kind != b"IHDR":
        raise corrupt("the PNG does not start with its header")
    width, height, depth, colour = struct.unpack_from(">IIBB", header, 8)
    check_size(width, height, max_pixels)
    orientation, transparent = 1, None
    picture = [_SIGNATURE, header]
    for kind, chunk in chunks:
        if kind in _PICTURE:
            picture.append(chunk)
        if kind == b"eXIf":
            orientation = exif_orientation(chunk[8:-4])
        elif kind == b"tRNS" and colour == _GREY:
            transparent = int.from_bytes(chunk[8:10])
    body = b"".join(picture)
    if not opencv.can_hold(width, height):
        return turn_upright(decode_with_pillow(Format.PNG, body, max_pixels), orientation)
    samples = opencv.decode(body)
    if samples is None:
        raise corrupt("the PNG's image data cannot be decompressed to its size")
    if transparent is not None and samples.ndim == 2:
        # OpenCV makes alpha of a transparent colour, but not of a transparent grey. It spreads 1, 2 and 4 bits over 8.
        key = transparent if depth >= 8 else transparent * 255 // ((1 << depth) - 1)
        opaque = np.iinfo(samples.dtype).max
        samples = np.dstack([samples, np.where(samples == key, 0, opaque).astype(samples.dtype)])
    return turn_upright(to_bgr(samples), orientation)


def _chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and bytes (length and checksum included) of each chunk to the last; each is whole.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``.
    """
    position = len(_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        kind = body[position + 4 : position + 8]
        end = position + 12 + int.from_bytes(body[position : position + 4])
        if len(kind) == 4 and not kind.isalpha():
            raise corrupt(f"the PNG has no chunk at byte {position:,}")
        if end > len(body):
            raise truncated(f"the PNG stops after {len(body):,} bytes; its chunk at {position:,} ends at {end:,}")
        chunk = body[position:end]
        if kind in _PICTURE and zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
            raise corrupt(f"the PNG chunk {kind.decode()} at byte {position:,} has a wrong checksum")
        yield kind, chunk
        if kind == b"IEND":
            return
        position = end
    raise corrupt(f"the PNG has more than {_MAX_CHUNKS:,} chunks")
