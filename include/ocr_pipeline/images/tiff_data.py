"""Whether the data of a TIFF's page are whole: libtiff makes do with what there is."""

from __future__ import annotations

import math
from collections.abc import Iterator

from PIL.TiffImagePlugin import COMPRESSION_INFO, ImageFileDirectory_v2

from ocr_pipeline.errors import ImageError, WarningCategory
from ocr_pipeline.images.checks import corrupt, truncated
from ocr_pipeline.images.fax import MOST_WALKED, Fax, damaged_rows
from ocr_pipeline.images.jpeg import check_jpeg
from ocr_pipeline.images.tiff_tags import (
    BITS,
    COMPRESSION,
    FAX_OPTIONS,
    FILL_ORDER,
    HEIGHT,
    JPEG_TABLES,
    OLD_JPEG,
    PLANES,
    ROWS,
    SAMPLES,
    STRIP_SIZES,
    STRIPS,
    TILE_HEIGHT,
    TILE_SIZES,
    TILE_WIDTH,
    TILES,
    WIDTH,
)
from ocr_pipeline.records import PageWarning

_UNREAD = {
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG of a raw photograph",
    34934: "JPEG XR",
    34933: "PNG",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
"""Names of compressions that are met and that nothing here reads."""

_FAX = {2: (Fax.ROWS, 8), 3: (Fax.G3, 1), 4: (Fax.G4, 1), 32771: (Fax.ROWS, 16)}
"""How black and white is coded by a compression, and at a multiple of how many bits rows begin."""
_BY_ROW = 1
_LOWEST_FIRST = 2
_MOST_BAD = 0.02
"""Share of the rows of a fax that a bad line may have damaged for the others to be read: more is a line of text."""
_JPEG = 7


def check_data(body: bytes, tags: ImageFileDirectory_v2, number: int, max_pixels: int) -> tuple[PageWarning, ...]:
    """What of page ``number`` is damaged, where the rest can be read.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT`` where it cannot, or where it is compressed in a way that is not
        known: it would be black.
    """
    _check_parts(tags, len(body), number)
    if tags.get(COMPRESSION, 1) == _JPEG:
        _check_jpegs(body, tags, number, max_pixels)
    return _fax_warnings(body, tags, number)


def strip_rows(tags: ImageFileDirectory_v2) -> int:
    """Rows of each strip but the last."""
    return int(min(tags.get(ROWS) or tags[HEIGHT], tags[HEIGHT]))


def _check_parts(tags: ImageFileDirectory_v2, size: int, number: int) -> None:
    """Refuse a page of whose data a part is missing, or whose compression is not known.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``.
    """
    page, compression = f"page {number + 1} of the TIFF", tags.get(COMPRESSION, 1)
    if compression in _UNREAD or compression not in COMPRESSION_INFO:
        name = f" ({_UNREAD[compression]})" if compression in _UNREAD else ""
        raise corrupt(f"{page} has the compression {compression}{name}, which is not read; save it with LZW or Deflate")
    for offsets, counts in ((STRIPS, STRIP_SIZES), (TILES, TILE_SIZES)):
        parts = list(zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False))
        end = max(map(sum, parts), default=0)
        if end > size:
            raise truncated(f"the TIFF has {size:,} bytes; page {number + 1} goes to {end:,}; get the file again")
        if not all(length for _, length in parts):
            raise corrupt(f"{page} has parts without data; get the file again from where it was made")
    there, needed = len(tags.get(TILES, tags.get(STRIPS, ()))), _parts(tags)
    if there < needed and compression != OLD_JPEG:
        raise corrupt(f"{page} has {there:,} of its {needed:,} strips or tiles; get the file again")


def _check_jpegs(body: bytes, tags: ImageFileDirectory_v2, number: int, max_pixels: int) -> None:
    """Refuse a page of which a JPEG is damaged.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``.
    """
    # What all of them share stands apart, as a JPEG without a picture: without its end, it goes before theirs.
    tables = bytes(tags.get(JPEG_TABLES, b""))[:-2]
    for start, size, *_ in _coded_parts(tags):
        part = body[start : start + size]
        try:
            check_jpeg(tables + part[2:] if tables else part, max_pixels)
        except ImageError as error:
            detail = f"a part of page {number + 1} of the TIFF is damaged: {error.detail}"
            raise ImageError(error.category, detail) from error


def _fax_warnings(body: bytes, tags: ImageFileDirectory_v2, number: int) -> tuple[PageWarning, ...]:
    """What of a page of black and white is damaged, where the rest can be read.

    :raises ImageError: ``CORRUPT`` where it cannot.
    """
    if tags.get(COMPRESSION, 1) not in _FAX or max(tags.get(BITS, (1,))) != 1:
        return ()
    coded = list(_coded_parts(tags))
    if sum(size for _, size, *_ in coded) > MOST_WALKED:
        return ()
    way, align = _FAX[tags[COMPRESSION]]
    if way is Fax.G3 and tags.get(FAX_OPTIONS, 0) & _BY_ROW:
        way = Fax.G3_BY_ROW
    reversed_bits = tags.get(FILL_ORDER, 1) == _LOWEST_FIRST
    bad = sum(
        damaged_rows(body[start : start + size], width, height, way, align=align, reversed_bits=reversed_bits)
        for start, size, width, height in coded
    )
    if not bad:
        return ()
    detail = f"{bad:,} rows of page {number + 1} of the TIFF are damaged"
    if way in (Fax.ROWS, Fax.G4) or bad > _MOST_BAD * tags[HEIGHT]:
        raise corrupt(f"{detail}; get the file again")
    return (PageWarning(WarningCategory.DAMAGED, f"{detail}, as a bad line leaves them"),)


def _coded_parts(tags: ImageFileDirectory_v2) -> Iterator[tuple[int, int, int, int]]:
    """Where each strip or tile begins, its bytes, its width and its rows."""
    if TILES in tags:
        for start, size in zip(tags[TILES], tags[TILE_SIZES], strict=False):
            yield start, size, tags[TILE_WIDTH], tags[TILE_HEIGHT]
        return
    rows = strip_rows(tags)
    for strip, (start, size) in enumerate(zip(tags[STRIPS], tags[STRIP_SIZES], strict=False)):
        if (left := tags[HEIGHT] - strip * rows) > 0:
            yield start, size, tags[WIDTH], min(rows, left)


def _parts(tags: ImageFileDirectory_v2) -> int:
    """How many strips or tiles a page is made of."""
    planes = tags.get(SAMPLES, 1) if tags.get(PLANES, 1) == 2 else 1
    width, height = tags[WIDTH], tags[HEIGHT]
    if TILES in tags:
        return int(planes * math.ceil(width / tags[TILE_WIDTH]) * math.ceil(height / tags[TILE_HEIGHT]))
    return int(planes * math.ceil(height / strip_rows(tags)))
