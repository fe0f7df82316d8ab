"""Pages drawn for the OCR tests."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ocr_demo.fonts import Face
from ocr_pipeline.records import Page

Placed = tuple[str, int, int]
"""A text and the x, y of its top left corner."""


def draw_page(
    width: int,
    height: int,
    texts: Iterable[Placed],
    *,
    size: int = 28,
    ink: tuple[int, int, int] = (0, 0, 0),
    paper: tuple[int, int, int] = (255, 255, 255),
    turn: float = 0.0,
    face: Face | None = None,
) -> Page:
    """Draw ``texts`` in Pillow's own font or in ``face``; ``turn`` turns the page by degrees, counter-clockwise."""
    image = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(image)
    font = face.at(size) if face else ImageFont.load_default(size)
    for text, x, y in texts:
        draw.text((x, y), text, fill=ink, font=font)
    if turn:
        image = image.rotate(turn, resample=Image.Resampling.BICUBIC, expand=True, fillcolor=paper)
    return Page(0, np.ascontiguousarray(np.asarray(image)[:, :, ::-1]))


def drawn_words(texts: Iterable[Placed], *, size: int = 28) -> list[list[tuple[str, float, float, float, float]]]:
    """The words of each text that :func:`draw_page` draws, with the left, top, right and bottom of their ink."""
    font = ImageFont.load_default(size)
    lines = []
    for text, x, y in texts:
        starts = [i for i, character in enumerate(text) if character != " " and (i == 0 or text[i - 1] == " ")]
        words = [(text[i:].split(" ")[0], x + font.getlength(text[:i])) for i in starts]
        boxes = [(word, left, font.getbbox(word)) for word, left in words]
        lines.append([(word, left + box[0], y + box[1], left + box[2], y + box[3]) for word, left, box in boxes])
    return lines


def blank_page(width: int, height: int, shade: int = 255) -> Page:
    return Page(0, np.full((height, width, 3), shade, np.uint8))


RECEIPT: tuple[Placed, ...] = (
    ("MAPLE STREET GROCERY", 120, 40),
    ("12 Harbour Road, Dunmore", 110, 90),
    ("Receipt No 204817", 60, 160),
    ("Whole Milk 2L", 60, 230),
    ("6.40", 480, 230),
    ("Brown Bread", 60, 280),
    ("3.75", 480, 280),
    ("Free Range Eggs", 60, 330),
    ("11.20", 480, 330),
    ("TOTAL", 60, 410),
    ("21.35", 480, 410),
    ("Thank you, come again", 140, 490),
)

RECEIPT_LINES = [
    "MAPLE STREET GROCERY",
    "12 Harbour Road, Dunmore",
    "Receipt No 204817",
    "Whole Milk 2L",
    "6.40",
    "Brown Bread",
    "3.75",
    "Free Range Eggs",
    "11.20",
    "TOTAL",
    "21.35",
    "Thank you, come again",
]


def receipt(**options: object) -> Page:
    return draw_page(620, 560, RECEIPT, **options)  # type: ignore[arg-type]
