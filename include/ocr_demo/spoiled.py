"""The dataset's bad entries: bodies that are not whole images, and links that lead nowhere."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw

from ocr_demo.fonts import Face
from ocr_pipeline.errors import ErrorCategory

BOMB_SIDE = 30_000
"""Pixels to a side of the decompression bomb: 900 million pixels from a file of some 100 kB."""

HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Please sign in</h1></body></html>\n"


@dataclass(frozen=True, slots=True)
class BadEntry:
    """A row whose image cannot be had.

    ``link`` stands in the image column, with ``{base}`` for the server's address; ``expected`` is the error
    that the results must show.
    """

    kind: str
    link: str
    expected: ErrorCategory


BAD_ENTRIES = (
    BadEntry("missing", "{base}/missing/receipt-0417.jpg", ErrorCategory.NOT_FOUND),
    BadEntry("gone", "{base}/gone/label-0093.png", ErrorCategory.NOT_FOUND),
    BadEntry("private", "{base}/private/invoice-0005.jpg", ErrorCategory.HTTP_REFUSED),
    BadEntry("broken", "{base}/broken/ticket-0260.jpg", ErrorCategory.HTTP_SERVER_ERROR),
    BadEntry("slow", "{base}/slow/sign-0031.jpg", ErrorCategory.TIMEOUT),
    BadEntry("cut-off", "{base}/cut-off/menu-0008.jpg", ErrorCategory.CONNECTION_LOST),
    BadEntry("loop", "{base}/loop/form-0112.jpg", ErrorCategory.TOO_MANY_REDIRECTS),
    BadEntry("truncated", "{base}/spoiled/truncated.jpg", ErrorCategory.TRUNCATED),
    BadEntry("html", "{base}/spoiled/html.jpg", ErrorCategory.NOT_AN_IMAGE),
    BadEntry("empty", "{base}/spoiled/empty.png", ErrorCategory.EMPTY_BODY),
    BadEntry("bomb", "{base}/spoiled/bomb.png", ErrorCategory.TOO_MANY_PIXELS),
    BadEntry("no-host", "https:///photos/sign-0077.jpg", ErrorCategory.INVALID_LINK),
    BadEntry("open-bracket", "http://[2001:db8::7/label-0002.jpg", ErrorCategory.INVALID_LINK),
    BadEntry("ftp", "ftp://files.example.com/scans/page-0019.tif", ErrorCategory.INVALID_LINK),
    BadEntry("empty-cell", "", ErrorCategory.MISSING_LINK),
    BadEntry("metadata", "http://169.254.169.254/latest/meta-data/", ErrorCategory.FORBIDDEN_ADDRESS),
)


def bodies() -> dict[str, bytes]:
    """What the server answers under ``/spoiled/``, by file name."""
    return {"truncated.jpg": _truncated_jpeg(), "html.jpg": HTML, "empty.png": b"", "bomb.png": bomb(BOMB_SIDE)}


def _truncated_jpeg() -> bytes:
    """A photo-like JPEG that ends after 60 % of its bytes, as after a broken upload."""
    grain = np.random.default_rng(0).normal(190, 24, (420, 640)).clip(0, 255)
    image = Image.fromarray(grain.astype(np.uint8)).convert("RGB")
    ImageDraw.Draw(image).text((60, 170), "HALF AN IMAGE", font=Face.SANS_BOLD.at(64), fill=(20, 20, 60))
    stream = BytesIO()
    image.save(stream, "JPEG", quality=85)
    return stream.getvalue()[: stream.tell() * 6 // 10]


def bomb(side: int) -> bytes:
    """A valid black 1-bit PNG of ``side`` x ``side`` pixels, written without ever holding its pixels."""
    row = b"\0" * (1 + (side + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    """A PNG chunk: length, name, content and their CRC (PNG specification, section 5.3)."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
