"""Files of every kind, from their bytes to their text: real decoders, real models."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ocr_demo.fonts import Face
from ocr_pipeline.images import whole_pages
from ocr_pipeline.records import Page, PageText
from tests.images.samples import ORIENTATION, STORED_BY_ORIENTATION, encode, pdf_bytes, tiff_bytes
from tests.ocr.conftest import LoadEngine
from tests.ocr.drawing import RECEIPT, RECEIPT_LINES, draw_page, receipt

pytestmark = pytest.mark.slow


def drawn(page: Page) -> Image.Image:
    return Image.fromarray(page.pixels[:, :, ::-1])


def on_nothing(ink: tuple[int, int, int]) -> Image.Image:
    """The receipt's text on a transparent background whose hidden colour is that of the ink."""
    image = Image.new("RGBA", (620, 560), (*ink, 0))
    mask = Image.fromarray(255 - receipt().pixels[:, :, 0])
    image.putalpha(mask)
    return image


def cmyk_without_marker() -> bytes:
    """A CMYK JPEG that says nothing of Adobe, whose samples therefore mean what they say."""
    cmyk = drawn(receipt()).convert("CMYK")
    body = encode(Image.merge("CMYK", [band.point(lambda v: 255 - v) for band in cmyk.split()]), "JPEG", quality=95)
    at = body.index(b"\xff\xee")
    return body[:at] + body[at + 2 + int.from_bytes(body[at + 2 : at + 4]) :]


def deep(top: int) -> np.ndarray:
    """The receipt in 16-bit grey of which ``top`` is white."""
    return (receipt().pixels[:, :, 0].astype(np.float64) / 255 * top).astype(np.uint16)


def animated(image_format: str, **options: object) -> bytes:
    other = Image.new("RGB", (620, 560), (0, 90, 200))
    return encode(drawn(receipt()), image_format, save_all=True, append_images=[other], **options)


KINDS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encode(drawn(receipt()), "JPEG", quality=60),
    "jpeg of one channel": lambda: encode(drawn(receipt()).convert("L"), "JPEG"),
    "jpeg in cmyk": lambda: encode(drawn(receipt()).convert("CMYK"), "JPEG"),
    "jpeg in cmyk without a marker": cmyk_without_marker,
    "png of one bit": lambda: encode(drawn(receipt()).convert("1"), "PNG"),
    "png of one channel": lambda: encode(drawn(receipt()).convert("L"), "PNG"),
    "png of four channels": lambda: encode(drawn(receipt()).convert("RGBA"), "PNG"),
    "png of a palette": lambda: encode(drawn(receipt()).quantize(16), "PNG"),
    "png, black on nothing": lambda: encode(on_nothing((0, 0, 0)), "PNG"),
    "png, white on nothing": lambda: encode(on_nothing((255, 255, 255)), "PNG"),
    "png of grey and alpha": lambda: encode(on_nothing((0, 0, 0)).convert("LA"), "PNG"),
    "png of 16 bits": lambda: encode(Image.fromarray(deep(65535)), "PNG"),
    "png of 12 bits in 16": lambda: encode(Image.fromarray(deep(4095)), "PNG"),
    "tiff of one bit": lambda: encode(drawn(receipt()).convert("1"), "TIFF", compression="group4"),
    "tiff of 16 bits in colour": lambda: tiff_bytes(np.repeat(deep(65535)[:, :, None], 3, axis=2)),
    "tiff of 32-bit floats": lambda: tiff_bytes((deep(65535) / 65535).astype(np.float32)),
    "tiff in cmyk": lambda: encode(drawn(receipt()).convert("CMYK"), "TIFF", compression="tiff_lzw"),
    "webp": lambda: encode(drawn(receipt()), "WEBP", quality=60),
    "webp, white on nothing": lambda: encode(on_nothing((255, 255, 255)), "WEBP", lossless=True),
    "webp, animated": lambda: animated("WEBP", lossless=True),
    "gif": lambda: encode(drawn(receipt()), "GIF"),
    "gif, animated": lambda: animated("GIF"),
    "bmp": lambda: encode(drawn(receipt()), "BMP"),
    "avif": lambda: encode(drawn(receipt()), "AVIF"),
    "jpeg 2000": lambda: encode(drawn(receipt()), "JPEG2000"),
    "pnm": lambda: encode(drawn(receipt()), "PPM"),
    "pdf": lambda: encode(drawn(receipt()), "PDF", resolution=200.0),
}


def read(engines: LoadEngine, body: bytes, pdf_dpi: int = 200) -> list[tuple[Page, PageText]]:
    pages = whole_pages(body, max_pixels=100_000_000, pdf_dpi=pdf_dpi)
    return [(page, engines(languages=("en",)).read(page)) for page in pages]


def lines(text: PageText) -> list[str]:
    return [line.text for line in text.lines]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_read(engines: LoadEngine, kind: str) -> None:
    ((_, text),) = read(engines, KINDS[kind]())

    assert lines(text) == RECEIPT_LINES


@pytest.mark.parametrize("orientation", range(2, 9))
def test_boxes_stand_on_the_page_as_its_orientation_turns_it(engines: LoadEngine, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation

    ((page, text),) = read(
        engines, encode(drawn(receipt()).transpose(STORED_BY_ORIENTATION[orientation]), "JPEG", exif=exif)
    )

    assert (page.width, page.height) == (620, 560)
    assert lines(text) == RECEIPT_LINES
    for line, (_, x, y) in zip(text.lines, RECEIPT, strict=True):
        assert np.abs(np.array(line.quad[0]) - (x, y)).max() < 15


@pytest.mark.parametrize("image_format", ["TIFF", "PDF"])
def test_every_page_of_a_document_is_read(engines: LoadEngine, image_format: str) -> None:
    pages = []
    for number in range(3):
        image = Image.new("RGB", (500, 200), (255, 255, 255))
        ImageDraw.Draw(image).text((30, 60), f"Sheet {number + 4} of 9", fill=(0, 0, 0), font=Face.SANS.at(40))
        pages.append(image)

    found = read(engines, encode(pages[0], image_format, save_all=True, append_images=pages[1:], resolution=200.0))

    assert [page.number for page, _ in found] == [0, 1, 2]
    assert [text.text for _, text in found] == ["Sheet 4 of 9", "Sheet 5 of 9", "Sheet 6 of 9"]


def test_small_print_of_a_pdf_is_read_at_a_higher_resolution(engines: LoadEngine) -> None:
    body = text_pdf(b"Four point print is small", points=4)

    ((coarse, poor),) = read(engines, body, pdf_dpi=72)
    ((fine, text),) = read(engines, body, pdf_dpi=400)

    assert (coarse.width, fine.width) == (300, 1667)
    assert text.text == "Four point print is small"
    assert poor.text != text.text


def text_pdf(text: bytes, points: int) -> bytes:
    """A page of 300 x 120 points with ``text`` in Helvetica, which every reader of PDF has."""
    content = b"BT /F %d Tf 20 60 Td (%s) Tj ET" % (points, text)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 120] /Contents 5 0 R"
        b" /Resources << /Font << /F 4 0 R >> >> >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
    ]
    return pdf_bytes(objects)


def dense(width: int, height: int, size: int) -> tuple[Page, list[str]]:
    """A page full of lines, and what they say."""
    image, face = Image.new("RGB", (width, height), (255, 255, 255)), Face.SANS.at(size)
    draw = ImageDraw.Draw(image)
    words = ["night", "message", "from", "Anna", "about", "dinner", "tomorrow", "harbour", "road", "customer"]
    texts = []
    for number, y in enumerate(range(30, height - 2 * size, int(size * 1.6))):
        texts.append(" ".join(words[(number * 7 + i * 3) % 10] for i in range(width // (6 * size))))
        draw.text((30, y), texts[-1], fill=(0, 0, 0), font=face)
    return Page(0, np.asarray(image)), texts


@pytest.mark.parametrize("lying", [False, True])
def test_long_pages_keep_their_small_print(engines: LoadEngine, lying: bool) -> None:
    if lying:
        columns = [dense(700, 560, 15) for _ in range(6)]
        page = Page(0, np.concatenate([column.pixels for column, _ in columns], axis=1))
        expected = [text for _, texts in columns for text in texts]
    else:
        page, expected = dense(750, 4000, 15)

    found = lines(engines(languages=("en",)).read(page))

    assert len(found) == len(expected)
    assert sum(text == other for text, other in zip(found, expected, strict=True)) >= 0.97 * len(expected)


def test_no_column_of_a_very_wide_page_is_lost_and_boxes_are_right_to_its_end(engines: LoadEngine) -> None:
    # Seams of tiles, wherever they are, go through some of the entries.
    image = Image.new("RGB", (39_900, 300), (255, 255, 255))
    draw, places = ImageDraw.Draw(image), range(20, 39_700, 197)
    for number, x in enumerate(places):
        draw.text((x, 40), f"Entry {number:03d}", fill=(0, 0, 0), font=Face.SANS_BOLD.at(24))

    found = engines(languages=("en",)).read(Page(0, np.asarray(image))).lines

    assert [line.text for line in found] == [f"Entry {number:03d}" for number in range(len(places))]
    for line, x in zip(found, places, strict=True):
        assert abs(line.quad[0][0] - x) < 12
        assert 25 < line.quad[0][1] < line.quad[3][1] < 85


def test_a_very_tall_page_that_is_upside_down(engines: LoadEngine) -> None:
    texts = [f"Entry {number:03d} of the log" for number in range(60)]
    page = draw_page(300, 36_000, [(text, 10, 40 + 600 * number) for number, text in enumerate(texts)], size=24)
    upside_down = Page(0, np.ascontiguousarray(page.pixels[::-1, ::-1]))

    found = engines(languages=("en",)).read(upside_down).lines

    assert [line.text for line in found] == texts
    assert found[0].quad[0][1] > 35_000 > 1_000 > found[-1].quad[0][1]


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PDF"])
def test_one_pixel_has_no_text(engines: LoadEngine, image_format: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (1, 1), (200, 30, 20)).save(file, image_format)

    ((page, text),) = read(engines, file.getvalue())

    assert max(page.width, page.height) <= 3
    assert text.lines == ()
