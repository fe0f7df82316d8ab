"""Bytes to pages: decode any common image or document, safely.

Nothing is believed but the bytes: the format comes from the content, never from a name; the size is checked
in the header before a pixel is decoded; a file that ends early is an error rather than a grey half page.
libjpeg-turbo decodes JPEG, OpenCV PNG and WebP (the fastest at hand), Pillow what OpenCV cannot read or gets wrong;
PDFium renders PDF.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.images.checks import MAX_PAGES, corrupt
from ocr_pipeline.images.jpeg import decode_jpeg
from ocr_pipeline.images.pdf import render_pdf
from ocr_pipeline.images.pillow import decode_with_pillow
from ocr_pipeline.images.png import decode_png
from ocr_pipeline.images.sniffing import Format, sniff_format
from ocr_pipeline.images.tiff import decode_tiff
from ocr_pipeline.images.webp import decode_webp
from ocr_pipeline.records import Page, Pixels
from ocr_pipeline.settings.run import PDF_DPI

__all__ = ["MAX_PAGES", "decode_pages"]


def decode_pages(body: bytes, *, max_pixels: int, pdf_dpi: int = PDF_DPI) -> Iterator[Page]:
    """Decode ``body``, a page at a time; only documents (TIFF, PDF) have more than one.

    Of an animation, the first frame. Pages are BGR uint8 of shape (height, width, 3), C-contiguous and
    upright; transparency is put on white, or on a dark background where the ink is light; 16 bit and float
    samples are scaled to 8 bit. Safe to call from several threads at once.

    :param body: the whole image file.
    :param max_pixels: most pixels (width times height) that a page may have.
    :param pdf_dpi: resolution at which PDF pages are rendered, less where a page would not fit ``max_pixels``.
    :raises ImageError: when the page it concerns is reached: ``EMPTY_BODY``, ``NOT_AN_IMAGE``, ``TRUNCATED``,
        ``CORRUPT``, ``TOO_MANY_PIXELS``, or ``TOO_MANY_PAGES`` after page :data:`MAX_PAGES`. Never another error.
    """
    if not body:
        raise ImageError(ErrorCategory.EMPTY_BODY, "the body has no bytes")
    image_format = sniff_format(body)
    try:
        for number, pixels in enumerate(_decode(image_format, body, max_pixels, pdf_dpi)):
            yield Page(number, pixels)
    except ImageError:
        raise
    except Exception as error:
        # Decoders meet hostile bytes with whatever their parsing code happens to raise, from struct.error to
        # ZeroDivisionError and, for a header that lies about sizes, MemoryError. All of it says the same.
        raise corrupt(f"the {image_format} data cannot be decoded: {type(error).__name__}: {error}") from error


def _decode(image_format: Format, body: bytes, max_pixels: int, pdf_dpi: int) -> Iterable[Pixels]:
    match image_format:
        case Format.JPEG:
            return [decode_jpeg(body, max_pixels)]
        case Format.PNG:
            return [decode_png(body, max_pixels)]
        case Format.WEBP:
            return [decode_webp(body, max_pixels)]
        case Format.TIFF:
            return decode_tiff(body, max_pixels)
        case Format.PDF:
            return render_pdf(body, max_pixels, pdf_dpi)
        case _:
            return [decode_with_pillow(image_format, body, max_pixels)]
