"""Figures that stand alone, as in the cells of a table: each is found, and is that figure."""

from __future__ import annotations

import numpy as np
import pytest

from ocr_demo.fonts import Face
from ocr_pipeline.ocr import Engine
from ocr_pipeline.records import PageText
from tests.ocr.conftest import LoadEngine
from tests.ocr.drawing import Placed, draw_page

pytestmark = pytest.mark.slow

ITEMS = ["Apples", "Bread", "Candles", "Dates", "Eggs", "Flour"]
FACES = [None, Face.SANS, Face.HUMANIST, Face.MONO, Face.MONO_ROUND, Face.MONO_WIDE, Face.ROUND_BOLD, Face.SERIF]


def table(size: int, figures: str) -> list[Placed]:
    """A row for each item: its number, its name, one of ``figures``, a price."""
    rows = []
    for row, item in enumerate(ITEMS):
        y = size * (1 + 2 * row)
        cells = [(str(row + 1), 1), (item, 3), (figures[row % len(figures)], 9), (f"{row}.{row + 1}0", 13)]
        rows += [(text, size * column, y) for text, column in cells]
    return rows


def unread_of_tables(engine: Engine, face: Face | None) -> list[tuple[str, str]]:
    """The cells of some tables that are not what is read there, each with that."""
    found = []
    for size in (22, 40):
        for figures in ("0", "974051832"):
            cells = table(size, figures)
            page = draw_page(17 * size, 14 * size, cells, size=size, face=face)
            found += unread(engine.read(page), cells, size)
    return found


def unread(text: PageText, texts: list[Placed], size: int) -> list[tuple[str, str]]:
    found = []
    for cell, x, y in texts:
        inside = (x + size / 4, y + size * 0.7)
        lines = [line.text for line in text.lines if _holds(np.array(line.quad), inside)]
        if lines != [cell]:
            found.append((cell, " ".join(lines)))
    return found


def _holds(quad: np.ndarray, point: tuple[float, float]) -> bool:
    return bool((quad.min(axis=0) <= point).all() and (point <= quad.max(axis=0)).all())


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.name if face else "Pillow")
def test_lone_figures_of_a_table(engines: LoadEngine, face: Face | None) -> None:
    assert unread_of_tables(engines(), face) == []


@pytest.mark.parametrize(
    "options", [{"precision": "float32"}, {"engine": "onnxruntime"}, {"languages": ("en",)}], ids=str
)
def test_lone_figures_with_other_settings(engines: LoadEngine, options: dict[str, object]) -> None:
    assert unread_of_tables(engines(**options), Face.MONO_WIDE) == []
