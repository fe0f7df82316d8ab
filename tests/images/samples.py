"""Images drawn in memory for the tests, and files that no encoder at hand writes."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

ORIENTATION = 0x0112
"""EXIF's tag for how the camera was held."""

STORED_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright picture is stored under each orientation (EXIF 2.32)."""

RED, GREEN, BLUE, YELLOW = (200, 30, 20), (20, 180, 40), (30, 60, 190), (230, 210, 40)


def quarters(width: int = 96, height: int = 64) -> Image.Image:
    """An RGB image of four colours, red, green, blue, yellow in reading order: no turn of it equals another."""
    image = Image.new("RGB", (width, height), RED)
    draw = ImageDraw.Draw(image)
    draw.rectangle((width // 2, 0, width, height // 2 - 1), fill=GREEN)
    draw.rectangle((0, height // 2, width // 2 - 1, height), fill=BLUE)
    draw.rectangle((width // 2, height // 2, width, height), fill=YELLOW)
    return image


def textured(width: int = 96, height: int = 64, seed: int = 1) -> Image.Image:
    """An RGB image with detail everywhere, so that no part of its file can be left out."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, image_format: str, **options: Any) -> bytes:
    """The file that Pillow writes."""
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(header: bytes, data: bytes, *others: bytes) -> bytes:
    """A PNG of an IHDR, other chunks, and one IDAT with ``data`` compressed."""
    chunks = [png_chunk(b"IHDR", header), *others, png_chunk(b"IDAT", zlib.compress(data)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff_bytes(
    samples: npt.NDArray[Any],
    *,
    orientation: int = 1,
    photometric: int | None = None,
    size: tuple[int, int] | None = None,
    extra_samples: int | None = None,
    compression: int = 1,
    directory_first: bool = False,
) -> bytes:
    """An uncompressed TIFF of samples of any depth; ``size`` lies about width and height, ``compression`` about that.

    ``extra_samples`` is what a sample beyond the colour means; 2, alpha, where there are 2 or 4.
    """
    height, width = samples.shape[:2]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    data = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    bits = [samples.itemsize * 8] * channels
    longs = {256: (size or (width, height))[0], 257: (size or (width, height))[1], 273: 0, 278: height, 279: len(data)}
    shorts = {
        259: compression,
        262: photometric if photometric is not None else (1 if channels < 3 else 2),
        274: orientation,
        277: channels,
        284: 1,
        339: {"f": 3, "i": 2}.get(samples.dtype.kind, 1),
    }
    if channels in (2, 4) and photometric is None:
        extra_samples = 2
    if extra_samples is not None:
        shorts[338] = extra_samples
    directory_size = 2 + 12 * (len(longs) + len(shorts) + 1) + 4
    directory_at = 8 if directory_first else 8 + len(data) + 8
    longs[273] = 8 + directory_size + 8 if directory_first else 8
    bits_at = 8 + directory_size if directory_first else 8 + len(data)
    entries = {tag: struct.pack("<HHII", tag, 4, 1, value) for tag, value in longs.items()}
    entries |= {tag: struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in shorts.items()}
    if channels <= 2:
        entries[258] = struct.pack("<HHI2H", 258, 3, channels, *[*bits, 0][:2])
    else:
        entries[258] = struct.pack("<HHII", 258, 3, channels, bits_at)
    directory = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    values = struct.pack("<8s", struct.pack(f"<{channels}H", *bits))
    parts = [directory, values, data] if directory_first else [data, values, directory]
    return b"II*\0" + struct.pack("<I", directory_at) + b"".join(parts)


def planar_tiff(samples: npt.NDArray[Any], orientation: int = 1) -> bytes:
    """An uncompressed TIFF of samples of shape (height, width, channels) that keeps each channel for itself."""
    height, width, channels = samples.shape
    planes = np.moveaxis(samples, 2, 0).astype(samples.dtype.newbyteorder("<")).tobytes()
    size = len(planes) // channels
    kind = {"f": 3, "i": 2}.get(samples.dtype.kind, 1)
    values = {
        256: [width],
        257: [height],
        258: [samples.itemsize * 8] * channels,
        259: [1],
        262: [1 if channels < 3 else 2],
        273: [8 + number * size for number in range(channels)],
        274: [orientation],
        277: [channels],
        278: [height],
        279: [size] * channels,
        284: [2],
        339: [kind] * channels,
    }
    if channels in (2, 4):
        values[338] = [2]
    at = 8 + len(planes)
    behind = at + 2 + 12 * len(values) + 4
    directory, long = struct.pack("<H", len(values)), b""
    for tag, numbers in sorted(values.items()):
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        where = packed if len(numbers) == 1 else struct.pack("<I", behind + len(long))
        long += packed if len(numbers) > 1 else b""
        directory += struct.pack("<HHI", tag, 4, len(numbers)) + where
    return b"II*\0" + struct.pack("<I", at) + planes + directory + bytes(4) + long


def pdf_bytes(objects: list[bytes]) -> bytes:
    """A PDF of numbered objects, the first of which is its catalogue."""
    body, offsets = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n" % number + content + b"\nendobj\n"
    entries = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return body + (
        b"xref\n0 %d\n0000000000 65535 f \n" % size
        + entries
        + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(body))
    )


def every_format() -> dict[str, bytes]:
    """A whole file of every format and of the kinds within it that take another path through a decoder."""
    image = textured()
    alpha = image.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(image.size))
    grey = image.convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = {"save_all": True, "append_images": [textured(seed=2), textured(seed=3)]}
    wide = np.asarray(image).astype(np.uint16) * 257
    return {
        "jpeg": encode(image, "JPEG", quality=85, exif=exif),
        "jpeg-progressive": encode(image, "JPEG", progressive=True),
        "jpeg-grey": encode(grey, "JPEG"),
        "jpeg-cmyk": encode(image.convert("CMYK"), "JPEG"),
        "jpeg-restarts": encode(image, "JPEG", restart_marker_blocks=4),
        "png": encode(image, "PNG", exif=exif),
        "png-alpha": encode(alpha, "PNG"),
        "png-palette": encode(image.convert("P"), "PNG", transparency=3),
        "png-16": encode(Image.fromarray(wide[:, :, 0]), "PNG"),
        "webp": encode(image, "WEBP", exif=exif),
        "webp-lossless": encode(alpha, "WEBP", lossless=True),
        "webp-animated": encode(image, "WEBP", **frames),
        "gif": encode(image.convert("P"), "GIF", transparency=3),
        "gif-animated": encode(image, "GIF", **frames),
        "bmp": encode(image, "BMP"),
        "bmp-palette": encode(image.convert("P"), "BMP"),
        "tiff": encode(image, "TIFF"),
        "tiff-lzw": encode(image, "TIFF", compression="tiff_lzw", **frames),
        "tiff-deflate": encode(alpha, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-jpeg": encode(image, "TIFF", compression="jpeg"),
        "tiff-fax": encode(image.convert("1"), "TIFF", compression="group4"),
        "tiff-deep": tiff_bytes(wide),
        "tiff-directory-first": tiff_bytes(wide.astype(np.float32) / 65535, directory_first=True),
        "tiff-float": tiff_bytes(np.asarray(grey).astype(np.float32) / 255),
        "avif": encode(image, "AVIF"),
        "jpeg2000": encode(image, "JPEG2000"),
        "pnm": encode(image, "PPM"),
        "pdf": encode(image, "PDF", resolution=200.0, **frames),
    }
