"""JPEG, by libjpeg-turbo. Layout of its segments: ITU-T T.81, annex B.

Libraries decode a truncated JPEG without complaint and fill the rest with grey. To libjpeg that is worth a warning,
and here a warning is an error. It stops at the first: so a picture that it refuses is decoded again with a head put in
order, of which it has nothing to say, and what is wrong with the data shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import simplejpeg

from ocr_pipeline.errors import WarningCategory
from ocr_pipeline.images.checks import MOST_REDUCED, corrupt, reduction, truncated
from ocr_pipeline.images.decoded import Decoded, upright
from ocr_pipeline.images.pillow import decode_with_pillow
from ocr_pipeline.images.pixels import exif_orientation, to_bgr
from ocr_pipeline.images.sniffing import Format
from ocr_pipeline.records import PageWarning

_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_START = b"\xff\xd8"
_END = b"\xff\xd9"
_SCAN = b"\xff\xda"
_LINES = re.compile(rb"\xff\xdc\x00\x04(..)", re.DOTALL)
"""What states, behind the first scan, the height of a picture whose head says 0."""

_BARE = frozenset([0x01, *range(0xD0, 0xD9)])
_SEQUENTIAL = frozenset([0xC0, 0xC1])
_LOSSLESS, _JPEG_LS = 0xC3, 0xF7
_HIERARCHICAL = frozenset([0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF])
_FRAMES = frozenset([*range(0xC0, 0xD0), _JPEG_LS]) - {0xC4, 0xC8, 0xCC}
_TABLES = frozenset([0xC4, 0xCC, 0xDB, 0xDD])
_JFIF, _EXIF, _ADOBE = 0xE0, 0xE1, 0xEE

_MAX_SEGMENTS = 10_000
"""Far above real files (a colour profile takes at most 255); bounds the walk over hostile ones."""

_MAX_SCANS = 200
"""Progressive files have about 10. Each costs a pass over the whole image, so a small file could take hours."""

_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_MOST_LEFT_OVER = 64
"""Bytes that some cameras leave behind the picture; damage to it may leave as many. More are a part of it."""

_HOLE = bytes(512)
"""A sector that was never written."""

_ODD_SAMPLING = "subsampling"

_FEWEST_LINE_FEEDS = 16
"""Of so many, chance puts a carriage return before each in no file."""


@dataclass(frozen=True, slots=True)
class _Head:
    """What stands before the coded data, which begin at ``end``.

    ``clean`` is what the picture needs of it, without anything that libjpeg warns of.
    """

    clean: bytes
    end: int
    orientation: int
    frame: int = 0
    precision: int = 8
    one_scan: bool = False


def decode_jpeg(body: bytes, max_pixels: int) -> Decoded:
    """Decode a JPEG, CMYK included; one that may be damaged has the warning ``DAMAGED``.

    One of a single scan that has too many pixels is decoded at a half, a quarter or an eighth of its size, for which
    libjpeg holds some of its lines only; of several scans, it would hold all coefficients.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    return _decode(body, partial(_whole, max_pixels=max_pixels))


def check_jpeg(body: bytes, max_pixels: int) -> tuple[PageWarning, ...]:
    """As :func:`decode_jpeg`, of a JPEG that something else decodes: a tenth of the work.

    :raises ImageError: ``TRUNCATED``, ``CORRUPT`` or ``TOO_MANY_PIXELS``.
    """
    return _decode(body, partial(_smallest, max_pixels=max_pixels)).warnings


def _decode(body: bytes, decode: Callable[[bytes, _Head, bool], Decoded]) -> Decoded:
    """What ``decode`` makes of a JPEG; it raises ``ValueError`` where it is asked to be strict and libjpeg warns."""
    head = _read_head(body)
    _check_kind(head)
    if not head.one_scan and body.count(_SCAN, head.end) >= _MAX_SCANS:
        raise corrupt(f"the JPEG has more than {_MAX_SCANS} scans, which would take hours; save it as a baseline JPEG")
    ended = body.find(_END, head.end) >= 0
    if not ended and head.one_scan:
        # Some cameras leave the marker out. Where a bit of the only scan is missing too, libjpeg warns all the same; of
        # several scans, one could be missing unseen. Padding would be taken for data.
        body = body.rstrip(b"\0\xff") + _END
    try:
        return decode(body, head, True)
    except ValueError:
        in_order = head.clean + body[head.end :]
    try:
        return decode(in_order, head, True)
    except ValueError as error:
        if not ended:
            raise truncated(f"the JPEG stops after {len(body):,} bytes ({error}); get the file again") from error
        if _was_sent_as_text(body):
            raise corrupt("the JPEG was sent as text, which damaged it; get the file again, as binary data") from error
        left_over = _LEFT_OVER.search(str(error))
        if left_over and int(left_over[1]) <= _MOST_LEFT_OVER and _HOLE not in body[head.end :]:
            doubt = f"the JPEG has {left_over[1]} bytes behind its picture, so a part of that may be damaged"
        elif _ODD_SAMPLING in str(error):
            doubt = "the JPEG samples its colours in a rare way, in which damage cannot be told"
        else:
            raise corrupt(f"the JPEG is damaged ({error}); get the file again") from error
    return replace(decode(in_order, head, False), warnings=(PageWarning(WarningCategory.DAMAGED, doubt),))


def _whole(body: bytes, head: _Head, strict: bool, *, max_pixels: int) -> Decoded:
    """The picture at its size, or reduced to fit."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(body, strict=strict)
    except ValueError:
        if strict:
            raise
        return decode_with_pillow(Format.JPEG, body, max_pixels)
    coarse = head.one_scan and colours != "CMYK"
    if reduction(width, height, max_pixels, most=MOST_REDUCED if coarse else 1) > 1:
        pixels = simplejpeg.decode_jpeg(body, "BGR", strict=strict, **_reduced_size(width, height, max_pixels))
        return upright(pixels, head.orientation, reduced_from=(width, height))
    if head.frame == _LOSSLESS and colours == "Gray":
        # Libjpeg converts no colours there.
        return upright(to_bgr(simplejpeg.decode_jpeg(body, "GRAY", strict=strict)), head.orientation)
    pixels = simplejpeg.decode_jpeg(body, "BGR", strict=strict)
    if colours == "CMYK":
        # Libjpeg does not tell whether it is inverted.
        return decode_with_pillow(Format.JPEG, body, max_pixels)
    return upright(pixels, head.orientation)


def _smallest(body: bytes, head: _Head, strict: bool, *, max_pixels: int) -> Decoded:
    """The picture at an eighth of its size, for which all of its data are read; nothing where that is not strict."""
    if not strict:
        return Decoded(np.empty((0, 0, 3), np.uint8))
    height, width, colours, _ = simplejpeg.decode_jpeg_header(body)
    reduction(width, height, max_pixels, most=MOST_REDUCED if head.one_scan else 1)
    colours = "GRAY" if head.frame == _LOSSLESS and colours == "Gray" else "BGR"
    return Decoded(simplejpeg.decode_jpeg(body, colours, min_width=1, min_height=1))


def _reduced_size(width: int, height: int, max_pixels: int) -> dict[str, int]:
    """The size to ask libjpeg for: it takes the smallest of its scales that is no smaller, and rounds up."""
    sizes = [(-(-width // scale), -(-height // scale)) for scale in (2, 4, 8)]
    width, height = next((size for size in sizes if size[0] * size[1] <= max_pixels), sizes[-1])
    return {"min_width": width, "min_height": height}


def _check_kind(head: _Head) -> None:
    """Refuse a JPEG of a kind that nothing here reads, by name: it is not damaged.

    :raises ImageError: ``CORRUPT``.
    """
    if head.frame == _JPEG_LS:
        kind = "a JPEG-LS"
    elif head.frame in _HIERARCHICAL:
        kind = "a hierarchical JPEG"
    elif head.frame and head.precision != 8:
        kind = f"a JPEG of {head.precision} bits a sample"
    else:
        return
    raise corrupt(f"the image is {kind}, which is not read; convert it to a JPEG of 8 bits, or to PNG")


def _was_sent_as_text(body: bytes) -> bool:
    """Whether each line feed has a carriage return in front, as programs put there that take the data for text."""
    line_feeds = body.count(b"\n")
    return line_feeds >= _FEWEST_LINE_FEEDS and line_feeds == body.count(b"\r\n")


def _read_head(body: bytes) -> _Head:
    """Walk the segments up to the first scan, or as far as they go: what is wrong with them, libjpeg says.

    :raises ImageError: ``CORRUPT`` for segments without end.
    """
    orientation, frame, precision, components, adobe = 1, 0, 8, 0, b""
    position, end, clean = 2, len(body), [_START]
    for _ in range(_MAX_SEGMENTS):
        match = _MARKER.search(body, position)
        if match is None:
            return _Head(b"".join(clean), end, orientation, frame, precision)
        marker, position = match[1][0], match.end()
        if match[1] == _END[1:]:
            # Of a thumbnail, where the segment that holds it says too little.
            end = min(end, match.start())
            continue
        if marker in _BARE:
            continue
        length = int.from_bytes(body[position : position + 2])
        payload = body[position + 2 : position + length]
        if marker in _FRAMES and len(payload) >= 6:
            frame, precision, components = marker, payload[0], payload[5]
            lines = None if any(payload[1:3]) else _LINES.search(body, position)
            clean.append(_segment(marker, payload[:1] + lines[1] + payload[3:] if lines else payload))
        elif marker == _SCAN[1]:
            one_scan = frame in _SEQUENTIAL | {_LOSSLESS} and payload[:1] == bytes([components])
            if frame in _SEQUENTIAL:
                payload = payload[:-3] + b"\0\x3f\0"
            if adobe:
                # What libjpeg takes an unknown transformation of colours for.
                meant = adobe[11] and (2 if components == 4 else 1)
                clean.append(_segment(_ADOBE, adobe[:11] + bytes([meant]) + adobe[12:]))
            clean.append(_segment(marker, payload))
            # The data begin behind this segment, whose own bytes hold no marker.
            return _Head(b"".join(clean), position + length, orientation, frame, precision, one_scan)
        elif marker in _TABLES:
            clean.append(_segment(marker, payload))
        elif marker == _JFIF and payload.startswith(b"JFIF\0"):
            clean.append(_segment(marker, payload[:5] + b"\1" + payload[6:]))
        elif marker == _ADOBE and payload.startswith(b"Adobe") and len(payload) >= 12:
            adobe = payload
        elif marker == _EXIF and payload.startswith(b"Exif\0\0"):
            orientation = exif_orientation(payload)
            clean.append(_segment(marker, payload))
        position += length
    raise corrupt(f"the JPEG has more than {_MAX_SEGMENTS:,} segments before its image data")


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2) + payload
