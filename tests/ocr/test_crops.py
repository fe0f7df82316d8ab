"""Images that are hardly more than a word or a line, drawn to the edge and read with the real models."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ocr_demo.fonts import Face
from ocr_pipeline.ocr import Engine
from ocr_pipeline.records import Page
from tests.ocr.conftest import LoadEngine

pytestmark = pytest.mark.slow

WORDS = ["harbour", "Invoice", "SEVEN", "river 42", "Total 19.80", "12:45", "EXIT", "No. 7", "Dr. Smith", "A", "3"]


def crop(text: str, face: Face, size: int, margin: int, *, paper: str = "white", ink: str = "black") -> Page:
    """``text`` with so many pixels around its ink."""
    font = face.at(size)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("RGB", (round(right - left) + 2 * margin, round(bottom - top) + 2 * margin), paper)
    ImageDraw.Draw(image).text((margin - left, margin - top), text, fill=ink, font=font)
    return Page(0, np.ascontiguousarray(np.asarray(image)[:, :, ::-1]))


@pytest.fixture
def engine(engines: LoadEngine) -> Engine:
    return engines()


@pytest.mark.parametrize("margin", [0, 1, 4])
@pytest.mark.parametrize("size", [12, 20, 32, 64])
def test_words_that_fill_their_image_are_read(engine: Engine, size: int, margin: int) -> None:
    pages = [(text, crop(text, face, size, margin)) for text in WORDS for face in (Face.SANS, Face.SERIF, Face.MONO)]
    wrong = [(text, said) for text, page in pages if (said := engine.read(page).text) != text]
    assert len(wrong) <= len(pages) // 10, wrong


@pytest.mark.parametrize("ink", ["white", "yellow"])
def test_paper_has_the_colour_of_the_edge(engine: Engine, ink: str) -> None:
    text = engine.read(crop("Platform 9", Face.SANS, 24, 2, paper="navy", ink=ink))
    assert text.text == "Platform 9"


def test_lines_stand_where_they_are_in_the_image(engine: Engine) -> None:
    page = crop("Garden Street", Face.SANS, 32, 6)
    (line,) = engine.read(page).lines
    xs, ys = ([corner[axis] for corner in line.quad] for axis in (0, 1))
    assert 0 <= min(xs) <= 6
    assert page.width - 6 <= max(xs) <= page.width
    assert 0 <= min(ys) <= 6
    assert page.height - 6 <= max(ys) <= page.height


def test_an_image_without_text_says_nothing(engine: Engine) -> None:
    assert engine.read(Page(0, np.full((40, 300, 3), 230, np.uint8))).lines == ()
