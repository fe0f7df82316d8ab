"""Decoding whole files in tests."""

from __future__ import annotations

import pytest

from ocr_pipeline.errors import ImageError
from ocr_pipeline.images import whole_pages
from ocr_pipeline.records import Page, Pixels

MAX_PIXELS = 100_000_000


def decode(body: bytes, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The pixels of an image of one page."""
    (page,) = whole_pages(body, max_pixels=max_pixels)
    return page.pixels


def failure(body: bytes, max_pixels: int = MAX_PIXELS) -> ImageError:
    """The error of an image that gives no page."""
    pages: list[Page] = []
    with pytest.raises(ImageError) as caught:
        pages.extend(whole_pages(body, max_pixels=max_pixels))
    assert not pages
    return caught.value
