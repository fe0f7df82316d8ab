"""What every decoder checks, and the errors it reports."""

from __future__ import annotations

from ocr_pipeline.errors import ErrorCategory, ImageError

MAX_PAGES = 2_000
"""Most pages of one document: beyond is a page tree that repeats itself, or a book that wants splitting."""


def truncated(detail: str) -> ImageError:
    """The error for bytes that end too early."""
    return ImageError(ErrorCategory.TRUNCATED, detail)


def corrupt(detail: str) -> ImageError:
    """The error for bytes that contradict their format."""
    return ImageError(ErrorCategory.CORRUPT, detail)


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a size, as the header states it, before anything of it is allocated.

    :raises ImageError: ``CORRUPT`` for an empty size, ``TOO_MANY_PIXELS`` for one above ``max_pixels``.
    """
    if width < 1 or height < 1:
        raise corrupt(f"the header says {width} x {height} pixels")
    if width * height > max_pixels:
        raise ImageError(
            ErrorCategory.TOO_MANY_PIXELS,
            f"{width:,} x {height:,} = {width * height:,} pixels; max_pixels allows {max_pixels:,}",
        )


def check_page(number: int) -> None:
    """Refuse to go on after :data:`MAX_PAGES` pages; ``number`` counts from 0.

    :raises ImageError: ``TOO_MANY_PAGES``.
    """
    if number >= MAX_PAGES:
        raise ImageError(
            ErrorCategory.TOO_MANY_PAGES,
            f"the document goes on after {MAX_PAGES:,} pages, which were read; split it to read the rest",
        )
