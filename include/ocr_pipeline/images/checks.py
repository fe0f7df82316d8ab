"""What every decoder checks, and the errors it reports."""

from __future__ import annotations

from ocr_pipeline.errors import ErrorCategory, ImageError

MAX_PAGES = 2_000
"""Most pages of one document: beyond is a page tree that repeats itself, or a book that wants splitting."""

BYTES_A_PIXEL = 3
"""What a page takes in memory for each of its pixels, so that ``max_pixels`` bounds memory too."""

MOST_REDUCED = 10
"""A page of so many times ``max_pixels`` is still read reduced, where its decoder need not hold it: more is a bomb."""


def truncated(detail: str) -> ImageError:
    """The error for bytes that end too early."""
    return ImageError(ErrorCategory.TRUNCATED, detail)


def corrupt(detail: str) -> ImageError:
    """The error for bytes that contradict their format, or that nothing here can decode."""
    return ImageError(ErrorCategory.CORRUPT, detail)


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a size, as the header states it, before anything of it is allocated.

    :raises ImageError: ``CORRUPT`` for an empty size, ``TOO_MANY_PIXELS`` for one above ``max_pixels``.
    """
    reduction(width, height, max_pixels, most=1)


def reduction(width: int, height: int, max_pixels: int, *, most: float) -> int:
    """How many times smaller, in width and in height, a page is to be decoded to keep within ``max_pixels``.

    :param most: how many times ``max_pixels`` its decoder can take, reducing them.
    :return: 1 for a page that fits as it is. What is left over at the right and the bottom edge is not decoded.
    :raises ImageError: ``CORRUPT`` for an empty size, ``TOO_MANY_PIXELS`` for one above ``most`` times ``max_pixels``.
    """
    if width < 1 or height < 1:
        raise corrupt(f"the header says {width} x {height} pixels; get the file again from where it was made")
    pixels = width * height
    if pixels > most * max_pixels:
        raise ImageError(
            ErrorCategory.TOO_MANY_PIXELS,
            f"{width:,} x {height:,} = {pixels:,} pixels; max_pixels allows {max_pixels:,}: raise it where the memory "
            "suffices (8 bytes a pixel), or make the image smaller",
        )
    factor = 1
    while max(width // factor, 1) * max(height // factor, 1) > max_pixels:
        factor += 1
    return factor
