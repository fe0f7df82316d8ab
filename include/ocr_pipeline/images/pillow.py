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
    ImageOps,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    WebPImagePlugin,
)

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.images.checks import check_size, corrupt, truncated
from ocr_pipeline.images.pixels import to_bgr
from ocr_pipeline.images.sniffing import Format
from ocr_pipeline.records import Pixels

_PLUGINS: dict[Format, type[ImageFile.ImageFile]] = {
    Format.JPEG: JpegImagePlugin.JpegImageFile,
    Format.PNG: PngImagePlugin.PngImageFile,
    Format.WEBP: WebPImagePlugin.WebPImageFile,
    Format.GIF: GifImagePlugin.GifImageFile,
    Format.BMP: BmpImagePlugin.BmpImageFile,
    Format.AVIF: AvifImagePlugin.AvifImageFile,
    Format.JPEG2000: Jpeg2KImagePlugin.Jpeg2KImageFile,
    Format.PNM: PpmImagePlugin.PpmImageFile,
}

_GIF_TRAILER = b";"

_MAX_BOXES = 1_000
"""Far above real files, which have about five; bounds the walk over hostile ones."""

# Plugins warn of odd metadata; what matters of it comes as an error.
warnings.filterwarnings("ignore", category=Warning, module=r"PIL\.")


def decode_with_pillow(image_format: Format, body: bytes, max_pixels: int, *, turn: bool = False) -> Pixels:
    """Decode the first frame of an image; with ``turn``, upright by the orientation that Pillow reports.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    try:
        with _PLUGINS[image_format](io.BytesIO(body)) as image:
            check_size(*image.size, max_pixels)
            image.load()
            return pillow_pixels(ImageOps.exif_transpose(image) if turn else image)
    except ImageError:
        raise
    except Exception as error:
        raise pillow_error(image_format, error) from error


def decode_cmyk_jpeg(body: bytes, max_pixels: int) -> Pixels:
    """Decode a CMYK JPEG without an Adobe marker, not turned upright.

    Adobe writes ink inverted, and decoders take every CMYK JPEG for one of Adobe's. Without the marker the
    file means what it says.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(body)) as image:
            check_size(*image.size, max_pixels)
            return pillow_pixels(ImageChops.invert(image))
    except ImageError:
        raise
    except Exception as error:
        raise pillow_error(Format.JPEG, error) from error


def decode_gif(body: bytes, max_pixels: int) -> Pixels:
    """Decode the first frame of a GIF.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    try:
        return decode_with_pillow(Format.GIF, body, max_pixels)
    except ImageError as error:
        if error.category is ErrorCategory.CORRUPT and not body.rstrip(b"\0").endswith(_GIF_TRAILER):
            raise truncated(f"the GIF stops after {len(body):,} bytes: {error.detail}") from error
        raise


def decode_pnm(body: bytes, max_pixels: int) -> Pixels:
    """Decode a portable bitmap, greymap or pixmap.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    return decode_with_pillow(Format.PNM, body, max_pixels)


def decode_avif(body: bytes, max_pixels: int) -> Pixels:
    """Decode the first frame of an AVIF.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    _check_boxes(Format.AVIF, body)
    return decode_with_pillow(Format.AVIF, body, max_pixels, turn=True)


def decode_jpeg2000(body: bytes, max_pixels: int) -> Pixels:
    """Decode a JPEG 2000, bare or in its box format.

    OpenJPEG decodes what there is of a truncated one, so its end marker is looked for. Coded data hold none
    (ITU-T T.800, annex A).

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    if body.startswith(b"\0\0"):
        _check_boxes(Format.JPEG2000, body)
    if body.rfind(b"\xff\xd9") < 0:
        raise truncated(f"the JPEG 2000's data stop after {len(body):,} bytes without an end marker")
    return decode_with_pillow(Format.JPEG2000, body, max_pixels, turn=True)


def pillow_error(image_format: Format, error: Exception) -> ImageError:
    """What an exception of a plugin says about the image; plugins raise nearly anything."""
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(ErrorCategory.TOO_MANY_PIXELS, str(error))
    detail = f"the {image_format} cannot be decoded: {error or type(error).__name__}"
    early = isinstance(error, EOFError) or "truncated" in str(error).lower()
    return truncated(detail) if early else corrupt(detail)


def pillow_pixels(image: Image.Image) -> Pixels:
    """The pixels of a loaded image of any mode."""
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        samples = np.asarray(image)
        return to_bgr(samples.astype(samples.dtype.newbyteorder("="), copy=False))
    if image.has_transparency_data:
        return to_bgr(cv2.cvtColor(np.asarray(image.convert("RGBA")), cv2.COLOR_RGBA2BGRA))
    if image.mode in ("1", "L"):
        return to_bgr(np.asarray(image.convert("L")))
    return np.asarray(cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR), dtype=np.uint8)


def _check_boxes(image_format: Format, body: bytes) -> None:
    """Refuse a file of boxes (ISO/IEC 14496-12, section 4.2) that ends within one.

    :raises ImageError: ``TRUNCATED``.
    """
    position = 0
    for _ in range(_MAX_BOXES):
        if position >= len(body):
            break
        size = int.from_bytes(body[position : position + 4])
        if size == 1:
            size = int.from_bytes(body[position + 8 : position + 16])
        if size < 8:
            # 0 is a box to the end of the file; the decoder judges anything else.
            return
        position += size
    if position > len(body):
        raise truncated(f"the {image_format} has {len(body):,} of {position:,} bytes")
