"""TIFF, a page at a time, each for itself.

Pillow decodes; OpenCV the deep colour that Pillow reduces to its upper 8 bits or does not know. Neither is asked
before the directories are seen to be whole: both go on without the tags, and the pages, that are missing.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
from PIL.TiffImagePlugin import COMPRESSION_INFO, ImageFileDirectory_v2

from ocr_pipeline.images import opencv
from ocr_pipeline.images.checks import check_page, check_size, corrupt, truncated
from ocr_pipeline.images.pillow import open_image, pillow_error, pillow_pixels
from ocr_pipeline.images.pixels import to_bgr
from ocr_pipeline.images.sniffing import Format
from ocr_pipeline.records import Pixels

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 254, 256, 257, 258, 259, 262, 277
_DATA = ((273, 279), (324, 325))
"""Tags of where the strips or tiles of a page are, and how long."""
_NEEDED = frozenset([*range(254, 260), 262, 266, 273, 277, 278, 279, 284, 317, 320, *range(322, 326), 338, 339, 347])
"""Tags on which the pixels depend."""

_BIG = 43
_REDUCED = 1
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _LOG_LUV = 0, 1, 2, 32845
_OPENCV = frozenset([_BLACK_IS_ZERO, _RGB, _LOG_LUV])
"""Photometric interpretations that OpenCV converts rightly at any depth."""


def decode_tiff(body: bytes, max_pixels: int) -> Iterator[Pixels]:
    """Decode the pages of a TIFF one after another, upright. Reduced copies of a page are left out.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT``, ``TOO_MANY_PIXELS`` or ``TOO_MANY_PAGES``.
    """
    number = 0
    for image, tags in _images(body):
        if number and tags.get(_SUBFILE, 0) & _REDUCED:
            continue
        check_page(number)
        check_size(tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0), max_pixels)
        for offsets, counts in _DATA:
            end = max(map(sum, zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)), default=0)
            if end > len(body):
                raise truncated(f"the TIFF has {len(body):,} bytes; page {number + 1} goes to {end:,}")
        yield _decode_first(image, tags)
        number += 1


def _decode_first(body: bytes, tags: ImageFileDirectory_v2) -> Pixels:
    """Decode the first image of ``body``, whose tags are ``tags``."""
    if tags.get(_COMPRESSION, 1) not in COMPRESSION_INFO:
        # OpenCV makes a black page of it.
        raise corrupt(f"the TIFF has a compression that is not known, number {tags[_COMPRESSION]}")
    photometric, samples_a_pixel = tags.get(_PHOTOMETRIC, 1), tags.get(_SAMPLES, 1)
    # Of colour that does not state its samples, OpenCV fills some with whatever is in memory.
    known = photometric in _OPENCV and (photometric != _RGB or samples_a_pixel >= 3)
    if known and max(tags.get(_BITS, (1,))) > 8 and samples_a_pixel > 1:
        samples = opencv.decode(body)
        if samples is not None:
            return to_bgr(samples)
    try:
        with open_image(Format.TIFF, body) as image:
            # Applies the orientation too.
            image.load()
            pixels = pillow_pixels(image)
            # Pillow turns white-is-zero round up to 8 bits only.
            inverted = photometric == _WHITE_IS_ZERO and image.mode.startswith("I;16")
            return np.bitwise_not(pixels) if inverted else pixels
    except Exception as error:
        # A SyntaxError is Pillow's word for a combination of tags that it does not know.
        samples = opencv.decode(body) if known and isinstance(error, SyntaxError) else None
        if samples is None:
            raise pillow_error(Format.TIFF, body, error) from error
        return to_bgr(samples)


def _images(body: bytes) -> Iterator[tuple[bytes, ImageFileDirectory_v2]]:
    """Each image of the file, when it is asked for: as the first of a TIFF, and its tags.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``.
    """
    order = "<" if body.startswith(b"II") else ">"
    big = _BIG in body[2:4]
    number = struct.Struct(order + ("Q" if big else "I"))
    start, end = number.size, 2 * number.size
    if len(body) < end:
        raise truncated(f"the TIFF stops after {len(body):,} bytes, within its header")
    (offset,) = number.unpack_from(body, start)
    seen: set[int] = set()
    while offset:
        if offset in seen:
            raise corrupt(f"the TIFF's page {len(seen) + 1} is one of the pages before it")
        seen.add(offset)
        image = body[:start] + number.pack(offset) + body[end:]
        # Pillow knows a big TIFF by its third byte, which is the fourth where the byte order is big-endian.
        tags = ImageFileDirectory_v2(b"II+\0" + image[4:16] if big else image[:8], prefix=body[:2])
        tags.next = None
        file = io.BytesIO(image)
        file.seek(offset)
        tags.load(file)
        # Where a directory is cut short, or a tag is damaged, Pillow goes on as if the rest were not there.
        if tags.next is None:
            raise truncated(f"the TIFF has {len(body):,} bytes; the directory of page {len(seen)} goes further")
        entries = image[offset + (8 if big else 2) : file.tell() - number.size]
        for (tag,) in struct.iter_unpack(order + ("H18x" if big else "H10x"), entries):
            if tag in _NEEDED and tag not in tags:
                raise corrupt(f"the TIFF's tag {tag} of page {len(seen)} cannot be read")
        yield image, tags
        offset = tags.next
    if not seen:
        raise corrupt("the TIFF has no page")
