"""TIFF, a page at a time. Layout: TIFF 6.0, and BigTIFF as libtiff defines it.

The directories are walked here, so that sizes and offsets are checked before a library allocates by them.
Pillow decodes; OpenCV the deep colour that Pillow reduces to its upper 8 bits or does not know.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL.TiffImagePlugin import TiffImageFile

from ocr_pipeline.images import opencv
from ocr_pipeline.images.checks import check_page, check_size, corrupt, truncated
from ocr_pipeline.images.pillow import pillow_error, pillow_pixels
from ocr_pipeline.images.pixels import to_bgr
from ocr_pipeline.images.sniffing import Format
from ocr_pipeline.records import Pixels

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES = 254, 256, 257, 258, 262, 277
_DATA = ((273, 279), (324, 325))
_WHITE_IS_ZERO = 0
_OPENCV = frozenset([1, 2, 32845])
"""Photometric interpretations that OpenCV converts rightly at any depth: black is zero, RGB, LogLuv."""
_JPEG_TABLES, _PALETTE = 347, 320
_READ = frozenset([_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _JPEG_TABLES, _PALETTE, *sum(_DATA, ())])
"""Tags that decoding needs, and that must therefore be whole."""
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_UNSIGNED = {1: "u1", 7: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8"}

_MAX_ENTRIES = 4_096
"""Most entries of a directory; real ones have about 20."""


@dataclass(frozen=True, slots=True)
class TiffDirectory:
    """One image of the file. ``index`` is its place in the chain; ``data_end`` where its data should end."""

    index: int
    width: int
    height: int
    bits: int
    samples: int
    photometric: int
    reduced: bool
    data_end: int


def decode_tiff(body: bytes, max_pixels: int) -> Iterator[Pixels]:
    """Decode the pages of a TIFF one after another, upright. Reduced copies of a page are left out.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT``, ``TOO_MANY_PIXELS`` or ``TOO_MANY_PAGES``.
    """
    number = 0
    for directory in read_directories(body):
        if directory.reduced and number:
            continue
        check_page(number)
        check_size(directory.width, directory.height, max_pixels)
        if directory.data_end > len(body):
            raise truncated(f"the TIFF has {len(body):,} bytes; page {number + 1} goes to {directory.data_end:,}")
        yield _decode_page(body, directory)
        number += 1


def _decode_page(body: bytes, directory: TiffDirectory) -> Pixels:
    opencv_can = directory.photometric in _OPENCV and opencv.can_hold(directory.width, directory.height)
    if opencv_can and directory.bits > 8 and directory.samples > 1:
        samples = opencv.decode_page(body, directory.index)
        if samples is not None:
            return to_bgr(samples)
    try:
        with TiffImageFile(io.BytesIO(body)) as image:
            image.seek(directory.index)
            # Applies the orientation too.
            image.load()
            pixels = pillow_pixels(image)
            # Pillow turns white-is-zero round up to 8 bits only.
            inverted = directory.photometric == _WHITE_IS_ZERO and image.mode.startswith("I;16")
            return np.bitwise_not(pixels) if inverted else pixels
    except Exception as error:
        # A SyntaxError is Pillow's word for a combination of tags that it does not know.
        samples = opencv.decode_page(body, directory.index) if opencv_can and isinstance(error, SyntaxError) else None
        if samples is None:
            raise pillow_error(Format.TIFF, error) from error
        return to_bgr(samples)


def read_directories(body: bytes) -> Iterator[TiffDirectory]:
    """Walk the chain of directories, each when it is asked for.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``.
    """
    reader = _Reader(body)
    offset = reader.first_directory()
    seen: set[int] = set()
    while offset:
        if offset in seen:
            raise corrupt(f"the TIFF's page {len(seen) + 1} is one of the pages before it")
        index = len(seen)
        seen.add(offset)
        tags, offset = reader.directory(offset)
        yield _directory(index, tags)
    if not seen:
        raise corrupt("the TIFF has no page")


def _directory(index: int, tags: dict[int, npt.NDArray[np.unsignedinteger]]) -> TiffDirectory:
    def first(tag: int, default: int) -> int:
        values = tags.get(tag)
        return default if values is None or not len(values) else int(values[0])

    data_end = 0
    for offsets, counts in _DATA:
        if offsets in tags and counts in tags and len(tags[offsets]) == len(tags[counts]) > 0:
            data_end = int((tags[offsets].astype(np.uint64) + tags[counts].astype(np.uint64)).max())
    return TiffDirectory(
        index=index,
        width=first(_WIDTH, 0),
        height=first(_HEIGHT, 0),
        bits=first(_BITS, 1),
        samples=first(_SAMPLES, 1),
        photometric=first(_PHOTOMETRIC, 1),
        reduced=bool(first(_SUBFILE, 0) & 1),
        data_end=data_end,
    )


class _Reader:
    """Reads directories out of a classic or big TIFF of either byte order."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._order = "<" if body.startswith(b"II") else ">"
        self._big = 43 in body[2:4]
        self._word = 8 if self._big else 4

    def first_directory(self) -> int:
        return self._number(self._word, self._word)

    def directory(self, offset: int) -> tuple[dict[int, npt.NDArray[np.unsignedinteger]], int]:
        """The tags of the directory at ``offset``, and the offset of the next one (0: none)."""
        count_size = 8 if self._big else 2
        count = self._number(offset, count_size)
        if count > _MAX_ENTRIES:
            raise corrupt(f"the TIFF's directory at byte {offset:,} claims {count:,} entries")
        entry_size = 4 + 2 * self._word
        tags: dict[int, npt.NDArray[np.unsignedinteger]] = {}
        total = 0
        for start in range(offset + count_size, offset + count_size + count * entry_size, entry_size):
            tag, kind = self._number(start, 2), self._number(start + 2, 2)
            values = self._number(start + 4, self._word)
            size = values * _TYPE_SIZES.get(kind, 0)
            value_at = start + 4 + self._word
            if size > self._word:
                value_at = self._number(value_at, self._word)
                total += size
            if total > len(self._body):
                # Pillow would copy each; overlapping ones multiply to any size.
                raise truncated(f"the TIFF's directory at byte {offset:,} refers to more bytes than there are")
            if tag in _READ and kind in _UNSIGNED:
                tags[tag] = self._array(value_at, values, _UNSIGNED[kind])
        return tags, self._number(offset + count_size + count * entry_size, self._word)

    def _number(self, offset: int, size: int) -> int:
        return int(self._array(offset, 1, f"u{size}")[0])

    def _array(self, offset: int, count: int, kind: str) -> npt.NDArray[np.unsignedinteger]:
        end = offset + count * int(kind[1])
        if end > len(self._body):
            raise truncated(f"the TIFF has {len(self._body):,} bytes and refers to byte {end:,}")
        return np.frombuffer(self._body, np.dtype(self._order + kind), count, offset)
