"""PDF, rendered by PDFium a page at a time."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from functools import partial

import numpy as np
import pypdfium2
from pypdfium2 import raw

from ocr_pipeline.errors import ImageError, WarningCategory
from ocr_pipeline.images.checks import MOST_REDUCED, check_size, corrupt, truncated
from ocr_pipeline.images.decoded import Decoded, DecodePage
from ocr_pipeline.images.pdf_damage import PossibleDamageError, damaged_contents, damaged_images, undecodable
from ocr_pipeline.images.pdf_fonts import FONTS, Undrawn, describe, is_visible, scripts, stand_in_for, undrawn_text
from ocr_pipeline.images.pdf_structure import count_pages, shortfall
from ocr_pipeline.images.pixels import is_blank
from ocr_pipeline.records import PageWarning, Pixels

_MIN_DPI = 72
"""A page too large for max_pixels is rendered at less, down to this; below, text is not readable."""

_POINTS_PER_INCH = 72

_ONE_BIT = frozenset(["CCITTFaxDecode", "JBIG2Decode"])
"""Filters of images whose pixels are a bit each, also while they are rendered."""

# A PDF in memory has no file to be missing: this is what remains where PDFium gives no reason.
_REASONS = {
    raw.FPDF_ERR_FILE: "it has no pages; make it again",
    raw.FPDF_ERR_PASSWORD: "it needs a password; save it without, as by qpdf --decrypt --password=… in.pdf out.pdf",
    raw.FPDF_ERR_SECURITY: "it is encrypted in a way that is not known; save it without encryption",
    raw.FPDF_ERR_FORMAT: "it is damaged; get the file again, or print it to a new PDF",
}

# PDFium keeps global state; two calls at once crash the process. Reentrant, because the garbage collector
# may close an abandoned document at any point of this thread.
_PDFIUM = threading.RLock()


def pdf_pages(body: bytes, max_pixels: int, dpi: int) -> Iterator[DecodePage]:
    """The pages of a PDF, to be rendered with their form fields and annotations while this is suspended.

    A page raises ``CORRUPT`` or ``TRUNCATED``, also where nothing of it can be drawn, or ``TOO_MANY_PIXELS`` (even at
    72 dpi, or for an image within it).

    :raises ImageError: ``TRUNCATED``, or ``CORRUPT`` (also where a password is needed).
    """
    with _PDFIUM:
        document = _Document(body)
    try:
        for number in range(document.pages):
            yield partial(document.decode, number, max_pixels, dpi)
    finally:
        document.close()


class _Document:
    """A PDF that is open, and the font that stands in for those that it lacks."""

    def __init__(self, body: bytes) -> None:
        self._opened = self._open(body)
        try:
            if detail := shortfall(body):
                raise truncated(detail)
            self.pages, self._body = count_pages(body, self._opened)
            self._stand_in: str | None = None
            self._tried: frozenset[str] = frozenset()
            if self._body is not body:
                self._reopen(None)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with _PDFIUM:
            self._opened.close()

    def decode(self, number: int, max_pixels: int, dpi: int) -> Decoded:
        """Render a page; where text on it is not drawn, with another font that has the characters, if there is one.

        :raises ImageError: ``CORRUPT`` or ``TOO_MANY_PIXELS``.
        """
        with _PDFIUM:
            pixels, undrawn, damage = self._render(number, max_pixels, dpi)
            needed = scripts(undrawn)
            if needed - self._tried:
                self._tried |= needed
                before, better = self._stand_in, stand_in_for(self._tried)
                if better != before:
                    self._reopen(better)
                    again, still, _ = self._render(number, max_pixels, dpi)
                    if _missing(still) < _missing(undrawn):
                        pixels, undrawn = again, still
                    else:
                        self._reopen(before)
        warnings = [PageWarning(WarningCategory.FONTS_MISSING, describe(undrawn))] if undrawn else []
        if damage:
            warnings.append(PageWarning(WarningCategory.DAMAGED, damage))
        return Decoded(pixels, tuple(warnings))

    def _open(self, body: bytes) -> pypdfium2.PdfDocument:
        # PDFium keeps its last error, of whichever PDF; where one has no pages, it sets none.
        raw.FPDF_LoadDocument(b"", None)
        try:
            opened = pypdfium2.PdfDocument(body)
        except pypdfium2.PdfiumError as error:
            if detail := shortfall(body):
                raise truncated(detail) from error
            raise corrupt(f"the PDF cannot be opened: {_REASONS.get(error.err_code, error)}") from error
        if opened.get_formtype() != raw.FORMTYPE_NONE:
            opened.init_forms()
        return opened

    def _reopen(self, stand_in: str | None) -> None:
        """Open the PDF again, as it keeps the fonts that it has found."""
        self._opened.close()
        self._stand_in = stand_in
        self._opened = self._open(self._body)

    def _render(self, number: int, max_pixels: int, dpi: int) -> tuple[Pixels, Undrawn, str]:
        """The pixels of a page, what of its text is not among them, and what of it is damaged.

        :raises ImageError: ``CORRUPT`` or ``TOO_MANY_PIXELS``; what is wrong with the page where it shows nothing else.
        """
        FONTS.stand_in(self._stand_in)
        page = self._page(number)
        try:
            if self._opened.formenv is None and _has_fields(page):
                page = self._flattened(page, number)
            _check_images(page, max_pixels)
            bitmap = page.render(scale=_scale(page, max_pixels, dpi))
            try:
                pixels = np.ascontiguousarray(bitmap.to_numpy()[:, :, :3])
            finally:
                bitmap.close()
            damage = self._damage(page, number, pixels, max_pixels)
            if raw.FPDFPage_GetAnnotCount(page):
                page = self._flattened(page, number)
            return pixels, undrawn_text(page), damage
        finally:
            page.close()

    def _damage(self, page: pypdfium2.PdfPage, number: int, pixels: Pixels, max_pixels: int) -> str:
        """What of a page PDFium has left out of its pixels, for people; empty where nothing.

        :raises ImageError: what is wrong with a page that shows nothing else.
        """
        images = list(_images(page))
        broken = damaged_images(images, max_pixels)
        if images and not broken and is_blank(pixels):
            broken = [error for image in images if (error := undecodable(image))]
        empty = raw.FPDFPage_CountObjects(page) == 0
        cut = damaged_contents(self._opened, number, len(self._body), empty=empty)
        if not broken and not cut:
            return ""
        error = (*broken, *cut)[0]
        what = f"{len(broken)} of {len(images)} images" if broken else "the contents"
        detail = f"of page {number + 1} of the PDF, {what} cannot be decoded, or only in part: {error.detail}"
        uncertain = any(isinstance(error, PossibleDamageError) for error in broken)
        if is_blank(pixels) or not (_has_more(page) or len(broken) < len(images) or uncertain):
            raise ImageError(error.category, detail)
        return detail

    def _page(self, number: int) -> pypdfium2.PdfPage:
        try:
            return self._opened[number]
        except (pypdfium2.PdfiumError, IndexError) as error:
            detail = f"page {number + 1} of the PDF is missing or damaged; get the file again, or print it to a new PDF"
            raise corrupt(detail) from error

    def _flattened(self, page: pypdfium2.PdfPage, number: int) -> pypdfium2.PdfPage:
        """The page with its annotations and form fields made part of it, in place of ``page``."""
        raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY)
        page.close()
        return self._page(number)


def _missing(undrawn: Undrawn) -> int:
    return sum(map(len, undrawn.values()))


def _has_fields(page: pypdfium2.PdfPage) -> bool:
    """Whether the page has form fields: without a form, to which they belong, PDFium does not draw them."""
    for number in range(raw.FPDFPage_GetAnnotCount(page)):
        annotation = raw.FPDFPage_GetAnnot(page, number)
        kind = raw.FPDFAnnot_GetSubtype(annotation)
        raw.FPDFPage_CloseAnnot(annotation)
        if kind == raw.FPDF_ANNOT_WIDGET:
            return True
    return False


def _images(page: pypdfium2.PdfPage) -> Iterator[pypdfium2.PdfImage]:
    for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE]):
        if isinstance(item, pypdfium2.PdfImage):
            yield item


def _has_more(page: pypdfium2.PdfPage) -> bool:
    """Whether a page shows anything but images: the invisible text of a scan is of that."""
    drawn = page.get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT, raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_SHADING])
    return any(item.type != raw.FPDF_PAGEOBJ_TEXT or is_visible(item) for item in drawn)


def _check_images(page: pypdfium2.PdfPage, max_pixels: int) -> None:
    """Refuse a page with an image that would take more memory than a page may.

    :raises ImageError: ``TOO_MANY_PIXELS``.
    """
    for image in _images(page):
        width, height = image.get_px_size()
        check_size(width, height, max_pixels * (MOST_REDUCED if _ONE_BIT & set(image.get_filters()) else 1))


def _scale(page: pypdfium2.PdfPage, max_pixels: int, dpi: int) -> float:
    """Pixels a point at which to render, so that the page keeps within ``max_pixels``.

    :raises ImageError: ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    width, height = (float(side) for side in page.get_size())
    if not width * height > 0:
        raise corrupt(f"the page measures {width:g} x {height:g} points; print it to a new PDF")
    # Sides are rounded up to whole pixels: hence a little less, so that 96.0000001 stays 96 and the rest fits.
    fitting = 0.999 * math.sqrt(max_pixels / (width * height))
    scale = min((1 - 1e-5) * dpi / _POINTS_PER_INCH, fitting)
    if scale < (1 - 1e-5) * min(dpi, _MIN_DPI) / _POINTS_PER_INCH:
        check_size(int(width * dpi / _POINTS_PER_INCH), int(height * dpi / _POINTS_PER_INCH), max_pixels)
    return scale
