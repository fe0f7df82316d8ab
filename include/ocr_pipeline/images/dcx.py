"""DCX: facsimiles of several pages, each a PCX. Layout: a list of up to 1,023 offsets that ends with 0."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from itertools import takewhile

from ocr_pipeline.images.checks import corrupt, truncated
from ocr_pipeline.images.decoded import Decoded, DecodePage
from ocr_pipeline.images.pillow import decode_with_pillow
from ocr_pipeline.images.sniffing import Format

_FIRST = 4
_MOST = 1_023


def dcx_pages(body: bytes, max_pixels: int) -> Iterator[DecodePage]:
    """The pages of a DCX, in order.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``, where the list of its pages is.
    """
    listed = body[_FIRST : _FIRST + 4 * (_MOST + 1)]
    offsets = list(takewhile(bool, (offset for (offset,) in struct.iter_unpack("<I", listed[: len(listed) & ~3]))))
    if len(body) < _FIRST + 4 * (len(offsets) + 1) and len(offsets) < _MOST:
        raise truncated(f"the DCX stops after {len(body):,} bytes, within the list of its pages; get the file again")
    if not offsets:
        raise corrupt("the DCX has no page; get the file again from where it was made")
    for offset in offsets:
        # A page ends where the next one in the file begins.
        end = min((other for other in offsets if other > offset), default=len(body))
        yield partial(_decode_page, body, offset, end, max_pixels)


def _decode_page(body: bytes, start: int, end: int, max_pixels: int) -> Decoded:
    if end > len(body):
        raise truncated(f"the DCX has {len(body):,} bytes; a page of it goes to {end:,}; get the file again")
    return decode_with_pillow(Format.PCX, body[start:end], max_pixels)
