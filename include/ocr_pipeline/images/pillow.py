"""Pillow's decoders, for what OpenCV does not read or gets wrong.

The plugin of a format is opened directly: ``Image.open`` would guess the format again, and would apply
Pillow's own pixel limit, which is one for the whole process.
"""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageChops,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    WebPImagePlugin,
)
from PIL.TiffImagePlugin import TiffImageFile

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.images.checks import check_size, corrupt, truncated
from ocr_pipeline.images.pixels import exif_orientation, to_bgr, turn_upright
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
}

# Plugins warn of odd metadata; what matters of it comes as an error.
warnings.filterwarnings("ignore", category=Warning, module=r"PIL\.")


def decode_with_pillow(image_format: Format, body: bytes, max_pixels: int) -> Pixels:
    """Decode the first frame of an image, upright.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    if body.startswith(b"\0\0"):
        _check_boxes(image_format, body)
    try:
        with open_image(image_format, body) as image:
            check_size(*image.size, max_pixels)
            return turn_upright(pillow_pixels(image), exif_orientation(image.info.get("exif", b"")))
    except ImageError:
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
        # Adobe writes ink inverted, and decoders take every JPEG for one of Adobe's. This one means what it says.
        image = ImageChops.invert(image)
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        samples = np.asarray(image)
        return to_bgr(samples.astype(samples.dtype.newbyteorder("="), copy=False))
    if image.has_transparency_data:
        return to_bgr(cv2.cvtColor(np.asarray(image.convert("RGBA")), cv2.COLOR_RGBA2BGRA))
    if image.mode in ("1", "L"):
        return to_bgr(np.asarray(image.convert("L")))
    return np.asarray(cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR), dtype=np.uint8)


def pillow_error(image_format: Format, body: bytes, error: Exception) -> ImageError:
    """What an exception of a plugin says about the image; plugins raise nearly anything."""
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(ErrorCategory.TOO_MANY_PIXELS, str(error))
    detail = f"the {image_format} of {len(body):,} bytes cannot be decoded: {error or type(error).__name__}"
    early = isinstance(error, EOFError) or "truncated" in str(error).lower() or _lacks_end(image_format, body)
    return truncated(detail) if early else corrupt(detail)


def _lacks_end(image_format: Format, body: bytes) -> bool:
    """Whether a file that cannot be decoded stops before its end, where the format tells."""
    match image_format:
        case Format.GIF:
            return not body.rstrip(b"\0").endswith(b";")
        case Format.JPEG2000:
            # Coded data hold no end marker (ITU-T T.800, annex A).
            return b"\xff\xd9" not in body
        case _:
            return False


def _check_boxes(image_format: Format, body: bytes) -> None:
    """Refuse an AVIF or JPEG 2000 that lost a part: decoders make do with the rest.

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
        raise truncated(f"the {image_format} has {len(body):,} of {position:,} bytes")
