"""PNG: its chunks, whether they are whole, and its pixels. Layout: W3C PNG, third edition."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from ocr_pipeline.images import opencv
from ocr_pipeline.images.checks import check_size, corrupt, truncated
from ocr_pipeline.images.pillow import decode_with_pillow
from ocr_pipeline.images.pixels import Samples, exif_orientation, to_bgr, turn_upright
from ocr_pipeline.images.sniffing import Format
from ocr_pipeline.records import Pixels

_SIGNATURE = 8
_NEEDED = frozenset([b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"])
_GREY, _RGB, _PALETTE = 0, 2, 3

_MAX_CHUNKS = 200_000
"""Far above real files (encoders cut their data into chunks of 8 kB and more); bounds the walk."""


@dataclass(frozen=True, slots=True)
class PngContents:
    """What the chunks say. ``transparency`` is the payload of tRNS, ``image`` the file without what is no picture."""

    width: int
    height: int
    depth: int
    colour: int
    transparency: bytes | None
    orientation: int
    image: bytes


def decode_png(body: bytes, max_pixels: int) -> Pixels:
    """Decode a PNG of any colour type and depth; of an animated one, the default image.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    if len(body) < _SIGNATURE + 25:
        raise truncated(f"the PNG stops after {len(body):,} bytes, within its header")
    check_size(int.from_bytes(body[16:20]), int.from_bytes(body[20:24]), max_pixels)
    png = read_png(body)
    if not opencv.can_hold(png.width, png.height):
        return turn_upright(decode_with_pillow(Format.PNG, png.image, max_pixels), png.orientation)
    plain = png.depth <= 8 and png.colour in (_GREY, _RGB, _PALETTE) and png.transparency is None
    samples = opencv.decode(png.image, opencv.COLOR if plain else opencv.UNCHANGED)
    if samples is None or samples.shape[:2] != (png.height, png.width):
        # Not left to Pillow, which fills missing rows with black.
        raise corrupt("the PNG's image data cannot be decompressed to its size")
    if png.transparency is not None and png.colour in (_GREY, _RGB):
        samples = _apply_colour_key(samples, png)
    return turn_upright(to_bgr(samples), png.orientation)


def _apply_colour_key(samples: Samples, png: PngContents) -> Samples:
    """Add the alpha channel that the one transparent colour of a file (chunk tRNS) stands for; OpenCV does not."""
    channels = 1 if png.colour == _GREY else 3
    if png.transparency is None or len(png.transparency) < 2 * channels or samples[0, 0].size != channels:
        return samples
    key = np.frombuffer(png.transparency, ">u2", channels)[::-1].astype(np.int64)
    if png.depth < 8:
        # OpenCV spreads 1, 2 and 4 bits over 8.
        key = key * 255 // ((1 << png.depth) - 1)
    colours = samples.reshape(png.height, png.width, channels)
    opaque = np.iinfo(samples.dtype).max * (colours != key).any(axis=2, keepdims=True)
    return np.concatenate([colours, opaque.astype(samples.dtype)], axis=2)


def read_png(body: bytes) -> PngContents:
    """Walk the chunks to the end, checking that they are whole.

    Chunks that do not make the picture are left out: libpng prints warnings about many of them (a colour
    profile that it does not like, above all), and text chunks may be bombs.

    :raises ImageError: ``TRUNCATED`` or ``CORRUPT``.
    """
    view = memoryview(body)
    kept = [view[:_SIGNATURE]]
    orientation = 1
    transparency: bytes | None = None
    position = _SIGNATURE
    for _ in range(_MAX_CHUNKS):
        length = int.from_bytes(body[position : position + 4])
        kind = body[position + 4 : position + 8]
        end = position + 12 + length
        if len(kind) == 4 and not kind.isalpha():
            raise corrupt(f"the PNG has no chunk at byte {position:,}")
        if end > len(body):
            raise truncated(f"the PNG stops after {len(body):,} bytes; its chunk at {position:,} ends at {end:,}")
        if kind in _NEEDED:
            if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(body[end - 4 : end]):
                raise corrupt(f"the PNG chunk {kind.decode()} at byte {position:,} has a wrong checksum")
            kept.append(view[position:end])
            if kind == b"tRNS":
                transparency = body[position + 8 : end - 4]
        elif kind == b"eXIf":
            orientation = exif_orientation(body[position + 8 : end - 4])
        position = end
        if kind == b"IEND":
            break
    else:
        raise corrupt(f"the PNG has more than {_MAX_CHUNKS:,} chunks")
    return PngContents(
        width=int.from_bytes(body[16:20]),
        height=int.from_bytes(body[20:24]),
        depth=body[24],
        colour=body[25],
        transparency=transparency,
        orientation=orientation,
        image=body if sum(map(len, kept)) == len(body) else b"".join(kept),
    )
