"""From the bytes of an image to the rows of its pages: decode and read one after the other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.images import decode_pages
from ocr_pipeline.ocr import Engine
from ocr_pipeline.records import FetchedImage, Page, ResultRow, read_row, unread_row
from ocr_pipeline.settings.run import ReadSettings

log = logging.getLogger(__name__)


def read_pages(
    image: FetchedImage, engine: Engine, settings: ReadSettings, on_page: Callable[[int], None]
) -> Iterator[tuple[ResultRow, Page | None]]:
    """Decode and read the pages of ``image``, a row each, with the page as far as it could be decoded.

    The page that fails becomes a placeholder and is the last.

    :param on_page: called with the number of a page before it is decoded, also of the one after the last.
    """
    pages = decode_pages(image.body, max_pixels=settings.max_pixels, pdf_dpi=settings.pdf_dpi)
    number = 0
    while True:
        page: Page | None = None
        started = time.monotonic()
        on_page(number)
        try:
            page = next(pages, None)
            if page is None:
                return
            text = engine.read(page)
            row = read_row(image, page, text, time.monotonic() - started, engine.model)
        except ImageError as error:
            yield unread_row(image, error, number, page, time.monotonic() - started), page
            return
        except MemoryError:
            lack = ImageError(ErrorCategory.ENGINE_ERROR, "the page needs more memory than the reader process may take")
            yield unread_row(image, lack, number, page, time.monotonic() - started), page
            return
        except Exception as error:
            log.exception("%s: the engine failed on page %d", engine.model, number)
            unexpected = ImageError(ErrorCategory.ENGINE_ERROR, f"{type(error).__name__}: {error}")
            yield unread_row(image, unexpected, number, page, time.monotonic() - started), page
            return
        yield row, page
        number += 1
