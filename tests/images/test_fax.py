"""Black and white in CCITT's codes: whole ones are read, damaged ones never pass for whole."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from PIL.TiffImagePlugin import TiffImageFile

from ocr_pipeline.errors import ErrorCategory, ImageError, WarningCategory
from ocr_pipeline.images import whole_pages
from ocr_pipeline.records import Page
from tests.images.decoding import MAX_PIXELS, decode, failure
from tests.images.samples import encode, pdf_bytes, textured

LOWEST_FIRST = {266: 2}
KINDS: dict[str, tuple[str, dict[int, int]]] = {
    "rows": ("tiff_ccitt", {}),
    "g3": ("group3", {}),
    "g3 by row": ("group3", {292: 1}),
    "g3 at bytes": ("group3", {292: 4}),
    "g4": ("group4", {}),
    "g4 in strips": ("group4", {278: 16}),
    "g4 lowest bit first": ("group4", LOWEST_FIRST),
    "rows lowest bit first": ("tiff_ccitt", LOWEST_FIRST),
}


def runs() -> Image.Image:
    """Runs of every length up to 700 of either colour, and some of the longest codes."""
    rows = np.zeros((240, 6000), bool)
    for row in range(70):
        at = 0
        for length in range(row * 10, row * 10 + 10):
            rows[row, at : at + length] = True
            at += 2 * length + 1
    for row in range(70, 140):
        rows[row, (row - 70) * 83 :] = True
    rows[140:170, 3:] = True
    # By the row above: each distance to either side, and none below.
    for row in range(200, 240):
        rows[row, 100 + (row % 8) * (row % 7) : 300 - (row % 5)] = True
    return Image.fromarray(rows)


def drawn() -> Image.Image:
    """A page of black figures on white."""
    image = Image.new("1", (400, 600), 1)
    draw = ImageDraw.Draw(image)
    for row in range(10, 590, 20):
        draw.text((10, row), f"Position {row} of the order, at {row * 37} in all and more of it", fill=0)
    return image


def fax(image: Image.Image, kind: str) -> bytes:
    compression, tags = KINDS[kind]
    return encode(image, "TIFF", compression=compression, tiffinfo=tags)


def parts(body: bytes) -> list[tuple[int, int]]:
    """Where each strip begins and ends."""
    tags = TiffImageFile(io.BytesIO(body)).tag_v2
    return [(start, start + size) for start, size in zip(tags[273], tags[279], strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "image", [runs(), drawn(), textured(333, 97).convert("1"), Image.new("1", (50, 50), 1)], ids=str
)
def test_a_whole_fax_is_read_without_a_warning(kind: str, image: Image.Image) -> None:
    (page,) = whole_pages(fax(image, kind), max_pixels=MAX_PIXELS)
    assert page.warnings == ()
    assert np.array_equal(page.pixels[:, :, 0] > 0, np.asarray(image))


def damaged(body: bytes, how: str) -> bytes:
    """The first of its strips with a quarter of its bytes, from the middle, replaced or left out."""
    start, end = parts(body)[0]
    middle, size = (start + end) // 2, (end - start) // 4
    changed = {"zeros": bytes(size), "ones": b"\xff" * size, "noise": np.random.default_rng(3).bytes(size)}
    if how in changed:
        return body[:middle] + changed[how] + body[middle + size :]
    return body[:middle] + body[middle + size : end] + bytes(size) + body[end:]


@pytest.mark.parametrize("how", ["zeros", "ones", "noise", "lost"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_fax_fails(kind: str, how: str) -> None:
    body = damaged(fax(textured(333, 97).convert("1"), kind), how)
    error = failure(body)
    assert error.category is ErrorCategory.CORRUPT
    assert "rows of page 1" in error.detail


@pytest.mark.parametrize("kind", ["g3", "g3 by row"])
def test_a_fax_with_some_bad_rows_is_read_and_says_so(kind: str) -> None:
    body = bytearray(fax(drawn(), kind))
    start, end = parts(bytes(body))[0]
    middle = (start + end) // 2
    body[middle : middle + 6] = b"\x02\x04\x08\x10\x20\x55"
    (page,) = whole_pages(bytes(body), max_pixels=MAX_PIXELS)
    assert [warning.category for warning in page.warnings] == [WarningCategory.DAMAGED]
    whole = decode(fax(drawn(), kind))
    assert (page.pixels != whole).any(axis=(1, 2)).sum() < 12


def test_a_fax_that_has_fewer_rows_than_it_says_fails() -> None:
    body = fax(drawn().crop((0, 0, 400, 300)), "g4")
    at = body.index(b"\x01\x01\x04\0\x01\0\0\0" if b"\x01\x01\x04\0\x01\0\0\0" in body else b"\x01\x01\x03\0\x01\0\0\0")
    for tag in (at, body.index(b"\x16\x01", at)):
        body = body[: tag + 8] + (600).to_bytes(4, "little") + body[tag + 12 :]
    assert failure(body).category is ErrorCategory.CORRUPT


def pdf(image: Image.Image, kind: str, way: int, data: bytes | None = None, beyond: int = 0) -> bytes:
    """A page that is a fax, without the pixels at its right that are ``beyond`` it."""
    body = fax(image, kind)
    data = data if data is not None else b"".join(body[start:end] for start, end in parts(body))
    size = b"/Width %d/Height %d" % (image.width - beyond, image.height)
    head = b"<</Type/XObject/Subtype/Image/ColorSpace/DeviceGray/BitsPerComponent 1/Filter/CCITTFaxDecode%b" % size
    coding = b"/DecodeParms<</K %d/Columns %d/Rows %d>>/Length %d>>" % (way, *image.size, len(data))
    contents = b"q 100 0 0 75 0 0 cm /I Do Q"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 75]/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>"
    return pdf_bytes(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            page,
            b"<</Length %d>>stream\n%b\nendstream" % (len(contents), contents),
            head + coding + b"stream\n" + data + b"\nendstream",
        ]
    )


@pytest.mark.parametrize(("kind", "way"), [("g4", -1), ("g3", 0), ("g3 by row", 4)])
def test_a_fax_in_a_pdf_is_read_if_it_is_whole(kind: str, way: int) -> None:
    for beyond in (0, 5):
        (page,) = whole_pages(pdf(drawn(), kind, way, beyond=beyond), max_pixels=MAX_PIXELS)
        assert page.warnings == ()


@pytest.mark.parametrize("data", [b"\xaa" * 500, np.random.default_rng(1).bytes(3000), b"", bytes(800)])
def test_a_fax_in_a_pdf_that_is_none_fails(data: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        list(whole_pages(pdf(drawn(), "g4", -1, data), max_pixels=MAX_PIXELS))
    assert caught.value.category is ErrorCategory.CORRUPT


def test_a_fax_in_a_pdf_of_which_most_is_whole_is_read_with_a_warning() -> None:
    body = fax(drawn(), "g4")
    data = bytearray(b"".join(body[start:end] for start, end in parts(body)))
    at = len(data) * 19 // 20
    data[at : at + 8] = bytes(8)
    (page,) = whole_pages(pdf(drawn(), "g4", -1, bytes(data)), max_pixels=MAX_PIXELS)
    assert [warning.category for warning in page.warnings] == [WarningCategory.DAMAGED]


def tiff_of_jpegs(**options: Any) -> bytes:
    return encode(textured(248, 184), "TIFF", compression="jpeg", **options)


@pytest.mark.parametrize("rows", [16, 184])
def test_a_tiff_of_jpegs_that_lost_a_part_fails(rows: int) -> None:
    """libtiff fills up what a JPEG lacks, too."""
    body = tiff_of_jpegs(tiffinfo={278: rows})
    pages: list[Page] = list(whole_pages(body, max_pixels=MAX_PIXELS))
    assert [page.warnings for page in pages] == [()]
    start, end = parts(body)[-1]
    middle = (start + end) // 2
    lost = body[:middle] + body[middle + 200 : end] + bytes(200) + body[end:]
    assert failure(lost).category in (ErrorCategory.CORRUPT, ErrorCategory.TRUNCATED)
