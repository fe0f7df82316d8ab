"""TIFF, a page at a time, each for itself. Layout: TIFF 6.0; BigTIFF.

Pillow decodes; OpenCV the deep colour that Pillow reduces to its upper 8 bits or does not know. Neither is asked
before a page's directory and data are seen to be whole: both go on without the tags, the strips and the pages that are
missing, and of a compression that they do not know, OpenCV makes a black page.
"""

from __future__ import annotations

import io
import itertools
import math
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ocr_pipeline.errors import ImageError
from ocr_pipeline.images import opencv
from ocr_pipeline.images.checks import BYTES_A_PIXEL, MOST_REDUCED, check_size, corrupt, reduction, truncated
from ocr_pipeline.images.decoded import Decoded, DecodePage, upright
from ocr_pipeline.images.pillow import bytes_a_pixel, open_image, pillow_error, pillow_pixels, reduced_pixels
from ocr_pipeline.images.pixels import Samples, to_bgr, turn_upright
from ocr_pipeline.images.sniffing import Format
from ocr_pipeline.images.tiff_data import check_data, strip_rows
from ocr_pipeline.images.tiff_tags import (
    BITS,
    COMPRESSION,
    EXTRA,
    HEIGHT,
    OLD_JPEG,
    OLD_SUBFILE,
    ORIENTATION,
    PHOTOMETRIC,
    PLANES,
    SAMPLE_FORMAT,
    SAMPLES,
    STRIP_SIZES,
    STRIPS,
    SUBFILE,
    WIDTH,
)
from ocr_pipeline.records import Pixels

_NEEDED = frozenset(
    [*range(254, 260), 262, 266, 273, 277, 278, 279, 284, 292, 317, 320, *range(322, 326), 338, 339, 347]
)
"""Tags on which the pixels depend."""

_BIG = 43
_REDUCED, _MASK = 1, 4
_OLD_REDUCED = 2
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _LOG_LUV = 0, 1, 2, 32845
_OPENCV = frozenset([_BLACK_IS_ZERO, _RGB, _LOG_LUV])
"""Photometric interpretations that OpenCV converts rightly at any depth."""
_OPENCV_COMPRESSIONS = frozenset([1, 5, 8, 32773, 32946])
"""Compressions that OpenCV decodes: none, LZW, Deflate (twice) and PackBits."""
_UNSIGNED, _SIGNED = 1, 2
_SAMPLE_FORMATS = {_UNSIGNED: "whole numbers", _SIGNED: "signed numbers", 3: "floating-point numbers"}
_PHOTOMETRICS = {
    **{0: "grey", 1: "grey", 2: "RGB", 3: "a palette", 4: "a mask", 5: "CMYK", 6: "YCbCr", 8: "CIELAB", 9: "ICCLAB"},
    **{10: "ITULAB", 32803: "a raw photograph", 32844: "LogL", 32845: "LogLuv", 34892: "a raw photograph"},
}
_UNKNOWN = re.compile("unknown (pixel|raw) mode|unknown data organization")
"""What Pillow says of a combination of tags that it does not know."""
_UNSPECIFIED = 0

_NUMBER_SIZES = {1: 1, 3: 2, 4: 4, 16: 8}
"""Bytes of the types of whole numbers: BYTE, SHORT, LONG, LONG8."""

_BAND_PIXELS = 1 << 24
"""Pixels that are decoded at once where a page is reduced, if its strips are no larger."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How numbers are written in a TIFF."""

    order: str
    big: bool

    @classmethod
    def of(cls, body: bytes) -> _Layout:
        return cls("<" if body.startswith(b"II") else ">", _BIG in body[2:4])

    @property
    def offset(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "I"))

    @property
    def count(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def entry(self) -> struct.Struct:
        """Tag, type, count, and the value or where it is."""
        return struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))

    def number(self, kind: int, value: bytes) -> int:
        """The first number of a value within its entry; 0 where it is of no type of whole numbers."""
        return int.from_bytes(value[: _NUMBER_SIZES.get(kind, 0)], self._byteorder)

    def value(self, kind: int, number: int) -> bytes:
        """``number`` as a value within an entry."""
        return number.to_bytes(_NUMBER_SIZES.get(kind, 2), self._byteorder)

    @property
    def _byteorder(self) -> Literal["little", "big"]:
        return "little" if self.order == "<" else "big"

    def entries(self, image: bytes, directory: int) -> Iterator[tuple[int, int, int, bytes]]:
        """Those of a directory."""
        start, (count,) = directory + self.count.size, self.count.unpack_from(image, directory)
        return self.entry.iter_unpack(image[start : start + count * self.entry.size])

    def with_first(self, body: bytes, directory: int) -> bytes:
        """``body``, its first directory being the one at this offset."""
        start = self.offset.size
        return body[:start] + self.offset.pack(directory) + body[2 * start :]


def tiff_pages(body: bytes, max_pixels: int) -> Iterator[DecodePage]:
    """The pages of a TIFF. Reduced copies and masks of a page are none, unless there is nothing else.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``, where the way to the next page is.
    """
    layout = _Layout.of(body)
    number, copy = 0, None
    for directory, is_copy in _directories(body, layout):
        if is_copy:
            copy = copy or directory
            continue
        yield partial(_decode_page, body, layout, directory, number, max_pixels)
        number += 1
    if copy and not number:
        yield partial(_decode_page, body, layout, copy, number, max_pixels)


def _directories(body: bytes, layout: _Layout) -> Iterator[tuple[int, bool]]:
    """Where the directory of each image is, and whether it is a reduced copy or a mask of another.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``.
    """
    offset, count, entry = layout.offset, layout.count, layout.entry
    if len(body) < 2 * offset.size:
        raise truncated(f"the TIFF stops after {len(body):,} bytes, within its header; get the file again")
    (directory,) = offset.unpack_from(body, offset.size)
    seen: set[int] = set()
    while directory:
        if directory in seen:
            raise corrupt(f"after {len(seen)} images, the TIFF begins again with one of them; get the file again")
        seen.add(directory)
        start = directory + count.size
        end = start
        if start <= len(body):
            end += entry.size * count.unpack_from(body, directory)[0]
        if end + offset.size > len(body):
            detail = f"the TIFF has {len(body):,} bytes; the directory of image {len(seen)} goes further"
            raise truncated(f"{detail}; get the file again")
        entries = layout.entries(body, directory)
        yield directory, any(_says_copy(tag, layout.number(kind, value)) for tag, kind, _, value in entries)
        (directory,) = offset.unpack_from(body, end)
    if not seen:
        raise corrupt("the TIFF has no page; get the file again from where it was made")


def _says_copy(tag: int, value: int) -> bool:
    return (tag == SUBFILE and value & (_REDUCED | _MASK) > 0) or (tag == OLD_SUBFILE and value == _OLD_REDUCED)


def _decode_page(body: bytes, layout: _Layout, directory: int, number: int, max_pixels: int) -> Decoded:
    image = layout.with_first(body, directory)
    tags = _tags(image, layout, directory, number)
    width, height = tags.get(WIDTH, 0), tags.get(HEIGHT, 0)
    simple = max(tags.get(BITS, (1,))) <= 8 and tags.get(COMPRESSION, 1) != OLD_JPEG
    factor = reduction(width, height, max_pixels, most=MOST_REDUCED if simple else 1)
    warnings = check_data(body, tags, number, max_pixels)
    if factor == 1:
        return Decoded(_decode_first(image, tags, number), warnings)
    bands: Iterable[bytes] = [_unturned(image, layout, directory)]
    if STRIPS in tags and len(tags[STRIPS]) == len(tags[STRIP_SIZES]) and tags.get(PLANES, 1) == 1:
        bands = (_band(image, tags, strips, rows) for strips, rows in _bands(tags, factor))
    pixels = np.concatenate([_reduce(band, factor, max_pixels) for band in bands])[: max(height // factor, 1)]
    turned = upright(pixels, tags.get(ORIENTATION, 1), reduced_from=(width, height))
    return replace(turned, warnings=warnings)


def _tags(image: bytes, layout: _Layout, directory: int, number: int) -> ImageFileDirectory_v2:
    """The tags of the first image.

    :raises ImageError: ``CORRUPT`` where one that is needed cannot be read: Pillow warns only.
    """
    # Pillow knows a big TIFF by its third byte, which is the fourth where the byte order is big-endian.
    tags = ImageFileDirectory_v2(b"II+\0" + image[4:16] if layout.big else image[:8], prefix=image[:2])
    file = io.BytesIO(image)
    file.seek(directory)
    tags.load(file)
    for tag, *_ in layout.entries(image, directory):
        if tag in _NEEDED and tag not in tags:
            raise corrupt(f"the TIFF's tag {tag} of page {number + 1} cannot be read; get the file again")
    return tags


def _unturned(image: bytes, layout: _Layout, directory: int) -> bytes:
    """The TIFF without the orientation of its first image, which Pillow would apply to all of its pixels."""
    for number, (tag, kind, count, _) in enumerate(layout.entries(image, directory)):
        if tag == ORIENTATION:
            at = directory + layout.count.size + number * layout.entry.size
            upright_entry = layout.entry.pack(tag, kind, count, layout.value(kind, 1))
            return image[:at] + upright_entry + image[at + layout.entry.size :]
    return image


def _decode_first(image: bytes, tags: ImageFileDirectory_v2, number: int) -> Pixels:
    """Decode the first image, page ``number`` with these tags, upright.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``.
    """
    photometric, samples_a_pixel = tags.get(PHOTOMETRIC, 1), tags.get(SAMPLES, 1)
    # Of colour that does not state its samples, OpenCV fills some with whatever is in memory.
    known = photometric in _OPENCV and (photometric != _RGB or samples_a_pixel >= 3)
    known = known and tags.get(COMPRESSION, 1) in _OPENCV_COMPRESSIONS
    planes, deep = tags.get(PLANES, 1) == 2, max(tags.get(BITS, (1,))) > 8 and samples_a_pixel > 1
    known = known and not planes
    joined = planes and photometric in (_BLACK_IS_ZERO, _RGB) and STRIPS in tags
    joined = joined and (deep or samples_a_pixel == 2 or _is_signed(tags))
    if planes and deep and not joined:
        # Pillow takes half of each plane for it.
        raise _unread(tags, number)
    if known and deep:
        samples = opencv.decode(image)
        if samples is not None:
            return to_bgr(_meant(samples, tags))
    try:
        if joined:
            return turn_upright(to_bgr(_meant(_joined_planes(image, tags), tags)), tags.get(ORIENTATION, 1))
        with open_image(Format.TIFF, image) as opened:
            # Applies the orientation too.
            opened.load()
            if opened.mode == "I":
                return to_bgr(_meant(np.asarray(opened), tags))
            if opened.mode == "L" and _is_signed(tags):
                return to_bgr(np.asarray(opened).view(np.int8))
            pixels = pillow_pixels(opened)
            # Pillow turns white-is-zero round up to 8 bits only.
            inverted = photometric == _WHITE_IS_ZERO and opened.mode.startswith(("I;16", "F"))
            return np.bitwise_not(pixels) if inverted else pixels
    except MemoryError:
        raise
    except Exception as error:
        # A SyntaxError is Pillow's word for a combination of tags that it does not know.
        found = opencv.decode(image) if known and isinstance(error, SyntaxError) else None
        if found is None and _UNKNOWN.search(str(error)):
            raise _unread(tags, number) from error
        if found is None:
            raise pillow_error(Format.TIFF, image, error) from error
        return to_bgr(_meant(found, tags))


def _joined_planes(image: bytes, tags: ImageFileDirectory_v2) -> Samples:
    """The samples of the first image, as stored, of which each channel is kept for itself: as pictures in grey.

    Decoders take them for one picture at 8 bits only, if at all.
    """
    each = len(tags[STRIPS]) // tags[SAMPLES]
    planes = []
    for number in range(tags[SAMPLES]):
        alone = _band(image, tags, slice(number * each, (number + 1) * each), tags[HEIGHT], plane=number)
        plane = _grey_samples(alone)
        planes.append(plane.view(np.int8) if plane.dtype == np.uint8 and _is_signed(tags) else plane)
    colours, others = (planes[2::-1], planes[3:4]) if tags[PHOTOMETRIC] == _RGB else (planes[:1], planes[1:2])
    return np.dstack([*colours, *others])


def _grey_samples(image: bytes) -> Samples:
    """The samples of a TIFF in grey of any depth.

    :raises SyntaxError: where nothing knows its kind.
    """
    try:
        with open_image(Format.TIFF, image) as opened:
            opened.load()
            return np.asarray(opened)
    except SyntaxError:
        if (samples := opencv.decode(image)) is None:
            raise
        return samples


def _is_signed(tags: ImageFileDirectory_v2) -> bool:
    return set(tags.get(SAMPLE_FORMAT, (_UNSIGNED,))) == {_SIGNED}


def _unread(tags: ImageFileDirectory_v2, number: int) -> ImageError:
    """The error for a page that is whole, of a kind that nothing here reads."""
    colour = _PHOTOMETRICS.get(tags.get(PHOTOMETRIC, 1), f"of the photometric interpretation {tags[PHOTOMETRIC]}")
    kinds = {_SAMPLE_FORMATS.get(kind, f"of the format {kind}") for kind in tags.get(SAMPLE_FORMAT, (_UNSIGNED,))}
    bits = "/".join(str(depth) for depth in sorted(set(tags.get(BITS, (1,)))))
    samples = f"{tags.get(SAMPLES, 1)} samples a pixel, {' and '.join(sorted(kinds))}, of {bits} bits"
    return corrupt(
        f"page {number + 1} of the TIFF is {colour} in {samples}, which is not read; save it as grey or RGB of 8 bits"
    )


def _meant(samples: Samples, tags: ImageFileDirectory_v2) -> Samples:
    """Samples as the tags mean them: those of 32 bits unsigned, and no alpha made of what is unspecified."""
    if samples.dtype == np.int32 and set(tags.get(SAMPLE_FORMAT, (_UNSIGNED,))) == {_UNSIGNED}:
        samples = samples.view(np.uint32)
    extra = tags.get(EXTRA, ())
    if samples.ndim == 3 and samples.shape[2] in (2, 4) and extra and extra[0] == _UNSPECIFIED:
        samples = samples[:, :, :-1]
    return samples


def _bands(tags: ImageFileDirectory_v2, factor: int) -> Iterator[tuple[slice, int]]:
    """Strips to decode together, and their rows: all but the last begin and end at whole rows of the reduced page."""
    rows = strip_rows(tags)
    step = factor // math.gcd(factor, rows)
    step *= max(_BAND_PIXELS // (step * rows * tags[WIDTH]), 1)
    for first in range(0, len(tags[STRIPS]), step):
        yield slice(first, first + step), min(step * rows, tags[HEIGHT] - first * rows)


def _band(image: bytes, tags: ImageFileDirectory_v2, strips: slice, height: int, *, plane: int | None = None) -> bytes:
    """A TIFF of some strips of the first image alone, ``height`` rows; or of those of a plane, in grey."""
    offsets, sizes = tags[STRIPS][strips], tags[STRIP_SIZES][strips]
    band = ImageFileDirectory_v2(prefix=tags.prefix)
    for tag in _NEEDED & set(tags):
        band.tagtype[tag] = tags.tagtype[tag]
        band[tag] = tags[tag]
    band[HEIGHT] = height
    if plane is not None:
        band[SAMPLES] = band[PLANES] = band[PHOTOMETRIC] = 1
        for tag in (BITS, SAMPLE_FORMAT):
            if tag in tags:
                band[tag] = tags[tag][plane : plane + 1]
        if EXTRA in band:
            del band[EXTRA]
    # Pillow has them begin behind the directory.
    band[STRIPS] = tuple(itertools.accumulate(sizes[:-1], initial=0))
    band[STRIP_SIZES] = sizes
    file = io.BytesIO()
    band.save(file)
    for offset, size in zip(offsets, sizes, strict=True):
        file.write(image[offset : offset + size])
    return file.getvalue()


def _reduce(image: bytes, factor: int, max_pixels: int) -> Pixels:
    """Decode the first image at ``1 / factor`` of its width and height.

    :raises ImageError: ``TOO_MANY_PIXELS`` where Pillow would hold more than a page of ``max_pixels`` takes.
    """
    try:
        with open_image(Format.TIFF, image) as opened:
            check_size(*opened.size, int(max_pixels * BYTES_A_PIXEL / bytes_a_pixel(opened)))
            opened.load()
            return reduced_pixels(opened, factor)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise pillow_error(Format.TIFF, image, error) from error
