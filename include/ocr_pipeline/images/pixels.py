"""From whatever samples a decoder gives to BGR uint8: bit depth, channels, transparency, orientation."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from ocr_pipeline.records import Pixels

Samples = npt.NDArray[Any]
"""Decoded samples of any depth: (height, width) grey, or (height, width, 1 to 4) grey, BGR, or with alpha last."""

WHITE, DARK = 255, 32
"""Grey levels of the backgrounds for transparent images. Not black: detection was trained on photographs."""

FAINT = 16
"""Contrast, of 255, that noise and a picture that only begins to be faded in have: no text is to be read there."""

_GREYS = (128, 96, 160, 64, 192)
"""Backgrounds for ink that is light and dark, on which a part of it would vanish on white and another on dark."""

_HIDDEN = 48
"""Ink that is nearer to its background, of 255, is hardly to be read."""

_MOST_SEEN = 0.95
"""Share of the ink that stands out from a background that will do."""

_LIGHT_INK = 160
"""Mean grey level from which ink is light. Above the middle, so that what suits both stays on white."""


def to_bgr(samples: Samples) -> Pixels:
    """Samples as the pipeline wants them: BGR uint8, shape (height, width, 3), C-contiguous.

    The last channel of 2 or 4 is alpha (not premultiplied) and is composited away.
    """
    if samples.ndim == 2:
        samples = samples[:, :, np.newaxis]
    channels = samples.shape[2]
    if channels in (2, 4):
        # Colour and alpha are scaled apart: 12-bit colour often comes with 16-bit alpha.
        alpha = np.ascontiguousarray(_to_8_bit(samples[:, :, -1], full_range=True))
        return _composite(_to_three_channels(_to_8_bit(samples[:, :, :-1])), alpha)
    return _to_three_channels(_to_8_bit(samples))


def _to_three_channels(samples: Pixels) -> Pixels:
    if samples.shape[2] == 1:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(samples), cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    return np.ascontiguousarray(samples[:, :, :3])


def _to_8_bit(samples: Samples, *, full_range: bool = False) -> Pixels:
    """Scale samples of any depth to 0 to 255.

    Integers are scaled by the bits that the largest sample needs, because scanners and cameras store 10, 12
    or 14 bits in 16 and the full range would turn those black; ``full_range`` scales by the type's range.
    Floats are 0 to 1 by convention (a little more is a highlight), else 0 to 255, else scaled by their
    maximum; negative is black. Integers below 0 begin with their smallest, those of 8 bits with -128.
    """
    if samples.dtype == np.int8:
        return samples.view(np.uint8) ^ np.uint8(0x80)
    if samples.dtype == np.uint8:
        return samples
    if samples.dtype == np.bool_:
        return samples.astype(np.uint8) * np.uint8(255)
    if samples.dtype.kind == "f":
        samples = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        peak = float(samples.max(initial=0))
        top = 1.0 if peak <= 2 else max(peak, 255.0)
    else:
        least = int(samples.min(initial=0))
        if least < 0:
            samples = (samples.astype(np.int64) - least).astype(np.uint32)
        peak_bits = max(8, int(samples.max(initial=0)).bit_length())
        top = float(np.iinfo(samples.dtype).max if full_range else (1 << peak_bits) - 1)
    scaled = np.multiply(samples, np.float32(255.0 / top), dtype=np.float32)
    return np.clip(np.rint(scaled, out=scaled), 0, 255, out=scaled).astype(np.uint8)


def _composite(bgr: Pixels, alpha: Pixels) -> Pixels:
    """Put BGR pixels with an alpha plane (height, width) on a background that keeps their ink visible.

    Where all of the image is as transparent, alpha says nothing: more likely a program left it so than a person drew
    what nobody sees.
    """
    if not alpha.any():
        return np.full_like(bgr, WHITE) if is_blank(bgr) else bgr
    if alpha.min() == alpha.max():
        return bgr
    opaque = cv2.multiply(bgr, cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR), scale=1 / 255)
    # What a background adds depends on the opacity alone.
    share = np.rint(_background(bgr, alpha) * np.arange(255, -1, -1) / 255).astype(np.uint8)
    background = cv2.cvtColor(cv2.LUT(alpha, share), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.add(opaque, background), dtype=np.uint8)


def _background(bgr: Pixels, alpha: Pixels) -> int:
    """White, or dark where the ink is light, or grey where it is both.

    Only ink beside transparency counts: a dark text on a light label that itself stands on transparency is
    readable on any background, while a text on nothing needs contrast.
    """
    visible = (alpha > 127).astype(np.uint8) if alpha.max(initial=0) > 127 else (alpha > 0).astype(np.uint8)
    # Eroded away is what has a transparent neighbour.
    rim = cv2.subtract(visible, cv2.erode(visible, np.ones((3, 3), np.uint8)))
    if not rim.any():
        rim = visible
    if not rim.any():
        return WHITE
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    levels = cv2.calcHist([grey], [0], rim, [256], [0, 256]).ravel()
    usual = DARK if cv2.mean(grey, rim)[0] > _LIGHT_INK else WHITE
    # The usual one comes first, as it is kept where another is no better.
    return max((usual, WHITE, DARK, *_GREYS), key=lambda ground: _seen(levels, ground, enough=_MOST_SEEN))


def _seen(levels: Samples, ground: int, *, enough: float) -> float:
    """The share of grey levels, of which there are so many, that stand out from a background; at most ``enough``."""
    hidden = float(levels[max(ground - _HIDDEN, 0) : ground + _HIDDEN].sum())
    return min(1 - hidden / float(levels.sum()), enough)


def contrast(pixels: Pixels) -> int:
    """How far apart the lightest and the darkest of BGR pixels are, in the channel in which they are farthest."""
    channels = [pixels[:, :, channel] for channel in range(3)]
    return max(int(channel.max(initial=0)) - int(channel.min(initial=255)) for channel in channels)


def is_blank(pixels: Pixels) -> bool:
    """Whether all of the BGR pixels have nearly the same colour."""
    # Of most pages, some pixels tell.
    return contrast(pixels[::8, ::8]) <= FAINT and contrast(pixels) <= FAINT


def ink(pixels: Pixels) -> float:
    """Share of BGR pixels that stand out from the most common grey."""
    counts = np.bincount(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).ravel(), minlength=256)
    paper = int(counts.argmax())
    return 1 - float(counts[max(paper - FAINT, 0) : paper + FAINT + 1].sum()) / max(int(counts.sum()), 1)


def turn_upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF orientation (1 to 8, tag 0x0112 of EXIF 2.32; anything else means upright)."""
    turned = cv2.transpose(pixels) if orientation in (5, 6, 7, 8) else pixels
    # OpenCV's codes for a mirror image: 1 left to right, 0 top to bottom, -1 both.
    mirrored = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return np.asarray(turned if mirrored is None else cv2.flip(turned, mirrored), dtype=np.uint8)


def reduced(pixels: Pixels, factor: int) -> Pixels:
    """BGR pixels at ``1 / factor`` of their width and height, each the mean of a square; what is left over is cut."""
    height, width = (max(side // factor, 1) for side in pixels.shape[:2])
    cut = pixels[: height * factor, : width * factor]
    return np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def exif_orientation(exif: bytes) -> int:
    """The orientation in an EXIF block, as numbered for :func:`turn_upright`; 1 where it has none or is broken."""
    block = Image.Exif()
    try:
        block.load(exif)
        return int(block.get(ExifTags.Base.Orientation, 1))
    except Exception:
        # Pillow meets a broken block with whatever its parsing happens to raise.
        return 1
