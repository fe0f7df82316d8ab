"""Image files in every format and mode that datasets contain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

_ORIENTATION_TAG = 0x0112
"""EXIF tag that says how a viewer must turn the stored pixels."""

_STORED: dict[int, Image.Transpose] = {
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera held that way stores an upright picture, by EXIF orientation."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A way to store a picture: file extension, Pillow's format name, its options and a change of mode."""

    extension: str
    name: str
    options: tuple[tuple[str, Any], ...] = ()
    convert: Callable[[Image.Image], Image.Image] | None = None
    orientation: int = 1
    keeps_transparency: bool = False

    def encode(self, picture: Image.Image) -> bytes:
        """The bytes of the file."""
        options = dict(self.options)
        if self.orientation != 1:
            picture = picture.transpose(_STORED[self.orientation])
            exif = Image.Exif()
            exif[_ORIENTATION_TAG] = self.orientation
            options["exif"] = exif
        if self.convert:
            picture = self.convert(picture)
        stream = BytesIO()
        picture.save(stream, self.name, **options)
        return stream.getvalue()


def _grey(picture: Image.Image) -> Image.Image:
    return picture.convert("L")


def _cmyk(picture: Image.Image) -> Image.Image:
    return picture.convert("CMYK")


def _palette(picture: Image.Image) -> Image.Image:
    return picture.quantize(64)


def _sixteen_bit(picture: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(picture.convert("L"), dtype=np.uint16) * 257)


def _bilevel(picture: Image.Image) -> Image.Image:
    return picture.convert("L").point(lambda value: 255 * (value > 150)).convert("1")


JPEG = FileFormat("jpg", "JPEG", (("quality", 88),))
JPEG_FINE = FileFormat("jpg", "JPEG", (("quality", 95), ("subsampling", 0)))
JPEG_POOR = FileFormat("jpg", "JPEG", (("quality", 38),))
JPEG_PROGRESSIVE = FileFormat("jpeg", "JPEG", (("quality", 80), ("progressive", True)))
JPEG_GREY = FileFormat("jpg", "JPEG", (("quality", 80),), _grey)
JPEG_CMYK = FileFormat("jpg", "JPEG", (("quality", 90),), _cmyk)
JPEG_SIDEWAYS = FileFormat("jpg", "JPEG", (("quality", 88),), orientation=6)
JPEG_OTHER_SIDE = FileFormat("jpg", "JPEG", (("quality", 88),), orientation=8)
JPEG_UPSIDE_DOWN = FileFormat("jpg", "JPEG", (("quality", 88),), orientation=3)
PNG = FileFormat("png", "PNG", (("compress_level", 2),))
PNG_GREY = FileFormat("png", "PNG", (("compress_level", 2),), _grey)
PNG_PALETTE = FileFormat("png", "PNG", (("compress_level", 2),), _palette)
PNG_16_BIT = FileFormat("png", "PNG", (("compress_level", 2),), _sixteen_bit)
PNG_TRANSPARENT = FileFormat("png", "PNG", (("compress_level", 2),), keeps_transparency=True)
WEBP = FileFormat("webp", "WEBP", (("quality", 82), ("method", 2)))
WEBP_LOSSLESS = FileFormat("webp", "WEBP", (("lossless", True), ("quality", 20), ("method", 0)))
WEBP_TRANSPARENT = FileFormat("webp", "WEBP", (("quality", 90), ("method", 2)), keeps_transparency=True)
TIFF_LZW = FileFormat("tiff", "TIFF", (("compression", "tiff_lzw"),))
TIFF_DEFLATE_GREY = FileFormat("tif", "TIFF", (("compression", "tiff_adobe_deflate"),), _grey)
TIFF_FAX = FileFormat("tif", "TIFF", (("compression", "group4"),), _bilevel)
