"""What PDFium leaves out of a page without a word: images and contents that it cannot decode, or only in part.

Layout: ISO 32000-1, sections 7.3.8 (streams), 7.4 (filters) and 7.8.2 (contents); of JBIG2, ITU-T T.88, section 7.2.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import TypeVar

import pypdfium2

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.images.checks import corrupt, truncated
from ocr_pipeline.images.fax import Fax, damaged_rows
from ocr_pipeline.images.jpeg import check_jpeg
from ocr_pipeline.images.pillow import check_jpeg2000

_SIMPLE = frozenset(["ASCIIHexDecode", "ASCII85Decode", "LZWDecode", "FlateDecode", "RunLengthDecode", "Crypt"])
_OF_IMAGES = frozenset(["CCITTFaxDecode", "JBIG2Decode", "DCTDecode", "JPXDecode"])
_READ = _SIMPLE | _OF_IMAGES | {"AHx", "A85", "LZW", "Fl", "RL", "CCF", "DCT"}
"""Filters that PDFium knows; the short names are of images within the contents."""

_JPEG_START = b"\xff\xd8\xff"
_SLICE = 1 << 14
"""Bytes that are unpacked at once, to a thousand times as many at most."""

_T = TypeVar("_T")


class PossibleDamageError(ImageError):
    """An image is not as its format has it, as far as a walk over it can tell: readers are more forgiving."""


_STREAM = re.compile(rb"[\r\n](\d+) 0 obj\s+<<((?:(?!endobj).)*?)>>stream\r?\n", re.DOTALL)
_LENGTH = re.compile(rb"/Length (\d+)")
_FLATE = re.compile(rb"/Filter ?(/FlateDecode|\[ ?/FlateDecode ?\])(?!\s*/[A-Z]\w*Decode)")
_FORM = re.compile(rb"/Subtype ?/Form\b")
_CONTENTS = re.compile(rb"/Contents ?(?:(\d+) 0 R|\[([^\]]*)\])")
_REFERENCE = re.compile(rb"(\d+) 0 R")
_WHOLE_END = re.compile(rb"\b(Q|ET|EMC)\s*\Z")
"""How contents end that were written by programs which do not end their compression."""

_MOST_COPIED = 1 << 25
"""Bytes of a PDF of which each page is copied to look at its contents; of larger ones, those that show nothing are."""

_FAX_WIDTH = 1728
_FAXES = ((Fax.G4, 1), (Fax.G3, 1), (Fax.G3_BY_ROW, 1), (Fax.ROWS, 8), (Fax.ROWS, 1), (Fax.G4, 8))
_MOST_BAD = 0.01
"""Share of its rows that an image may lack: heights are rounded."""
_MOST_LOST = 0.1
"""Share of its rows up to which it is read with a warning."""

_JBIG2_TYPES = frozenset([0, 4, 6, 7, 16, 20, 22, 23, 36, 38, 39, 40, 42, 43, *range(48, 54), 62])
_JBIG2_HEAD = 11
"""Bytes before the data of a segment, at least; fewer at the end are of the PDF."""
_UNKNOWN_LENGTH = 0xFFFFFFFF


def damaged_images(images: list[pypdfium2.PdfImage], max_pixels: int) -> list[ImageError]:
    """What is wrong with each image of which PDFium draws nothing, or not all."""
    check = partial(_check_image, max_pixels=max_pixels)
    return [error for image in images if (error := _caught(check, image))]


def undecodable(image: pypdfium2.PdfImage) -> ImageError | None:
    """What is wrong with an image of which PDFium makes no pixels; takes as long as to decode it."""
    try:
        image.get_bitmap().close()
    except pypdfium2.PdfiumError:
        filters = " ".join(image.get_filters()) or "nothing"
        return corrupt(f"an image, compressed by {filters}, cannot be decoded; get the file again, or print it anew")
    return None


def damaged_contents(document: pypdfium2.PdfDocument, number: int, size: int, *, empty: bool) -> list[ImageError]:
    """What is wrong with the contents of a page, those of its forms included.

    :param size: bytes of the PDF.
    :param empty: whether PDFium finds nothing on the page.
    """
    if size > _MOST_COPIED and not empty:
        return []
    saved = _saved(document, number)
    contents = _contents(saved)
    errors = []
    for stream, head, data in _streams(saved):
        if data and _FLATE.search(head) and (stream in contents or _FORM.search(head)):
            errors.append(_caught(_check_contents, data))
    return [error for error in errors if error]


def _caught(check: Callable[[_T], None], value: _T) -> ImageError | None:
    try:
        check(value)
    except ImageError as error:
        return error
    return None


def _check_image(image: pypdfium2.PdfImage, max_pixels: int) -> None:
    """:raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``."""
    filters = image.get_filters()
    if unknown := set(filters) - _READ:
        raise corrupt(f"an image is compressed by {', '.join(sorted(unknown))}, which is not read; print the PDF anew")
    match filters[-1:]:
        case ["JPXDecode"]:
            # To know more, PDFium would decode it.
            check_jpeg2000(bytes(image.get_data(decode_simple=True)))
            return
        case ["DCTDecode" | "DCT"]:
            body = bytes(image.get_data(decode_simple=True))
            start = body.find(_JPEG_START)
            if start < 0:
                raise corrupt(f"a JPEG of {len(body):,} bytes is none; get the file again")
            if doubts := check_jpeg(body[start:], max_pixels):
                raise corrupt(doubts[0].detail)
        case ["JBIG2Decode"]:
            _check_jbig2(bytes(image.get_data(decode_simple=True)))
        case ["CCITTFaxDecode" | "CCF"]:
            _check_fax(image)
        case ["FlateDecode" | "Fl"] if len(filters) == 1:
            _check_flate_image(image)
    if not image.get_metadata().bits_per_pixel:
        raise corrupt("an image cannot be decoded; get the file again, or print it to a new PDF")


def _check_flate_image(image: pypdfium2.PdfImage) -> None:
    width, height = image.get_px_size()
    needed = height * ((width * int(image.get_metadata().bits_per_pixel) + 7) // 8)
    unpacked = 0
    try:
        for chunk in _inflated(bytes(image.get_data())):
            unpacked += len(chunk)
    except ImageError:
        # One that does not say where it ends may be whole.
        if unpacked < needed:
            raise


def _check_fax(image: pypdfium2.PdfImage) -> None:
    """:raises ImageError: ``CORRUPT``, a :class:`PossibleDamageError` where most of its rows are whole."""
    data, (width, height) = bytes(image.get_data(decode_simple=True)), image.get_px_size()
    fewest = height
    # PDFium does not tell how it is coded, nor how wide: rows may go on beyond the picture.
    for columns, (way, align) in product(dict.fromkeys((width, -(-width // 8) * 8, _FAX_WIDTH)), _FAXES):
        fewest = min(fewest, damaged_rows(data, columns, height, way, align=align))
        if fewest <= _MOST_BAD * height:
            return
    detail = f"of a fax image of {len(data):,} bytes, {fewest:,} of {height:,} rows are damaged; get the file again"
    raise PossibleDamageError(ErrorCategory.CORRUPT, detail) if fewest <= _MOST_LOST * height else corrupt(detail)


def _check_contents(data: bytes) -> None:
    end = b""
    try:
        for chunk in _inflated(data):
            end = (end + chunk)[-8:]
    except ImageError as error:
        if error.category is not ErrorCategory.TRUNCATED or not _WHOLE_END.search(end):
            raise


def _inflated(data: bytes) -> Iterator[bytes]:
    """What is compressed, a part at a time.

    :raises ImageError: ``TRUNCATED``, or ``CORRUPT``.
    """
    inflate = zlib.decompressobj()
    for start in range(0, len(data), _SLICE):
        try:
            yield inflate.decompress(data[start : start + _SLICE])
        except zlib.error as error:
            raise corrupt(f"{len(data):,} compressed bytes cannot be unpacked ({error}); get the file again") from error
        if inflate.eof:
            return
    raise truncated(f"{len(data):,} compressed bytes stop before their end; get the file again")


def _check_jbig2(data: bytes) -> None:
    """Walk its segments: a number, flags, what it refers to, its page, its length, its data.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``, a :class:`PossibleDamageError` at unknown segments.
    """
    at, regions = 0, 0
    while at + _JBIG2_HEAD <= len(data):
        head = data[at : at + 6]
        number, kind = int.from_bytes(head[:4]), head[4] & 0x3F
        if kind not in _JBIG2_TYPES:
            raise PossibleDamageError(
                ErrorCategory.CORRUPT, f"a JBIG2 image has no segment at byte {at:,}; get the file again"
            )
        referred = head[5] >> 5
        at += 6
        if referred == 7:
            referred = int.from_bytes(data[at - 1 : at + 3]) & 0x1FFFFFFF
            at += 3 + (referred + 8) // 8
        at += referred * (1 if number <= 256 else 2 if number <= 65_536 else 4) + (4 if head[4] & 0x40 else 1)
        length = int.from_bytes(data[at : at + 4])
        at += 4
        regions += 4 <= kind < 48
        if length == _UNKNOWN_LENGTH:
            return
        at += length
    if at > len(data):
        raise truncated(f"a JBIG2 image has {len(data):,} of {at:,} bytes; get the file again")
    if not regions:
        raise corrupt("a JBIG2 image has no picture; get the file again")


def _saved(document: pypdfium2.PdfDocument, number: int) -> bytes:
    """A PDF of one page, each object of it as text; empty where PDFium cannot make one."""
    alone = pypdfium2.PdfDocument.new()
    try:
        alone.import_pages(document, [number])
        file = io.BytesIO()
        alone.save(file)
        return file.getvalue()
    except pypdfium2.PdfiumError:
        return b""
    finally:
        alone.close()


def _contents(saved: bytes) -> set[int]:
    """Numbers of the streams that are the contents of the page."""
    found = _CONTENTS.search(saved)
    if not found:
        return set()
    listed = found[2] or b""
    if found[1] and (array := re.search(rb"[\r\n]%b 0 obj\s+\[([^\]]*)\]" % found[1], saved)):
        listed = array[1]
    return {int(number) for number in (found[1], *_REFERENCE.findall(listed)) if number}


def _streams(saved: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, dictionary and data of each stream."""
    at = 0
    while found := _STREAM.search(saved, at):
        length = _LENGTH.search(found[2])
        at = found.end() + (int(length[1]) if length else 0)
        yield int(found[1]), found[2], saved[found.end() : at]
