"""PNG, by OpenCV, which alone refuses data that do not fill the picture. Layout: W3C PNG, third edition.

Its libpng prints a line on stderr for a cut file and for many chunks that make no picture, and Pillow refuses a
file for text that is a bomb: so the chunks are walked here, and the decoder is given those that make the picture.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.images import opencv
from ocr_pipeline.images.checks import BYTES_A_PIXEL, check_size, corrupt, reduction
from ocr_pipeline.images.decoded import Decoded, upright
from ocr_pipeline.images.pillow import LITTLE_INK, decode_with_pillow
from ocr_pipeline.images.pixels import exif_orientation, ink, reduced, to_bgr
from ocr_pipeline.images.sniffing import Format

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PICTURE = frozenset([b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"])
_GREY, _COLOUR, _PALETTE = 0, 2, 3
_CHANNELS = {_GREY: 1, _COLOUR: 3, _PALETTE: 1, 4: 2, 6: 4}

_MAX_CHUNKS = 200_000
"""Far above real files (encoders cut their data into chunks of 8 kB and more); bounds the walk over hostile ones."""

_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Where the first pixel of each pass of an interlaced picture is, and how far apart its pixels are; across and down."""


@dataclass(frozen=True, slots=True)
class _Header:
    """What IHDR says."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @classmethod
    def of(cls, chunk: bytes) -> Self:
        width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", chunk, 8)
        return cls(width, height, depth, colour, bool(interlaced))

    @property
    def data_size(self) -> int:
        """Bytes of the picture once it is decompressed: each row with a byte in front."""
        passes = _PASSES if self.interlaced else ((0, 0, 1, 1),)
        bits = self.depth * _CHANNELS.get(self.colour, 0)
        size = 0
        for x, y, across, down in passes:
            columns, rows = math.ceil((self.width - x) / across), math.ceil((self.height - y) / down)
            if columns > 0 and rows > 0:
                size += rows * (1 + (columns * bits + 7) // 8)
        return size


def decode_png(body: bytes, max_pixels: int) -> Decoded:
    """Decode a PNG of any colour type and depth; of an animated one, the default image unless it is nearly blank.

    One that ends early is decoded where none of its pixels is missing.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    chunks = _chunks(body)
    kind, first = next(chunks)
    if kind != b"IHDR":
        raise corrupt("the PNG does not start with its header; get the file again")
    header = _Header.of(first)
    width, height = header.width, header.height
    _reduction(header, max_pixels)
    orientation, transparent, animated = 1, None, False
    picture = [SIGNATURE, first]
    try:
        for kind, chunk in chunks:
            if kind in _PICTURE:
                picture.append(chunk)
            if kind == b"eXIf":
                orientation = exif_orientation(chunk[8:-4])
            elif kind == b"tRNS":
                transparent = chunk[8:-4]
            elif kind == b"acTL":
                animated = True
    except _CutError as cut:
        picture[2:] = _completed(picture[2:], cut, header)
    alone = b"".join(picture)
    if width * height > max_pixels or not opencv.can_hold(width, height):
        return _decode_large(alone, header, transparent, orientation, max_pixels)
    samples = opencv.decode(alone)
    if samples is None:
        raise corrupt("the PNG's image data cannot be decompressed to its size; get the file again")
    if transparent is not None and samples.ndim == 2:
        # OpenCV makes alpha of a transparent colour, but not of a transparent grey. It spreads 1, 2 and 4 bits over 8.
        grey = int.from_bytes(transparent[:2])
        key = grey if header.depth >= 8 else grey * 255 // ((1 << header.depth) - 1)
        opaque = np.iinfo(samples.dtype).max
        samples = np.dstack([samples, np.where(samples == key, 0, opaque).astype(samples.dtype)])
    pixels = to_bgr(samples)
    if animated and ink(pixels) < LITTLE_INK:
        return decode_with_pillow(Format.PNG, body, max_pixels)
    return upright(pixels, orientation)


def _decode_large(
    body: bytes, header: _Header, transparent: bytes | None, orientation: int, max_pixels: int
) -> Decoded:
    """Decode what is too large for ``max_pixels`` or for OpenCV, to grey if need be.

    :raises ImageError: ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    if transparent is not None or not opencv.can_hold(header.width, header.height):
        check_size(header.width, header.height, max_pixels)
        return upright(decode_with_pillow(Format.PNG, body, max_pixels).pixels, orientation)
    grey = opencv.decode(body, grey=True)
    if grey is None:
        raise corrupt("the PNG's image data cannot be decompressed to its size; get the file again")
    factor = _reduction(header, max_pixels)
    return upright(to_bgr(reduced(grey, factor)), orientation, reduced_from=(header.width, header.height))


def _reduction(header: _Header, max_pixels: int) -> int:
    """How many times to reduce the picture: as grey, which it is then decoded to, a pixel is a byte.

    :raises ImageError: ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    # What has alpha, or may be dark in its upper 8 bits, needs all of its samples.
    plain = header.depth <= 8 and header.colour in (_GREY, _COLOUR, _PALETTE)
    return reduction(header.width, header.height, max_pixels, most=BYTES_A_PIXEL if plain else 1)


def _chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and bytes (length and checksum included) of each chunk to the last.

    :raises _CutError: where the file ends before.
    :raises ImageError: ``CORRUPT``.
    """
    position = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        kind = body[position + 4 : position + 8]
        end = position + 12 + int.from_bytes(body[position : position + 4])
        if len(kind) == 4 and not kind.isalpha():
            raise corrupt(f"the PNG has no chunk at byte {position:,}; get the file again")
        if end > len(body):
            detail = f"the PNG stops after {len(body):,} bytes; its chunk at {position:,} ends at {end:,}"
            raise _CutError(f"{detail}; get the file again", kind, body[position + 8 :])
        chunk = body[position:end]
        if kind in _PICTURE and zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
            raise corrupt(
                f"the PNG chunk {kind.decode()} at byte {position:,} has a wrong checksum; get the file again"
            )
        yield kind, chunk
        if kind == b"IEND":
            return
        position = end
    raise corrupt(f"the PNG has more than {_MAX_CHUNKS:,} chunks")


class _CutError(ImageError):
    """The file ends within a chunk, of which there is this much, or where a chunk should be."""

    def __init__(self, detail: str, kind: bytes, data: bytes) -> None:
        super().__init__(ErrorCategory.TRUNCATED, detail)
        self.kind = kind
        self.data = data


def _completed(chunks: list[bytes], cut: _CutError, header: _Header) -> list[bytes]:
    """The chunks of a picture that ends early and lacks no pixel, with an end.

    :raises ImageError: ``TRUNCATED`` where it does lack some.
    """
    compressed = b"".join(chunk[8:-4] for chunk in chunks if chunk[4:8] == b"IDAT")
    if cut.kind == b"IDAT":
        # Its checksum may be cut too, which then looks like data.
        compressed += cut.data
    try:
        # Not a byte more than the picture has is unpacked.
        data = zlib.decompressobj().decompress(compressed, header.data_size)
    except zlib.error:
        raise cut from None
    if len(data) < header.data_size:
        raise cut
    return [
        *(chunk for chunk in chunks if chunk[4:8] != b"IDAT"),
        _chunk(b"IDAT", zlib.compress(data, 1)),
        _chunk(b"IEND", b""),
    ]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
