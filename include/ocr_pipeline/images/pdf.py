"""PDF, rendered by PDFium a page at a time."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator

import numpy as np
import pypdfium2
from pypdfium2 import raw

from ocr_pipeline.images.checks import check_page, check_size, corrupt, truncated
from ocr_pipeline.records import Pixels

_MIN_DPI = 72
"""A page too large for max_pixels is rendered at less, down to this; below, text is not readable."""

_POINTS_PER_INCH = 72

_LINEARIZED = re.compile(rb"<<[^>]*/Linearized[^>]*>>")
_LENGTH = re.compile(rb"/L\s+(\d{1,15})\b")
_LINEARIZED_WITHIN = 1_024

# PDFium keeps global state; two calls at once crash the process. Reentrant, because the garbage collector
# may close an abandoned document at any point of this thread.
_PDFIUM = threading.RLock()


def render_pdf(body: bytes, max_pixels: int, dpi: int) -> Iterator[Pixels]:
    """Render the pages of a PDF one after another, form fields and annotations included.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` (also where a password is needed), ``TOO_MANY_PIXELS`` (of
        the page even at 72 dpi, or of an image within it), or ``TOO_MANY_PAGES``.
    """
    _check_whole(body)
    with _PDFIUM:
        try:
            document = pypdfium2.PdfDocument(body)
        except pypdfium2.PdfiumError as error:
            raise corrupt(f"the PDF cannot be opened: {error}") from error
    try:
        with _PDFIUM:
            if document.get_formtype() != raw.FORMTYPE_NONE:
                document.init_forms()
            pages = len(document)
        if not pages:
            raise corrupt("the PDF has no page")
        for number in range(pages):
            check_page(number)
            with _PDFIUM:
                pixels = _render_page(document, number, max_pixels, dpi)
            yield pixels
    finally:
        with _PDFIUM:
            document.close()


def _check_whole(body: bytes) -> None:
    """Refuse a PDF that ends early: PDFium would rebuild it from what there is and leave pages out.

    :raises ImageError: ``TRUNCATED``.
    """
    if b"%%EOF" not in body:
        raise truncated(f"the PDF stops after {len(body):,} bytes without an end mark")
    # One made for the web has an end mark near its start too, and states its length there (ISO 32000-1, annex F).
    linearized = _LINEARIZED.search(body, 0, _LINEARIZED_WITHIN)
    length = linearized and _LENGTH.search(linearized[0])
    if length and int(length[1]) > len(body):
        raise truncated(f"the PDF has {len(body):,} of {int(length[1]):,} bytes")


def _render_page(document: pypdfium2.PdfDocument, number: int, max_pixels: int, dpi: int) -> Pixels:
    try:
        page = document[number]
    except pypdfium2.PdfiumError as error:
        raise corrupt(f"page {number + 1} of the PDF cannot be opened: {error}") from error
    try:
        for image in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE]):
            width, height = image.get_px_size()
            check_size(width, height, max_pixels)
        bitmap = page.render(scale=_scale(page, max_pixels, dpi))
        try:
            return np.ascontiguousarray(bitmap.to_numpy()[:, :, :3])
        finally:
            bitmap.close()
    finally:
        page.close()


def _scale(page: pypdfium2.PdfPage, max_pixels: int, dpi: int) -> float:
    """Pixels a point at which to render, so that the page keeps within ``max_pixels``."""
    width, height = (float(side) for side in page.get_size())
    if width * height <= 0:
        raise corrupt(f"a page of the PDF measures {width:g} x {height:g} points")
    # Sides are rounded up to whole pixels: hence a little less, so that 96.0000001 stays 96 and the rest fits.
    fitting = 0.999 * math.sqrt(max_pixels / (width * height))
    scale = min((1 - 1e-5) * dpi / _POINTS_PER_INCH, fitting)
    if scale < (1 - 1e-5) * min(dpi, _MIN_DPI) / _POINTS_PER_INCH:
        check_size(int(width * dpi / _POINTS_PER_INCH), int(height * dpi / _POINTS_PER_INCH), max_pixels)
    return scale
