"""TIFF and PDF of several pages."""

from __future__ import annotations

import io

import numpy as np
import pypdfium2
import pytest
from PIL import Image

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.images import whole_pages
from tests.images.decoding import MAX_PIXELS, decode, failure
from tests.images.samples import (
    RED,
    encode,
    pdf_bytes,
    tiff_bytes,
)


def pages_of(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (30 + number, 20), (number * 20, 0, 0)) for number in range(count)]


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_tiff_pages_come_in_order(compression: str | None) -> None:
    first, *rest = pages_of(5)
    pages = list(
        whole_pages(
            encode(first, "TIFF", save_all=True, append_images=rest, compression=compression), max_pixels=MAX_PIXELS
        )
    )
    assert [(page.number, page.width, page.height) for page in pages] == [(n, 30 + n, 20) for n in range(5)]
    assert [round(int(page.pixels[10, 10, 2]) / 20) for page in pages] == [0, 1, 2, 3, 4]


def test_reduced_copies_in_a_tiff_are_no_pages() -> None:
    first = Image.new("RGB", (64, 64), RED)
    thumbnail = Image.new("RGB", (16, 16), RED)
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    body = encode(first, "TIFF", save_all=True, append_images=[thumbnail])
    assert [page.width for page in whole_pages(body, max_pixels=MAX_PIXELS)] == [64]


def test_later_page_fails_when_it_is_reached() -> None:
    first, *rest = pages_of(3)
    body = encode(first, "TIFF", save_all=True, append_images=[*rest, Image.new("RGB", (500, 500))])
    pages = whole_pages(body, max_pixels=10_000)
    assert [next(pages).number for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ImageError) as caught:
        next(pages)
    assert caught.value.category is ErrorCategory.TOO_MANY_PIXELS


def test_tiff_that_goes_in_circles() -> None:
    body = bytearray(tiff_bytes(np.zeros((8, 8), np.uint8)))
    body[-4:] = body[4:8]
    pages = whole_pages(bytes(body), max_pixels=MAX_PIXELS)
    next(pages)
    with pytest.raises(ImageError) as caught:
        next(pages)
    assert caught.value.category is ErrorCategory.CORRUPT


def test_documents_end_at_the_page_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocr_pipeline.images.MAX_PAGES", 3)
    first, *rest = pages_of(4)
    for image_format in ("TIFF", "PDF"):
        pages = whole_pages(encode(first, image_format, save_all=True, append_images=rest), max_pixels=MAX_PIXELS)
        assert [next(pages).number for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ImageError) as caught:
            next(pages)
        assert caught.value.category is ErrorCategory.TOO_MANY_PAGES


def blank_pdf(*sizes: tuple[float, float]) -> bytes:
    """A PDF of empty pages, sizes in points."""
    document = pypdfium2.PdfDocument.new()
    for width, height in sizes:
        document.new_page(width, height)
    file = io.BytesIO()
    document.save(file)
    document.close()
    return file.getvalue()


def test_pdf_pages_at_the_resolution_asked_for() -> None:
    body = blank_pdf((72, 144), (144, 72))
    shapes = [page.pixels.shape for page in whole_pages(body, max_pixels=MAX_PIXELS)]
    assert shapes == [(400, 200, 3), (200, 400, 3)]
    (first, _) = whole_pages(body, max_pixels=MAX_PIXELS, pdf_dpi=100)
    assert (first.width, first.height) == (100, 200)
    assert (first.pixels == 255).all()


def test_large_pdf_page_is_rendered_to_fit_or_refused() -> None:
    body = blank_pdf((720, 720))
    (page,) = whole_pages(body, max_pixels=1_000_000)
    assert 990_000 < page.width * page.height <= 1_000_000
    assert failure(body, 500_000).category is ErrorCategory.TOO_MANY_PIXELS


def test_image_in_a_pdf_is_checked() -> None:
    body = encode(Image.new("L", (3000, 3000)), "PDF", resolution=3000.0)
    assert failure(body, 1_000_000).category is ErrorCategory.TOO_MANY_PIXELS


def test_linearized_pdf_cut_short() -> None:
    whole = blank_pdf((72, 72))
    head = b"%PDF-1.4\n1 0 obj\n<< /Linearized 1 /L " + str(len(whole) * 3).encode() + b" >>\nendobj\n%%EOF\n"
    assert failure(head + whole).category is ErrorCategory.TRUNCATED


def form_pdf(form: bytes) -> bytes:
    """A page of 100 x 40 points with a text field that is filled with a black appearance."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R " + form + b">>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 40] /Annots [4 0 R] >>",
        b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (a) /V (x) /F 4 /Rect [10 10 90 30] /AP << /N 5 0 R >> >>",
        b"<< /Type /XObject /Subtype /Form /BBox [0 0 80 20] /Length 13 >>\nstream\n0 0 80 20 re f\nendstream",
    ]
    return pdf_bytes(objects)


@pytest.mark.parametrize("form", [b"/AcroForm << /Fields [4 0 R] >>", b"/AcroForm << /Fields [] >>", b""])
def test_filled_form_fields_are_rendered(form: bytes) -> None:
    pixels = decode(form_pdf(form))
    assert (pixels[5, 5] == 255).all()
    assert (pixels[pixels.shape[0] // 2, pixels.shape[1] // 2] < 255).all()


def test_pdf_that_is_none() -> None:
    error = failure(b"%PDF-1.4\nnothing here\n%%EOF\n")
    assert error.category is ErrorCategory.CORRUPT
    assert "PDF" in error.detail


def pdf_with_password() -> bytes:
    key = b"<" + b"00" * 32 + b">"
    body = pdf_bytes(
        [
            b"<</Type /Catalog /Pages 2 0 R>>",
            b"<</Type /Pages /Kids [] /Count 0>>",
            b"<</Filter /Standard /V 1 /R 2 /P -4 /O " + key + b" /U " + key + b">>",
        ]
    )
    return body.replace(b"/Root 1 0 R", b"/Root 1 0 R /Encrypt 3 0 R /ID [<00><00>]")


def test_why_a_pdf_cannot_be_opened_whatever_came_before() -> None:
    empty = pdf_bytes([b"<</Type /Catalog /Pages 2 0 R>>", b"<</Type /Pages /Kids [] /Count 0>>"])
    reasons = [(empty, "no pages"), (pdf_with_password(), "password"), (empty, "no pages")]
    reasons += [(b"%PDF-1.4\nnothing here\n%%EOF\n", "damaged"), (empty, "no pages")]
    for body, reason in reasons:
        assert reason in failure(body).detail
