"""The right pixels of every kind of image."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from ocr_pipeline.images.pixels import DARK
from ocr_pipeline.records import Pixels
from tests.images.decoding import decode
from tests.images.samples import (
    BLUE,
    GREEN,
    ORIENTATION,
    RED,
    STORED_BY_ORIENTATION,
    YELLOW,
    encode,
    png_bytes,
    png_chunk,
    quarters,
    textured,
    tiff_bytes,
)


def corners(pixels: Pixels) -> list[tuple[int, int, int]]:
    """The RGB colours in the middle of the four quarters, in reading order."""
    height, width = pixels.shape[:2]
    places = [(y, x) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    return [(int(pixels[p][2]), int(pixels[p][1]), int(pixels[p][0])) for p in places]


def assert_quarters(pixels: Pixels, tolerance: int) -> None:
    assert np.abs(np.subtract(corners(pixels), [RED, GREEN, BLUE, YELLOW])).max() <= tolerance
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous


QUARTERS = quarters()
RGB_KINDS = {
    "jpeg": (encode(QUARTERS, "JPEG", quality=95), 6),
    "jpeg-progressive": (encode(QUARTERS, "JPEG", quality=95, progressive=True), 6),
    "jpeg-mpo": (encode(QUARTERS, "MPO", quality=95, save_all=True, append_images=[textured()]), 6),
    "jpeg-rgb": (encode(QUARTERS, "JPEG", quality=95, keep_rgb=True), 6),
    "png": (encode(QUARTERS, "PNG"), 0),
    "png-palette": (encode(QUARTERS.quantize(4), "PNG", bits=2), 0),
    "png-alpha": (encode(QUARTERS.convert("RGBA"), "PNG"), 0),
    "webp": (encode(QUARTERS, "WEBP", quality=95), 12),
    "webp-lossless": (encode(QUARTERS, "WEBP", lossless=True), 0),
    "webp-alpha": (encode(QUARTERS.convert("RGBA"), "WEBP", lossless=True), 0),
    "webp-animated": (encode(QUARTERS, "WEBP", lossless=True, save_all=True, append_images=[textured()]), 0),
    "gif": (encode(QUARTERS.quantize(4), "GIF"), 0),
    "gif-animated": (encode(QUARTERS, "GIF", save_all=True, append_images=[textured()]), 2),
    "bmp": (encode(QUARTERS, "BMP"), 0),
    "bmp-palette": (encode(QUARTERS.quantize(4), "BMP"), 0),
    "bmp-32": (encode(QUARTERS.convert("RGBA"), "BMP"), 0),
    "tiff": (encode(QUARTERS, "TIFF"), 0),
    "tiff-big": (encode(QUARTERS, "TIFF", big_tiff=True), 0),
    "tiff-lzw": (encode(QUARTERS, "TIFF", compression="tiff_lzw"), 0),
    "tiff-jpeg": (encode(QUARTERS, "TIFF", compression="jpeg", quality=95), 12),
    "tiff-palette": (encode(QUARTERS.quantize(4), "TIFF"), 0),
    "tiff-cmyk": (encode(QUARTERS.convert("CMYK"), "TIFF"), 1),
    "tiff-alpha": (encode(QUARTERS.convert("RGBA"), "TIFF"), 0),
    "tiff-16": (tiff_bytes(np.asarray(QUARTERS).astype(np.uint16) * 257), 1),
    "tiff-float": (tiff_bytes(np.asarray(QUARTERS).astype(np.float32) / 255), 1),
    "avif": (encode(QUARTERS, "AVIF", quality=95), 8),
    "jpeg2000": (encode(QUARTERS, "JPEG2000"), 0),
    "jpeg2000-bare": (encode(QUARTERS, "JPEG2000", no_jp2=True), 0),
    "pnm": (encode(QUARTERS, "PPM"), 0),
    "pdf": (encode(QUARTERS, "PDF", resolution=200.0, quality=95), 8),
}


@pytest.mark.parametrize("kind", RGB_KINDS)
def test_colours_of_every_format(kind: str) -> None:
    body, tolerance = RGB_KINDS[kind]
    pixels = decode(body)
    assert pixels.shape == (64, 96, 3)
    assert_quarters(pixels, tolerance)


FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM"]


@pytest.mark.parametrize("image_format", FORMATS)
def test_grey_becomes_three_equal_channels(image_format: str) -> None:
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (32, 1))
    pixels = decode(encode(Image.fromarray(ramp), image_format))
    assert pixels.shape == (32, 64, 3)
    assert np.abs(pixels.astype(int) - ramp[:, :, np.newaxis]).max() <= 4


@pytest.mark.parametrize(
    ("image_format", "options"),
    [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "group4"}), ("BMP", {}), ("PPM", {})],
)
def test_bilevel_is_black_on_white(image_format: str, options: dict[str, str]) -> None:
    image = Image.new("1", (40, 30), 1)
    ImageDraw.Draw(image).rectangle((10, 10, 19, 19), fill=0)
    pixels = decode(encode(image, image_format, **options))
    assert (pixels[15, 15] == 0).all()
    assert (pixels[5, 5] == 255).all()
    assert np.count_nonzero(pixels == 0) == 100 * 3


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(image_format: str, orientation: int) -> None:
    image = QUARTERS.transpose(STORED_BY_ORIENTATION[orientation]) if orientation in STORED_BY_ORIENTATION else QUARTERS
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    pixels = decode(encode(image, image_format, exif=exif, quality=95))
    assert pixels.shape == (64, 96, 3)
    assert_quarters(pixels, 12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_orientation_at_16_bit(orientation: int) -> None:
    eight = np.asarray(QUARTERS)
    plain, deep = (tiff_bytes(samples, orientation=orientation) for samples in (eight, eight.astype(np.uint16) * 257))
    assert np.array_equal(decode(plain), decode(deep))
    assert decode(plain).shape[0] == (64 if orientation < 5 else 96)


def test_big_endian_exif() -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"
    pixels = decode(encode(QUARTERS.rotate(180), "JPEG", quality=95, exif=exif))
    assert_quarters(pixels, 6)


@pytest.mark.parametrize("exif", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"junk" * 9])
def test_broken_exif_means_upright(exif: bytes) -> None:
    assert_quarters(decode(encode(QUARTERS, "JPEG", quality=95, exif=b"Exif\0\0" + exif)), 6)


def test_cmyk_jpeg_with_adobe_marker() -> None:
    assert_quarters(decode(encode(QUARTERS.convert("CMYK"), "JPEG", quality=98)), 6)


def test_cmyk_jpeg_without_adobe_marker_is_not_inverted() -> None:
    cmyk = QUARTERS.convert("CMYK")
    inverted = Image.merge("CMYK", [band.point(lambda value: 255 - value) for band in cmyk.split()])
    body = encode(inverted, "JPEG", quality=98)
    at = body.index(b"\xff\xee")
    body = body[:at] + body[at + 2 + int.from_bytes(body[at + 2 : at + 4]) :]
    assert b"Adobe" not in body
    assert_quarters(decode(body), 6)


def with_alpha(ink: tuple[int, int, int], hidden: tuple[int, int, int]) -> Image.Image:
    """A stripe of ink on transparency whose hidden colour is ``hidden``."""
    image = Image.new("RGBA", (60, 40), (*hidden, 0))
    ImageDraw.Draw(image).rectangle((10, 15, 49, 24), fill=(*ink, 255))
    return image


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("hidden", [(0, 0, 0), (255, 255, 255)])
@pytest.mark.parametrize(
    ("ink", "dark"), [((0, 0, 0), False), ((200, 0, 0), False), ((255, 255, 255), True), ((255, 240, 60), True)]
)
def test_background_lets_ink_be_seen(
    image_format: str, hidden: tuple[int, int, int], ink: tuple[int, int, int], dark: bool
) -> None:
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    pixels = decode(encode(with_alpha(ink, hidden), image_format, **options))
    assert tuple(pixels[20, 30][::-1]) == ink
    background = pixels[5, 5]
    assert (background < 64).all() if dark else (background == 255).all()


def test_background_suits_what_borders_on_it() -> None:
    # A white label with dark text, and beside the label dark text on nothing.
    image = Image.new("RGBA", (200, 100), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 99, 99), fill=(255, 255, 255, 255))
    for row in range(5, 95, 6):
        draw.rectangle((110, row, 190, row + 1), fill=(10, 10, 10, 255))
    assert (decode(encode(image, "PNG"))[2, 150] == 255).all()


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("inks", [(0, 255), (255, 0), (40, 220), (0, 128, 255)])
def test_background_suits_light_and_dark_ink(image_format: str, inks: tuple[int, ...]) -> None:
    image = Image.new("RGBA", (200, 100), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    for number, ink in enumerate(inks):
        for row in range(number * 30 + 2, number * 30 + 28, 6):
            draw.rectangle((20, row, 180, row + 1), fill=(ink, ink, ink, 255))
    options = {"lossless": True} if image_format == "WEBP" else {}
    grey = decode(encode(image, image_format, **options))[:, :, 0].astype(int)
    ground = grey[98, 5]
    for number, ink in enumerate(inks):
        assert grey[number * 30 + 2, 100] == ink
        assert abs(ink - ground) >= 32


@pytest.mark.parametrize("opacity", [1, 100, 254])
def test_the_same_opacity_everywhere_says_nothing(opacity: int) -> None:
    image = QUARTERS.convert("RGBA")
    image.putalpha(opacity)
    assert_quarters(decode(encode(image, "PNG")), 0)


def test_half_transparent_ink_is_blended() -> None:
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((5, 5, 14, 14), fill=(0, 0, 0, 128))
    assert np.abs(decode(encode(image, "PNG"))[10, 10].astype(int) - 127).max() <= 1


def test_wholly_transparent_is_a_white_page() -> None:
    assert (decode(encode(Image.new("RGBA", (20, 20), (9, 9, 9, 0)), "PNG")) == 255).all()


@pytest.mark.parametrize("image_format", ["PNG", "GIF"])
def test_palette_with_transparency(image_format: str) -> None:
    image = Image.new("P", (40, 40), 0)
    image.putpalette([0, 0, 0, 180, 20, 20] + [0] * 750)
    image.paste(1, (10, 10, 30, 30))
    pixels = decode(encode(image, image_format, transparency=0))
    assert (pixels[2, 2] == 255).all()
    assert tuple(pixels[20, 20]) == (20, 20, 180)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_transparent_grey_at_every_depth(depth: int) -> None:
    # Two rows: the first of grey level 0, which is transparent, the second of the highest, which is white ink.
    row = 32 * depth // 8
    body = png_bytes(
        struct.pack(">IIBBBBB", 32, 2, depth, 0, 0, 0, 0),
        b"\0" + bytes(row) + b"\0" + b"\xff" * row,
        png_chunk(b"tRNS", b"\0\0"),
    )
    pixels = decode(body)
    assert (pixels[0] == DARK).all()
    assert (pixels[1] == 255).all()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_transparent_colour_key(mode: str) -> None:
    image = Image.new(mode, (40, 40), 0)
    image.paste(90 if mode == "L" else (90, 90, 90), (10, 10, 30, 30))
    pixels = decode(encode(image, "PNG", transparency=0 if mode == "L" else (0, 0, 0)))
    assert (pixels[2, 2] == 255).all()
    assert (pixels[20, 20] == 90).all()


def test_grey_with_alpha() -> None:
    image = Image.new("LA", (40, 40), (0, 0))
    image.paste((80, 255), (10, 10, 30, 30))
    pixels = decode(encode(image, "PNG"))
    assert (pixels[2, 2] == 255).all()
    assert (pixels[20, 20] == 80).all()


def ramp16(top: int) -> np.ndarray:
    """A 16-bit grey ramp from 0 to ``top``."""
    return np.tile(np.linspace(0, top, 64).astype(np.uint16), (32, 1))


@pytest.mark.parametrize("kind", ["png", "tiff", "jpeg2000"])
@pytest.mark.parametrize("top", [65535, 4095, 1023])
def test_16_bit_grey_is_scaled_by_the_bits_in_use(kind: str, top: int) -> None:
    ramp = ramp16(top)
    body = tiff_bytes(ramp) if kind == "tiff" else encode(Image.fromarray(ramp), {"png": "PNG"}.get(kind, "JPEG2000"))
    expected = np.linspace(0, 255, 64)
    assert np.abs(decode(body)[7, :, 1] - expected).max() <= 1


def test_big_endian_tiff() -> None:
    body = encode(Image.fromarray(ramp16(65535).astype(">u2")), "TIFF")
    assert body.startswith(b"MM")
    assert np.abs(decode(body)[7, :, 1] - np.linspace(0, 255, 64)).max() <= 1


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour(extension: str, channels: int) -> None:
    low = np.full((20, 30, channels), (1000, 2000, 4000, 65535)[:channels], np.uint16)
    low[0, 0, :3] = 4095
    pixels = decode(cv2.imencode(extension, low)[1].tobytes())
    assert np.abs(pixels[10, 10].astype(int) - (62, 125, 249)).max() <= 1


def test_big_endian_big_tiff() -> None:
    data = np.asarray(QUARTERS).tobytes()
    tags = {256: 96, 257: 64, 259: 1, 262: 2, 273: 16, 277: 3, 278: 64, 279: len(data)}
    entries = {tag: struct.pack(">HHQQ", tag, 16, 1, value) for tag, value in tags.items()}
    entries[258] = struct.pack(">HHQ4H", 258, 3, 3, 8, 8, 8, 0)
    directory = struct.pack(">Q", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(8)
    pixels = decode(struct.pack(">2sHHHQ", b"MM", 43, 8, 0, 16 + len(data)) + data + directory)
    assert_quarters(pixels, 0)


def test_16_bit_white_is_zero() -> None:
    pixels = decode(tiff_bytes(65535 - ramp16(65535), photometric=0))
    assert np.abs(pixels[7, :, 1] - np.linspace(0, 255, 64)).max() <= 1


@pytest.mark.parametrize("top", [1.0, 255.0, 4000.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_float_tiff(top: float, channels: int) -> None:
    ramp = np.tile(np.linspace(0, top, 64, dtype=np.float32), (32, 1))
    ramp[0, 0] = np.nan
    samples = ramp if channels == 1 else np.repeat(ramp[:, :, np.newaxis], 3, axis=2)
    assert np.abs(decode(tiff_bytes(samples))[7, :, 1] - np.linspace(0, 255, 64)).max() <= 1


@pytest.mark.parametrize("image_format", FORMATS)
def test_one_pixel(image_format: str) -> None:
    assert decode(encode(Image.new("RGB", (1, 1), RED), image_format)).shape == (1, 1, 3)


@pytest.mark.parametrize("size", [(20_000, 3), (3, 20_000)])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF"])
def test_very_long_images(image_format: str, size: tuple[int, int]) -> None:
    assert decode(encode(Image.new("RGB", size, BLUE), image_format)).shape == (size[1], size[0], 3)


def test_png_beyond_the_limits_of_opencv() -> None:
    width = (1 << 20) + 8
    body = png_bytes(struct.pack(">IIBBBBB", width, 1, 1, 0, 0, 0, 0), b"\0" + b"\xff" * (width // 8))
    assert decode(body).shape == (1, width, 3)
