"""Bytes to pages: decode any common image or document, safely.

Nothing is believed but the bytes: the format comes from the content, never from a name; the size is checked
in the header before a pixel is decoded; a file that ends early is an error rather than a grey half page.
libjpeg-turbo decodes JPEG, OpenCV PNG and WebP (the fastest at hand), Pillow what OpenCV cannot read or gets wrong,
libheif HEIC; PDFium renders PDF.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.images.checks import MAX_PAGES, corrupt
from ocr_pipeline.images.dcx import dcx_pages
from ocr_pipeline.images.decoded import DecodePage
from ocr_pipeline.images.heic import decode_heic
from ocr_pipeline.images.icons import decode_icns, decode_ico
from ocr_pipeline.images.jpeg import decode_jpeg
from ocr_pipeline.images.pillow import decode_with_pillow
from ocr_pipeline.images.png import decode_png
from ocr_pipeline.images.sniffing import Format, sniff_format
from ocr_pipeline.images.tiff import tiff_pages
from ocr_pipeline.images.webp import decode_webp
from ocr_pipeline.records import Page, UnreadablePage
from ocr_pipeline.settings.run import PDF_DPI

__all__ = ["MAX_PAGES", "decode_pages", "whole_pages"]


def decode_pages(body: bytes, *, max_pixels: int, pdf_dpi: int = PDF_DPI) -> Iterator[Page | UnreadablePage]:
    """Decode ``body``, a page at a time; only documents (TIFF, PDF, DCX) have more than one.

    Each page stands for itself: one that cannot be decoded does not keep those after it from being decoded, unless the
    file itself is damaged such that they cannot be found. What is no image gives one unreadable page.

    Of an animation, the first frame that is not nearly blank. Pages are BGR uint8 of shape (height, width, 3),
    C-contiguous and upright; transparency is put on white, on a dark background where the ink is light, or on grey
    where it is both; 16 bit and float samples are scaled to 8 bit. Safe to call from several threads at once.

    :param body: the whole image file.
    :param max_pixels: most pixels (width times height) of a page as it is decoded. A larger one is decoded reduced
        where that takes no more memory, or else is ``TOO_MANY_PIXELS``.
    :param pdf_dpi: resolution at which PDF pages are rendered, less where a page would not fit ``max_pixels``.
    :return: the pages in order, each number once. The errors are ``EMPTY_BODY``, ``NOT_AN_IMAGE``, ``TRUNCATED``,
        ``CORRUPT``, ``TOO_MANY_PIXELS``, ``ENGINE_ERROR`` where memory runs out, and ``TOO_MANY_PAGES`` in place of
        the page after :data:`MAX_PAGES` pages. Nothing is raised.
    """
    with closing(_pages(body, max_pixels, pdf_dpi)) as pages:
        for number in range(MAX_PAGES + 1):
            page = _next_page(pages, number)
            if page is None:
                return
            yield page
            # The next one needs the room.
            del page


def whole_pages(body: bytes, *, max_pixels: int, pdf_dpi: int = PDF_DPI) -> Iterator[Page]:
    """As :func:`decode_pages`, for those who need every page.

    :raises ImageError: of the first page that cannot be decoded, when it is reached.
    """
    for page in decode_pages(body, max_pixels=max_pixels, pdf_dpi=pdf_dpi):
        if isinstance(page, UnreadablePage):
            raise page.error
        yield page


def _next_page(pages: Iterator[DecodePage], number: int) -> Page | UnreadablePage | None:
    """The page with this number, or None after the last. An iterator that has raised has no other."""
    try:
        decode = next(pages, None)
        if decode is None:
            return None
        if number == MAX_PAGES:
            raise ImageError(
                ErrorCategory.TOO_MANY_PAGES,
                f"the document goes on after {MAX_PAGES:,} pages, which were read; split it to read the rest",
            )
        decoded = decode()
        return Page(number, decoded.pixels, decoded.warnings, decoded.full_size)
    except ImageError as error:
        return UnreadablePage(number, error)
    except MemoryError:
        lack = "decoding the page needs more memory than the reader process may take; lower max_pixels or pdf_dpi"
        return UnreadablePage(number, ImageError(ErrorCategory.ENGINE_ERROR, lack))
    except Exception as error:
        # Decoders meet hostile bytes with whatever their parsing code happens to raise, from struct.error to
        # ZeroDivisionError. All of it says the same.
        detail = f"the data cannot be decoded ({type(error).__name__}: {error}); get the file again, or convert it"
        return UnreadablePage(number, corrupt(detail))


def _pages(body: bytes, max_pixels: int, pdf_dpi: int) -> Generator[DecodePage]:
    """The way to each page of ``body``.

    :raises ImageError: where the file is such that no other page can be found.
    """
    if not body:
        raise ImageError(ErrorCategory.EMPTY_BODY, "the body has no bytes")
    match sniff_format(body):
        case Format.JPEG:
            yield partial(decode_jpeg, body, max_pixels)
        case Format.PNG:
            yield partial(decode_png, body, max_pixels)
        case Format.WEBP:
            yield partial(decode_webp, body, max_pixels)
        case Format.TIFF:
            yield from tiff_pages(body, max_pixels)
        case Format.PDF:
            # Loading PDFium takes a twentieth of a task's start, which most tasks need not pay.
            from ocr_pipeline.images.pdf import pdf_pages

            yield from pdf_pages(body, max_pixels, pdf_dpi)
        case Format.DCX:
            yield from dcx_pages(body, max_pixels)
        case Format.ICO:
            yield partial(decode_ico, body, max_pixels)
        case Format.ICNS:
            yield partial(decode_icns, body, max_pixels)
        case Format.HEIC:
            yield partial(decode_heic, body, max_pixels)
        case image_format:
            yield partial(decode_with_pillow, image_format, body, max_pixels)
