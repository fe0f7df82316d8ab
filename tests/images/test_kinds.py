"""Kinds of files that other programs show: each is read, or fails by name, and never comes out empty."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageDraw

from ocr_pipeline.errors import ErrorCategory, WarningCategory
from ocr_pipeline.images import decode_pages, whole_pages
from ocr_pipeline.images.pdf_fonts import FONTS
from ocr_pipeline.records import FetchedImage, ImageRef, Page, PageText, TextLine, UnreadablePage, read_row
from tests.images.decoding import MAX_PIXELS, decode, failure
from tests.images.samples import encode, pdf_bytes, planar_tiff, quarters, tiff_bytes


def outcomes(body: bytes, max_pixels: int = MAX_PIXELS) -> list[str]:
    """What becomes of each page."""
    return [
        page.error.category.value if isinstance(page, UnreadablePage) else "read"
        for page in decode_pages(body, max_pixels=max_pixels)
    ]


def pdf(kids: bytes, *objects: bytes) -> bytes:
    """A PDF with these pages, whose objects begin at number 3."""
    count = len(kids.replace(b"null", b"0 0 R").split(b"R")) - 1
    pages = b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, count)
    return pdf_bytes([b"<</Type/Catalog/Pages 2 0 R>>", pages, *objects])


PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 50]>>"


def test_a_bad_page_of_a_pdf_hides_no_other() -> None:
    assert outcomes(pdf(b"3 0 R null 4 0 R", PAGE, PAGE)) == ["read", "corrupt", "read"]


def test_a_bad_page_of_a_tiff_hides_no_other() -> None:
    first, last = Image.new("L", (64, 64), 10), Image.new("L", (64, 64), 30)
    large = encode(first, "TIFF", save_all=True, append_images=[Image.new("L", (4000, 4000)), last])
    assert outcomes(large, max_pixels=100_000) == ["read", "too_many_pixels", "read"]


def test_a_compression_that_nobody_reads_is_a_failure() -> None:
    body = bytearray(tiff_bytes(np.full((16, 16), 255, np.uint8)))
    tag = body.index(b"\x03\x01\x03\x00")  # 259, compression, a short
    body[tag + 8 : tag + 10] = (50_002).to_bytes(2, "little")
    error = failure(bytes(body))
    assert error.category is ErrorCategory.CORRUPT
    assert "compression 50002" in error.detail


def test_a_bmp_whose_alpha_is_nothing_is_opaque() -> None:
    image = quarters().convert("RGBA")
    body = bytearray(encode(image, "BMP"))
    start = int.from_bytes(body[10:14], "little")
    body[start + 3 :: 4] = bytes(len(body[start + 3 :: 4]))
    assert np.array_equal(decode(bytes(body)), decode(encode(quarters(), "BMP")))


@pytest.mark.parametrize("top", [2**32 - 1, 1000])
def test_a_tiff_of_32_bits_is_as_light_as_its_numbers(top: int) -> None:
    samples = np.linspace(0, top, 64, dtype=np.uint32).reshape(1, 64).repeat(16, axis=0)
    row = decode(tiff_bytes(samples))[8, :, 0].astype(int)
    assert row[0] == 0
    assert row[-1] > 240
    assert (np.diff(row) >= 0).all()


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_fourth_sample_that_means_nothing_hides_nothing(depth: type[np.unsignedinteger[Any]]) -> None:
    colour = np.asarray(quarters()).astype(depth) * (np.iinfo(depth).max // 255)
    for fourth in (0, np.iinfo(depth).max):
        samples = np.dstack([colour, np.full(colour.shape[:2], fourth, depth)])
        read = decode(tiff_bytes(samples, extra_samples=0)).astype(int)
        assert np.abs(read - np.asarray(quarters())[:, :, ::-1].astype(int)).max() <= 1


def in_depth(depth: Any) -> Any:
    """The picture of four colours in samples of another type."""
    samples = np.asarray(quarters()).copy()
    # The darkest and the lightest that there are.
    samples[0, :2] = ((0, 0, 0), (255, 255, 255))
    kind = np.dtype(depth)
    if kind.kind == "f":
        return samples.astype(depth) / depth(255)
    scale = (np.iinfo(depth).max - np.iinfo(depth).min) // 255
    return (samples.astype(np.int64) * scale + np.iinfo(depth).min).astype(depth)


DEPTHS = [np.uint8, np.int8, np.uint16, np.int16, np.float32, np.float64]


@pytest.mark.parametrize(
    ("depth", "alpha"), [(depth, alpha) for depth in DEPTHS for alpha in {False, np.dtype(depth).kind != "i"}]
)
def test_a_tiff_in_planes_is_read_at_any_depth(depth: Any, alpha: bool) -> None:
    samples = in_depth(depth)
    if alpha:
        full = 1 if np.dtype(depth).kind == "f" else np.iinfo(depth).max
        samples = np.dstack([samples, np.full(samples.shape[:2], full, depth)])
    expected = in_depth(np.uint8)[:, :, ::-1].astype(int)
    assert np.abs(decode(planar_tiff(samples)).astype(int) - expected).max() <= 1
    turned = decode(planar_tiff(samples, orientation=6)).astype(int)
    assert np.abs(turned - np.rot90(expected, -1)).max() <= 1


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_grey_and_alpha_in_planes_are_read(depth: Any) -> None:
    grey = in_depth(depth)[:, :, 0]
    alpha = np.full(grey.shape, np.iinfo(depth).max, depth)
    alpha[:, 48:] = 0
    read = decode(planar_tiff(np.dstack([grey, alpha]))).astype(int)
    expected = in_depth(np.uint8)[:, :, :1].astype(int)
    assert np.abs(read[:, :48] - expected[:, :48]).max() <= 1
    assert (read[:, 48:] == 255).all()


@pytest.mark.parametrize("depth", [np.int8, np.int16])
def test_a_tiff_of_signed_samples_is_as_light_as_its_numbers(depth: Any) -> None:
    expected = in_depth(np.uint8)[:, :, ::-1].astype(int)
    assert np.abs(decode(tiff_bytes(in_depth(depth))).astype(int) - expected).max() <= 1
    grey = decode(tiff_bytes(in_depth(depth)[:, :, 0])).astype(int)
    assert np.abs(grey - expected[:, :, 2:]).max() <= 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (tiff_bytes(np.zeros((8, 8), np.float16)), "grey in 1 samples a pixel, floating-point numbers, of 16 bits"),
        (tiff_bytes(np.zeros((8, 8), np.uint64)), "whole numbers, of 64 bits"),
        (tiff_bytes(np.zeros((8, 8, 3), np.uint32)), "RGB in 3 samples a pixel, whole numbers, of 32 bits"),
        (planar_tiff(np.zeros((8, 8, 3), np.uint64)), "RGB in 3 samples a pixel, whole numbers, of 64 bits"),
        (tiff_bytes(np.zeros((8, 8, 3), np.uint8), photometric=9), "ICCLAB"),
        (tiff_bytes(np.zeros((8, 8, 5), np.uint8), photometric=5, extra_samples=2), "CMYK in 5 samples"),
        (tiff_bytes(np.zeros((8, 8), np.uint8), compression=50_001), "WebP"),
    ],
)
def test_a_tiff_of_a_kind_that_is_not_read_says_which(body: bytes, says: str) -> None:
    error = failure(body)
    assert error.category is ErrorCategory.CORRUPT
    assert says in error.detail
    assert "save it" in error.detail


def test_a_photoshop_file_is_read() -> None:
    picture = np.asarray(quarters())
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, *picture.shape[:2], 8, 3)  # three channels of 8 bits, RGB
    body = head + struct.pack(">IIIH", 0, 0, 0, 0) + np.moveaxis(picture, 2, 0).tobytes()
    assert np.array_equal(decode(body), picture[:, :, ::-1])


@pytest.mark.parametrize("cut", [12, 14, 16])
def test_a_png_that_lacks_only_its_end_is_read(cut: int) -> None:
    body = encode(quarters(), "PNG")
    assert np.array_equal(decode(body[:-cut]), decode(body))


def test_a_pdf_that_lacks_only_its_end_mark_is_read() -> None:
    body = pdf(b"3 0 R 4 0 R", PAGE, PAGE)
    assert outcomes(body[: body.rindex(b"%%EOF")]) == ["read", "read"]


@pytest.mark.parametrize("image_format", ["ICO", "TGA", "PCX", "SGI", "PPM", "DDS", "ICNS"])
def test_formats_that_pillow_reads_are_read(image_format: str) -> None:
    image = quarters(64, 64)
    read = decode(encode(image.convert("RGBA") if image_format in ("ICO", "ICNS") else image, image_format))
    expected = np.asarray(image)[:, :, ::-1]
    scale = read.shape[0] // 64
    assert np.abs(read[8::16, 8::16].astype(int)[:4, :4] - expected[8::16, 8::16][:4, :4]).max() < 12 or scale != 1


def test_heic_is_read() -> None:
    file = io.BytesIO()
    pillow_heif.from_pillow(quarters()).save(file, quality=90)
    read = decode(file.getvalue())
    assert read.shape == (64, 96, 3)
    assert np.abs(read[10, 10].astype(int) - np.array([20, 30, 200])).max() < 25


def test_avif_is_known_by_the_brands_that_it_is_compatible_with() -> None:
    body = encode(quarters(), "AVIF")
    assert body[8:12] == b"avif"
    assert b"avif" in body[16:40]
    assert np.array_equal(decode(body[:8] + b"mif1" + body[12:]), decode(body))


def test_of_an_animation_the_first_frame_that_is_not_blank_is_read() -> None:
    blank, drawn = Image.new("P", (60, 40), 0), Image.new("P", (60, 40), 0)
    for image in (blank, drawn):
        image.putpalette([255, 255, 255, 0, 0, 0])
    ImageDraw.Draw(drawn).rectangle((10, 10, 50, 30), fill=1)
    body = encode(blank, "GIF", save_all=True, append_images=[drawn, blank])
    assert decode(body)[20, 30].max() < 10


def frames(first: Image.Image, second: Image.Image, image_format: str) -> bytes:
    options = {"lossless": True} if image_format == "WEBP" else {}
    return encode(first, image_format, save_all=True, append_images=[second], duration=100, **options)


@pytest.mark.parametrize("image_format", ["GIF", "PNG", "WEBP"])
@pytest.mark.parametrize("begun", ["faded in", "specks"])
def test_a_frame_that_is_hardly_begun_is_passed_over(image_format: str, begun: str) -> None:
    drawn = Image.new("RGB", (300, 100), "white")
    ImageDraw.Draw(drawn).rectangle((50, 30, 250, 70), fill="black")
    first = Image.new("RGB", drawn.size, "white")
    if begun == "faded in":
        first = Image.blend(first, drawn, 0.02)
    else:
        for place in range(0, 300, 10):
            first.putpixel((place, place % 97), (100, 100, 100))
    assert decode(frames(first, drawn, image_format))[50, 150].max() < 10


@pytest.mark.parametrize("image_format", ["GIF", "PNG", "WEBP"])
def test_of_frames_that_show_little_the_fullest_is_read(image_format: str) -> None:
    little, least = (Image.new("RGB", (300, 100), "white") for _ in range(2))
    ImageDraw.Draw(little).rectangle((10, 10, 19, 19), fill="black")
    ImageDraw.Draw(least).rectangle((40, 40, 44, 44), fill="black")
    for order in ((little, least), (least, little)):
        assert decode(frames(*order, image_format))[15, 15].max() < 10


@pytest.mark.parametrize(("image_format", "options"), [("PNG", {}), ("TIFF", {"compression": "group4"}), ("TIFF", {})])
def test_a_scan_of_one_bit_is_read_reduced(image_format: str, options: dict[str, str]) -> None:
    scan = Image.new("1", (2000, 3000), 1)
    ImageDraw.Draw(scan).rectangle((200, 300, 999, 1499), fill=0)
    (page,) = whole_pages(encode(scan, image_format, **options), max_pixels=2_400_000)
    assert (page.width, page.height, page.full_size) == (1000, 1500, (2000, 3000))
    assert (page.pixels[400, 300].max(), page.pixels[1400, 900].min()) == (0, 255)
    assert outcomes(encode(scan, image_format, **options), max_pixels=100_000) == ["too_many_pixels"]


def test_the_places_on_a_reduced_page_are_those_of_the_whole_one() -> None:
    page = Page(0, np.zeros((50, 40, 3), np.uint8), (), (80, 100))
    line = TextLine("word", 0.9, ((1.0, 2.0), (11.0, 2.0), (11.0, 7.0), (1.0, 7.0)))
    image = FetchedImage(ImageRef(0, ""), b"x", "00", None, 1, 0.0)
    row = read_row(image, page, PageText((line,)), 0.0, "test")
    assert (row.width, row.height) == (80, 100)
    assert '"quad":[[2.0,4.0],[22.0,4.0],[22.0,14.0],[2.0,14.0]]' in row.lines


def cyrillic() -> bytes:
    """A page with four Cyrillic letters in a font that is named and not in it."""
    content = b"BT /F 20 Tf 10 20 Td (ABCD) Tj ET"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 50]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>"
    names = b"/afii10065/afii10066/afii10067/afii10068"
    font = b"<</Type/Font/Subtype/TrueType/BaseFont/Arial/Encoding<</Type/Encoding/Differences[65%b]>>>>" % names
    return pdf(b"3 0 R", page, b"<</Length %d>>stream\n%b\nendstream" % (len(content), content), font)


def test_a_pdf_whose_fonts_are_nowhere_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FONTS, "has", lambda family: False)
    (page,) = whole_pages(cyrillic(), max_pixels=MAX_PIXELS)
    (warning,) = page.warnings
    assert warning.category is WarningCategory.FONTS_MISSING
    assert "Arial" in warning.detail
    assert "fonts-noto-core" in warning.detail


def test_what_is_drawn_in_another_font_is_not_warned_of() -> None:
    latin = cyrillic().replace(
        b"/Encoding<</Type/Encoding/Differences[65/afii10065/afii10066/afii10067/afii10068]>>", b""
    )
    (page,) = whole_pages(latin, max_pixels=MAX_PIXELS)
    assert page.warnings == ()
    assert page.pixels.min() < 50
