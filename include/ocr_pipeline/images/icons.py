"""Icons, which hold a picture in several sizes: the largest is decoded.

Pillow would decode them on opening, whatever size the pictures within are; so these are taken out and looked at first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ocr_pipeline.images.checks import check_size, corrupt, truncated
from ocr_pipeline.images.decoded import Decoded
from ocr_pipeline.images.pillow import decode_with_pillow
from ocr_pipeline.images.png import SIGNATURE, decode_png
from ocr_pipeline.images.sniffing import Format, sniff_format

_ENTRY = struct.Struct("<BBBBHHII")
_LIST = 6
_JPEG2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")


def decode_ico(body: bytes, max_pixels: int) -> Decoded:
    """Decode a Windows icon or cursor.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    count = int.from_bytes(body[4:6], "little")
    if len(body) < _LIST + count * _ENTRY.size:
        raise truncated(
            f"the icon stops after {len(body):,} bytes, within the list of its pictures; get the file again"
        )
    entries = [_ENTRY.unpack_from(body, _LIST + number * _ENTRY.size) for number in range(count)]
    # 0 is 256; of those of one size, the deepest takes the most bytes.
    width, height, *_, size, start = max(entries, key=lambda entry: ((entry[0] or 256) * (entry[1] or 256), entry[6]))
    picture = body[start : start + size]
    if len(picture) < size:
        raise truncated(f"the icon has {len(body):,} of {start + size:,} bytes; get the file again")
    if picture.startswith(SIGNATURE):
        return decode_png(picture, max_pixels)
    # A bitmap and below it its mask, which its height includes (BITMAPINFOHEADER).
    stored_width, stored_height, _, bits = struct.unpack_from("<iiHH", picture, 4)
    check_size(stored_width, stored_height // 2, max_pixels)
    alone = b"\0\0\1\0\1\0" + _ENTRY.pack(width, height, 0, 0, 1, bits, size, _LIST + _ENTRY.size) + picture
    return decode_with_pillow(Format.ICO, alone, max_pixels)


def decode_icns(body: bytes, max_pixels: int) -> Decoded:
    """Decode a macOS icon.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    pictures = [data for data in _elements(body) if data.startswith((SIGNATURE, *_JPEG2000))]
    if not pictures:
        # Bitmaps of the sizes that their names say, at most 128 pixels a side.
        return decode_with_pillow(Format.ICNS, body, max_pixels)
    largest = max(pictures, key=len)
    if sniff_format(largest) is Format.PNG:
        return decode_png(largest, max_pixels)
    return decode_with_pillow(Format.JPEG2000, largest, max_pixels)


def _elements(body: bytes) -> Iterator[bytes]:
    """The data of each element of a macOS icon, which begins with a name and the size of both.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``.
    """
    end = int.from_bytes(body[4:8])
    if end > len(body):
        raise truncated(f"the icon has {len(body):,} of {end:,} bytes; get the file again")
    position = 8
    while position < end:
        size = int.from_bytes(body[position + 4 : position + 8])
        if size < 8 or position + size > end:
            raise corrupt(f"the icon has no picture at byte {position:,}; get the file again")
        yield body[position + 8 : position + size]
        position += size
