"""PDFs of which PDFium draws nothing, or a part, without a word: what is missing fails the page or is warned of."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from PIL import Image

from ocr_pipeline.errors import ErrorCategory, WarningCategory
from ocr_pipeline.images import whole_pages
from ocr_pipeline.records import Page
from tests.images.decoding import MAX_PIXELS, failure
from tests.images.samples import encode, pdf_bytes, textured

PICTURE = textured(160, 120).convert("L")
PIXELS = np.asarray(PICTURE).tobytes()
JPEG = encode(PICTURE, "JPEG")
JPEG2000 = encode(PICTURE, "JPEG2000")
DRAWN = b"q 100 0 0 75 0 0 cm /I Do Q "
TEXT = b"BT /F 12 Tf 10 80 Td (Total 83.20) Tj ET "
HIDDEN = b"BT /F 12 Tf 3 Tr 10 80 Td (Total 83.20) Tj ET "


def stream(head: bytes, data: bytes) -> bytes:
    return b"<<%b/Length %d>>stream\n%b\nendstream" % (head, len(data), data)


def pdf(contents: bytes, image: bytes, *others: bytes) -> bytes:
    """A page of 100 x 100 points with these contents, which may draw /I, /J (object 7) and text in /F."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents 4 0 R/Resources"
    page += b"<</XObject<</I 5 0 R/J 7 0 R>>/Font<</F 6 0 R>>>>>>"
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    tree = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"]
    return pdf_bytes([*tree, page, contents, image, font, *others])


def image(name: bytes, data: bytes, bits: int = 8) -> bytes:
    head = b"/Type/XObject/Subtype/Image/Width 160/Height 120/ColorSpace/DeviceGray"
    return stream(head + b"/BitsPerComponent %d/Filter/%b" % (bits, name), data)


def jbig2(*segments: tuple[int, bytes]) -> bytes:
    """Segments of a kind and data, of the first page."""
    return b"".join(
        number.to_bytes(4) + bytes([kind, 0, 1]) + len(data).to_bytes(4) + data
        for number, (kind, data) in enumerate(segments)
    )


JBIG2_PAGE = (48, (160).to_bytes(4) + (120).to_bytes(4) + bytes(11))
JBIG2_REGION = (38, (160).to_bytes(4) + (120).to_bytes(4) + bytes(9) + b"\0\3\xff\xfd\xff\2\xfe\xfe\xfe" + bytes(99))
WHOLE = {
    "jpeg": (b"DCTDecode", JPEG, 8),
    "jpeg behind a line feed": (b"DCTDecode", b"\n" + JPEG, 8),
    "jpeg2000": (b"JPXDecode", JPEG2000, 8),
    "deflate": (b"FlateDecode", zlib.compress(PIXELS), 8),
    "deflate without its end": (b"FlateDecode", zlib.compress(PIXELS)[:-4], 8),
    "jbig2": (b"JBIG2Decode", jbig2(JBIG2_PAGE, JBIG2_REGION), 1),
    "jbig2 and a line feed": (b"JBIG2Decode", jbig2(JBIG2_PAGE, JBIG2_REGION) + b"\r\n", 1),
}
DAMAGED = {
    "no jpeg": (b"DCTDecode", bytes(500), 8),
    "empty": (b"DCTDecode", b"", 8),
    "jpeg cut": (b"DCTDecode", JPEG[: len(JPEG) // 2], 8),
    "jpeg that lost a part": (b"DCTDecode", JPEG[:2000] + JPEG[2400:], 8),
    "jpeg of 12 bits": (b"DCTDecode", JPEG.replace(b"\xff\xc0\0\x0b\x08", b"\xff\xc1\0\x0b\x0c"), 8),
    "jpeg2000 cut": (b"JPXDecode", JPEG2000[: len(JPEG2000) // 2], 8),
    "jpeg2000 of nothing": (b"JPXDecode", JPEG2000[:100] + bytes(len(JPEG2000) - 102) + JPEG2000[-2:], 8),
    "deflate cut": (b"FlateDecode", zlib.compress(PIXELS)[: len(PIXELS) // 3], 8),
    "no deflate": (b"FlateDecode", b"nothing of the kind" * 9, 8),
    "no jbig2": (b"JBIG2Decode", b"\1" * 500, 1),
    "jbig2 cut": (b"JBIG2Decode", jbig2(JBIG2_PAGE, JBIG2_REGION)[:-20], 1),
    "jbig2 of nothing": (b"JBIG2Decode", jbig2(JBIG2_PAGE), 1),
    "unknown": (b"JXLDecode", JPEG, 8),
}


def page_of(body: bytes) -> Page:
    (page,) = whole_pages(body, max_pixels=MAX_PIXELS)
    return page


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_image_is_read_without_a_warning(kind: str) -> None:
    assert page_of(pdf(stream(b"", DRAWN + TEXT), image(*WHOLE[kind]))).warnings == ()


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_page_that_is_a_damaged_image_fails(kind: str) -> None:
    for contents in (DRAWN, DRAWN + HIDDEN):
        error = failure(pdf(stream(b"", contents), image(*DAMAGED[kind])))
        assert error.category is (ErrorCategory.TRUNCATED if "cut" in kind else ErrorCategory.CORRUPT)
        assert "page 1" in error.detail


@pytest.mark.parametrize("kind", [kind for kind in DAMAGED if kind != "jpeg2000 of nothing"])
def test_a_page_with_a_damaged_image_is_read_and_says_so(kind: str) -> None:
    page = page_of(pdf(stream(b"", DRAWN + TEXT), image(*DAMAGED[kind])))
    assert page.pixels.min() < 50
    (warning,) = page.warnings
    assert warning.category is WarningCategory.DAMAGED
    assert "1 of 1 images" in warning.detail


def test_of_two_images_one_may_be_damaged() -> None:
    both = DRAWN + b"q 100 0 0 20 0 80 cm /J Do Q"
    page = page_of(pdf(stream(b"", both), image(*DAMAGED["no jpeg"]), image(*WHOLE["jpeg"])))
    assert ["1 of 2 images" in warning.detail for warning in page.warnings] == [True]


TEXTS = b"".join(b"BT /F 12 Tf 10 %d Td (Line of text %d) Tj ET\n" % (y, y * 7919) for y in range(0, 100, 2))


@pytest.mark.parametrize("data", [b"no deflate" * 9, zlib.compress(TEXTS)[:12]])
def test_contents_of_which_nothing_is_drawn_fail(data: bytes) -> None:
    error = failure(pdf(stream(b"/Filter/FlateDecode", data), image(*WHOLE["jpeg"])))
    assert error.category in (ErrorCategory.CORRUPT, ErrorCategory.TRUNCATED)


def form(data: bytes) -> bytes:
    return stream(b"/Type/XObject/Subtype/Form/BBox[0 0 100 100]/Filter/FlateDecode", data)


def test_contents_that_are_cut_are_warned_of() -> None:
    cut = zlib.compress(TEXTS)[:-60]
    for body in (
        pdf(stream(b"/Filter/FlateDecode", cut), image(*WHOLE["jpeg"])),
        pdf(b"[7 0 R 8 0 R]", image(*WHOLE["jpeg"]), stream(b"", TEXT), stream(b"/Filter[/FlateDecode]", cut)),
        pdf(stream(b"", TEXT + b"/J Do"), image(*WHOLE["jpeg"]), form(cut)),
    ):
        assert [warning.category for warning in page_of(body).warnings] == [WarningCategory.DAMAGED]


def test_contents_that_lack_nothing_are_not_warned_of() -> None:
    packed = zlib.compress(TEXTS)
    for data in (packed, packed[:-4], packed + b"\r\n", b""):
        assert page_of(pdf(stream(b"/Filter/FlateDecode", data), image(*WHOLE["jpeg"]))).warnings == ()


def test_an_image_that_is_not_drawn_does_not_matter() -> None:
    assert page_of(pdf(stream(b"", TEXT), image(*DAMAGED["no jpeg"]))).warnings == ()


def test_a_blank_scan_is_no_damage() -> None:
    white = encode(Image.new("L", (160, 120), 255), "JPEG2000")
    assert page_of(pdf(stream(b"", DRAWN), image(b"JPXDecode", white))).warnings == ()


def test_a_jpeg_that_is_larger_than_its_pdf_says_is_refused_by_its_header() -> None:
    frame = JPEG.index(b"\xff\xc0") + 5
    bomb = JPEG[:frame] + (65_000).to_bytes(2) * 2 + JPEG[frame + 4 :]
    assert failure(pdf(stream(b"", DRAWN), image(b"DCTDecode", bomb))).category is ErrorCategory.TOO_MANY_PIXELS
