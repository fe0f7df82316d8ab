"""Pillow's decoders, for what OpenCV does not read or gets wrong.

The plugin of a format is opened directly: ``Image.open`` would guess the format again, would apply Pillow's own pixel
limit, which is one for the whole process, and would start whatever plugin feels like it, Ghostscript's included.
"""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    DdsImagePlugin,
    GifImagePlugin,
    IcnsImagePlugin,
    IcoImagePlugin,
    Image,
    ImageChops,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PcxImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    PsdImagePlugin,
    QoiImagePlugin,
    SgiImagePlugin,
    SunImagePlugin,
    TgaImagePlugin,
    WebPImagePlugin,
    XbmImagePlugin,
    XpmImagePlugin,
)
from PIL.TiffImagePlugin import TiffImageFile

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.images.checks import BYTES_A_PIXEL, MOST_REDUCED, check_size, corrupt, reduction, truncated
from ocr_pipeline.images.decoded import Decoded, upright
from ocr_pipeline.images.pixels import Samples, exif_orientation, ink, reduced, to_bgr
from ocr_pipeline.images.sniffing import Format
from ocr_pipeline.records import Pixels

_PLUGINS: dict[Format, type[ImageFile.ImageFile]] = {
    Format.JPEG: JpegImagePlugin.JpegImageFile,
    Format.PNG: PngImagePlugin.PngImageFile,
    Format.WEBP: WebPImagePlugin.WebPImageFile,
    Format.GIF: GifImagePlugin.GifImageFile,
    Format.BMP: BmpImagePlugin.BmpImageFile,
    Format.TIFF: TiffImageFile,
    Format.AVIF: AvifImagePlugin.AvifImageFile,
    Format.JPEG2000: Jpeg2KImagePlugin.Jpeg2KImageFile,
    Format.PNM: PpmImagePlugin.PpmImageFile,
    Format.PSD: PsdImagePlugin.PsdImageFile,
    Format.PCX: PcxImagePlugin.PcxImageFile,
    Format.TGA: TgaImagePlugin.TgaImageFile,
    Format.SGI: SgiImagePlugin.SgiImageFile,
    Format.SUN: SunImagePlugin.SunImageFile,
    Format.DDS: DdsImagePlugin.DdsImageFile,
    Format.QOI: QoiImagePlugin.QoiImageFile,
    Format.XBM: XbmImagePlugin.XbmImageFile,
    Format.XPM: XpmImagePlugin.XpmImageFile,
    # Of these two, what is a PNG or a JPEG 2000 is taken out and decoded by itself.
    Format.ICO: IcoImagePlugin.IcoImageFile,
    Format.ICNS: IcnsImagePlugin.IcnsImageFile,
}

_BY_LINES = frozenset([Format.BMP, Format.PNM, Format.PCX, Format.SUN])
"""Formats that Pillow decodes into its own image alone, a byte a pixel where they are grey or black and white."""

_IN_PYTHON = frozenset([Format.QOI, Format.XPM, Format.SGI, Format.DDS])
_MOST_IN_PYTHON = 25_000_000
"""Pixels of formats that Pillow decodes in Python, in part or all of it: about a second for each million."""

_IN_BOXES = frozenset([Format.AVIF, Format.JPEG2000])

_CODESTREAM = b"\xff\x4f\xff\x51"

_ANIMATED = frozenset([Format.GIF, Format.WEBP, Format.PNG, Format.AVIF])
_MOST_BLANK = 50
"""Frames that are looked at for one that shows enough."""

LITTLE_INK = 0.005
"""Share of the pixels of a frame that is hardly begun: a word takes more of most."""

_BAND_PIXELS = 1 << 22
"""Pixels that are converted at once where an image is reduced."""

# Plugins warn of odd metadata; what matters of it comes as an error.
warnings.filterwarnings("ignore", category=Warning, module=r"PIL\.")


def decode_with_pillow(image_format: Format, body: bytes, max_pixels: int) -> Decoded:
    """Decode an image; of an animation, the first frame that is not nearly blank.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    if image_format in _IN_BOXES and body.startswith(b"\0\0"):  # and no bare JPEG 2000 codestream
        check_boxes(image_format, body)
    try:
        with open_image(image_format, body) as image:
            size, factor = image.size, _reduction(image_format, image, max_pixels)
            orientation = exif_orientation(image.info.get("exif", b""))
            if factor == 1:
                return upright(_first_frame(image_format, image), orientation)
            if isinstance(image, Jpeg2KImagePlugin.Jpeg2KImageFile):
                # It holds the image at each half of its size.
                image.reduce = (factor - 1).bit_length()
                return upright(pillow_pixels(image), orientation, reduced_from=size)
            return upright(reduced_pixels(image, factor), orientation, reduced_from=size)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise pillow_error(image_format, body, error) from error


def open_image(image_format: Format, body: bytes) -> ImageFile.ImageFile:
    """The image with its headers read and no pixel decoded.

    :raises Exception: whatever the plugin raises; see :func:`pillow_error`.
    """
    return _PLUGINS[image_format](io.BytesIO(body))


def pillow_pixels(image: Image.Image) -> Pixels:
    """The pixels of an image of any mode, as stored."""
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        image = _unmarked_cmyk(image)
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        samples = np.asarray(image)
        return to_bgr(samples.astype(samples.dtype.newbyteorder("="), copy=False))
    if image.format == "PSD":
        # Its picture is put on white already; what looks like alpha may be a selection that somebody saved.
        image = image.convert("RGB")
    if image.has_transparency_data:
        return to_bgr(cv2.cvtColor(np.asarray(image.convert("RGBA")), cv2.COLOR_RGBA2BGRA))
    if image.mode in ("1", "L"):
        return to_bgr(np.asarray(image.convert("L")))
    return np.asarray(cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR), dtype=np.uint8)


def reduced_pixels(image: Image.Image, factor: int) -> Pixels:
    """:func:`pillow_pixels` at ``1 / factor`` of the width and height, without ever having all of them."""
    width, height = max(image.width // factor, 1), max(image.height // factor, 1)
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(_BAND_PIXELS // (image.width * factor), 1)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = image.crop((0, top * factor, image.width, min(bottom * factor, image.height)))
        pixels[top:bottom] = reduced(pillow_pixels(band), factor)
    return pixels


def bytes_a_pixel(image: Image.Image) -> int:
    """What a pixel takes in an image of Pillow's."""
    return 1 if image.mode in ("1", "L", "P") else 4


def pillow_error(image_format: Format, body: bytes, error: Exception) -> ImageError:
    """What an exception of a plugin says about the image; plugins raise nearly anything."""
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(ErrorCategory.TOO_MANY_PIXELS, str(error))
    # Decoders give numbers for what they meet in the data.
    reason = "its data are damaged" if str(error).startswith("decoder error") else error or type(error).__name__
    detail = f"the {image_format} of {len(body):,} bytes cannot be decoded: {reason}; get the file again, or convert it"
    early = isinstance(error, EOFError) or "truncated" in str(error).lower() or _lacks_end(image_format, body)
    return truncated(detail) if early else corrupt(detail)


def _reduction(image_format: Format, image: ImageFile.ImageFile, max_pixels: int) -> int:
    """How many times to reduce an image to keep within ``max_pixels``.

    :raises ImageError: ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    width, height = image.size
    if image_format in _BY_LINES:
        return reduction(width, height, max_pixels, most=BYTES_A_PIXEL / bytes_a_pixel(image))
    if image_format is Format.JPEG2000:
        return reduction(width, height, max_pixels, most=MOST_REDUCED)
    check_size(width, height, max_pixels)
    if image_format in _IN_PYTHON and width * height > _MOST_IN_PYTHON:
        raise ImageError(
            ErrorCategory.TOO_MANY_PIXELS,
            f"{width:,} x {height:,} pixels; of a {image_format}, which is slow to decode, at most {_MOST_IN_PYTHON:,} "
            "are read; convert it to PNG",
        )
    return 1


def _first_frame(image_format: Format, image: ImageFile.ImageFile) -> Pixels:
    """The pixels of the first frame that shows something, or of the one that shows most."""
    pixels = pillow_pixels(image)
    if image_format not in _ANIMATED or not getattr(image, "is_animated", False):
        return pixels
    best, most = pixels, ink(pixels)
    for number in range(1, _MOST_BLANK):
        if most >= LITTLE_INK:
            break
        try:
            image.seek(number)
        except EOFError:
            break
        pixels = pillow_pixels(image)
        if (share := ink(pixels)) > most:
            best, most = pixels, share
    return best


def _unmarked_cmyk(image: Image.Image) -> Image.Image:
    """A CMYK JPEG without Adobe's marker, which would say that its ink is stored inverted: as Pillow takes it to be.

    Browsers take it so too, and programs write both. Of the wrong one, paper is full of all inks: so the one with
    fewer black pixels it is.
    """
    ink = np.asarray(image.reduce(max(min(image.size) // 256, 1)), np.uint16)
    return ImageChops.invert(image) if _black(255 - ink) < _black(ink) else image


def _black(ink: Samples) -> int:
    """How many pixels have nearly all of the black ink, or more of all inks together than paper takes up."""
    return int(((ink[:, :, 3] > 230) | (ink.sum(axis=2) > 3.5 * 255)).sum())


def _lacks_end(image_format: Format, body: bytes) -> bool:
    """Whether a file that cannot be decoded stops before its end, where the format tells."""
    match image_format:
        case Format.GIF:
            return not body.rstrip(b"\0").endswith(b";")
        case Format.JPEG2000:
            # Coded data hold no end marker (ITU-T T.800, annex A).
            return b"\xff\xd9" not in body
        case Format.QOI:
            return not body.endswith(b"\0\0\0\0\0\0\0\1")
        case _:
            return False


def check_jpeg2000(body: bytes) -> None:
    """Refuse a JPEG 2000 that lost a part, as far as that shows before it is decoded.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``.
    """
    if not body.startswith(_CODESTREAM):
        check_boxes(Format.JPEG2000, body)
    if _lacks_end(Format.JPEG2000, body):
        raise truncated(f"the JPEG 2000 stops after {len(body):,} bytes, within its data; get the file again")


def check_boxes(image_format: Format, body: bytes) -> None:
    """Refuse an AVIF, HEIC or JPEG 2000 that lost a part: decoders make do with the rest.

    It is a sequence of boxes that state their size (ISO/IEC 14496-12, section 4.2).

    :raises ImageError: ``TRUNCATED``.
    """
    position = 0
    while position < len(body):
        size = int.from_bytes(body[position : position + 4])
        if size == 1:
            size = int.from_bytes(body[position + 8 : position + 16])
        if size < 8:
            # 0 is a box to the end of the file; the decoder judges anything else.
            return
        position += size
    if position > len(body):
        raise truncated(f"the {image_format} has {len(body):,} of {position:,} bytes; get the file again")
