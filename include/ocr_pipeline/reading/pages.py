"""From the bytes of an image to the rows of its pages: decode and read one after the other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.images import decode_pages
from ocr_pipeline.ocr import Engine
from ocr_pipeline.records import FetchedImage, Page, ResultRow, UnreadablePage, read_row, unread_row
from ocr_pipeline.settings.run import ReadSettings

log = logging.getLogger(__name__)


def read_pages(
    image: FetchedImage, engine: Engine, settings: ReadSettings, on_page: Callable[[int], None]
) -> Iterator[tuple[ResultRow, Page | None]]:
    """Decode and read the pages of ``image``, a row each, with the page as far as it could be decoded.

    Each page stands for itself: one that fails becomes a placeholder, and those after it are read.

    :param on_page: called with the number of a page before it is decoded, also of the one after the last.
    """
    pages = decode_pages(image.body, max_pixels=settings.max_pixels, pdf_dpi=settings.pdf_dpi)
    number = 0
    while True:
        started = time.monotonic()
        on_page(number)
        page = next(pages, None)
        if page is None:
            return
        if isinstance(page, UnreadablePage):
            yield unread_row(image, page.error, number, None, time.monotonic() - started), None
        else:
            yield _read(image, page, engine, started), page
        number += 1


def _read(image: FetchedImage, page: Page, engine: Engine, started: float) -> ResultRow:
    try:
        text = engine.read(page)
        return read_row(image, page, text, time.monotonic() - started, engine.model)
    except ImageError as error:
        failure = error
    except MemoryError:
        failure = ImageError(ErrorCategory.ENGINE_ERROR, "the page needs more memory than the reader process may take")
    except Exception as error:
        log.exception("row %d: %s failed on page %d", image.ref.row + 1, engine.model, page.number)
        failure = ImageError(ErrorCategory.ENGINE_ERROR, f"{type(error).__name__}: {error}")
    return unread_row(image, failure, page.number, page, time.monotonic() - started)
