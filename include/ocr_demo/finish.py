"""From a clean drawing to a picture of it: scanned or photographed, with mild flaws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

Floats = npt.NDArray[np.floating[Any]]
_SCANNER_LID = (238, 238, 236)
_MARGIN = 0.08
"""Background around a photographed drawing, as a share of its longer side."""

Background = Callable[[int, int, np.random.Generator], Image.Image]


def _smooth_noise(width: int, height: int, cell: int, noise: np.random.Generator) -> Floats:
    """Noise from 0 to 1 of shape (height, width) that varies over about ``cell`` pixels."""
    small = noise.random((max(2, height // cell), max(2, width // cell))) * 255
    image = Image.fromarray(small.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32) / 255


def _tinted(values: Floats, dark: tuple[int, int, int], light: tuple[int, int, int]) -> Image.Image:
    """Map ``values`` (0 to 1) to colours between ``dark`` and ``light``."""
    return ImageOps.colorize(Image.fromarray((values.clip(0, 1) * 255).astype(np.uint8)), dark, light)


def wood(width: int, height: int, noise: np.random.Generator) -> Image.Image:
    """A table of planks."""
    grain = _smooth_noise(width, height, 90, noise)
    y = np.arange(height, dtype=np.float32)[:, None]
    rings = 0.5 + 0.5 * np.sin((y / 7 + grain * 26).astype(np.float32))
    image = _tinted(0.35 + 0.25 * rings + 0.3 * grain, (92, 58, 34), (176, 126, 84))
    draw = ImageDraw.Draw(image)
    for top in range(height // 7, height, max(60, height // 4)):
        draw.line((0, top, width, top), fill=(70, 44, 26), width=3)
    return image


def stone(width: int, height: int, noise: np.random.Generator) -> Image.Image:
    """A grey slab."""
    values = 0.6 * _smooth_noise(width, height, 60, noise) + 0.4 * _smooth_noise(width, height, 5, noise)
    return _tinted(values, (96, 100, 106), (158, 160, 164))


def linen(width: int, height: int, noise: np.random.Generator) -> Image.Image:
    """A woven cloth."""
    weave = np.add.outer(np.sin(np.arange(height) * 1.3), np.sin(np.arange(width) * 1.3)) / 8
    return _tinted(0.5 + weave + 0.3 * _smooth_noise(width, height, 80, noise), (120, 132, 140), (196, 204, 206))


def bricks(width: int, height: int, noise: np.random.Generator) -> Image.Image:
    """A brick wall."""
    image = _tinted(_smooth_noise(width, height, 4, noise), (170, 160, 148), (198, 190, 180))
    draw = ImageDraw.Draw(image)
    tall, long = max(18, height // 14), max(44, width // 11)
    for index, top in enumerate(range(0, height, tall)):
        for left in range(-long if index % 2 else -long // 2, width, long):
            shade = noise.integers(-16, 17)
            fill = (int(150 + shade), int(84 + shade), int(66 + shade))
            draw.rectangle((left + 2, top + 2, left + long - 2, top + tall - 2), fill=fill)
    return image


def dusk(width: int, height: int, noise: np.random.Generator) -> Image.Image:
    """An evening street out of focus: round lights over a dark gradient."""
    image = _tinted(np.linspace(0.2, 1, height)[:, None].repeat(width, axis=1), (18, 22, 44), (70, 58, 84))
    lights = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(lights)
    for _ in range(26):
        x, y = int(noise.integers(width)), int(noise.integers(height))
        radius = int(noise.integers(8, max(12, width // 18)))
        fill = ((150, 104, 50), (120, 64, 60), (64, 90, 130))[int(noise.integers(3))]
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    return ImageChops.add(image, lights.filter(ImageFilter.GaussianBlur(3)))


def daylight(width: int, height: int, noise: np.random.Generator) -> Image.Image:
    """A sky with soft clouds."""
    clouds = _smooth_noise(width, height, max(40, width // 5), noise)
    fade = np.linspace(0, 0.7, height)[:, None]
    return _tinted(0.75 * clouds * (1 - fade) + fade, (104, 152, 204), (226, 236, 244))


@dataclass(frozen=True, slots=True)
class Finish:
    """How a drawing is turned into a picture.

    ``background`` None means scanned: edge to edge, turned at most. ``turn`` is in degrees,
    counter-clockwise; ``tilt`` is how far corners move at most, as a share of the shorter side; ``blur`` is
    a standard deviation in pixels and ``grain`` that of the sensor's noise in grey levels; ``shade`` is how
    much darker the dark end of the light falling on it is (0 to 1); ``scale`` is the picture's size relative
    to the drawing's.
    """

    background: Background | None = None
    turn: float = 0.0
    tilt: float = 0.0
    blur: float = 0.0
    grain: float = 0.0
    shade: float = 0.0
    scale: float = 1.0

    def apply(self, drawing: Image.Image, seed: str) -> Image.Image:
        """The picture of ``drawing`` (RGBA), as RGB. The same ``seed`` gives the same picture."""
        random = Random(seed)
        noise = np.random.default_rng(random.getrandbits(64))
        if self.background is None:
            picture = self._scanned(drawing)
        else:
            picture = self._photographed(drawing, self.background, random, noise)
        if self.scale != 1:
            size = (round(picture.width * self.scale), round(picture.height * self.scale))
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        if not (self.blur or self.grain or self.shade):
            return picture
        return self._exposed(picture, random, noise)

    def _scanned(self, drawing: Image.Image) -> Image.Image:
        """The drawing alone, as it lies on a scanner."""
        if self.turn:
            drawing = _seen(drawing, _turned_size(drawing.size, self.turn), self.turn)
        flat = Image.new("RGB", drawing.size, _SCANNER_LID)
        flat.paste(drawing, mask=drawing.getchannel("A"))
        return flat

    def _photographed(
        self, drawing: Image.Image, background: Background, random: Random, noise: np.random.Generator
    ) -> Image.Image:
        """The drawing on a background that it throws a shadow on."""
        margin = 2 * round(_MARGIN * max(drawing.size))
        width, height = _turned_size(drawing.size, self.turn)
        size = (width + margin, height + margin)
        moves = [(random.uniform(0.1, 1) * self.tilt, random.uniform(0.1, 1) * self.tilt) for _ in range(4)]
        placed = _seen(drawing, size, self.turn, moves)
        picture = background(*size, noise)
        reach = max(4, min(size) // 60)
        shadow = placed.getchannel("A").filter(ImageFilter.BoxBlur(reach)).point(lambda value: value * 0.5)
        picture.paste((10, 10, 14), (reach // 2, reach), shadow)
        picture.paste(placed, mask=placed.getchannel("A"))
        return picture

    def _exposed(self, picture: Image.Image, random: Random, noise: np.random.Generator) -> Image.Image:
        """The picture out of focus, under uneven light, with the sensor's noise."""
        pixels: Floats = np.asarray(picture, dtype=np.float32)
        height, width = pixels.shape[:2]
        if self.blur:
            pixels = cv2.GaussianBlur(pixels, (0, 0), self.blur).astype(np.float32, copy=False)
        if self.shade:
            across, down = random.uniform(-1, 1), random.uniform(0.2, 1)
            ramp = np.add.outer(
                np.linspace(0, down, height, dtype=np.float32), np.linspace(0, across, width, dtype=np.float32)
            )
            ramp = (ramp - ramp.min()) / (ramp.max() - ramp.min())
            pixels = pixels * (1 - self.shade * ramp[..., None])
        if self.grain:
            pixels = pixels + self.grain * noise.standard_normal((height, width, 1), dtype=np.float32)
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _turned_size(size: tuple[int, int], degrees: float) -> tuple[int, int]:
    """Width and height of the smallest upright frame around a rectangle turned by ``degrees``."""
    width, height = size
    cosine, sine = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    return math.ceil(width * cosine + height * sine), math.ceil(width * sine + height * cosine)


def _seen(
    drawing: Image.Image, size: tuple[int, int], degrees: float, moves: Sequence[tuple[float, float]] = ((0, 0),) * 4
) -> Image.Image:
    """``drawing`` turned about its middle, in the middle of a transparent frame of ``size``, seen from one side.

    ``moves`` says how far each corner, clockwise from the upper left, moves towards the middle, across and
    down, as a share of the frame's shorter side.
    """
    width, height = drawing.size
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = ((0, 0), (width, 0), (width, height), (0, height))
    inward = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    seen = []
    for (x, y), (right, down), (across, along) in zip(corners, inward, moves, strict=True):
        u, v = x - width / 2, y - height / 2
        seen.append(
            (
                size[0] / 2 + u * cosine + v * sine + right * across * min(size),
                size[1] / 2 - u * sine + v * cosine + down * along * min(size),
            )
        )
    matrix = cv2.getPerspectiveTransform(np.array(corners, dtype=np.float32), np.array(seen, dtype=np.float32))
    pixels = np.asarray(drawing)
    # Colours run on beyond the edge, so that no dark fringe is mixed into them where the alpha fades.
    colours = cv2.warpPerspective(pixels, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpPerspective(cv2.extractChannel(pixels, 3), matrix, size, flags=cv2.INTER_LINEAR)
    return Image.fromarray(cv2.insertChannel(alpha, colours, 3))
