"""Our engines say what stock PaddleOCR says with the same model and thresholds, and each other's words."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from benchmarks.agreement import LEAST_CHARACTERS, LEAST_LINES, compare, edit_distance, match_lines, read_all
from ocr_pipeline.ocr import Engine
from ocr_pipeline.ocr.detection import PADDLEOCR
from ocr_pipeline.ocr.engine import load_pipeline
from ocr_pipeline.records import Page, PageText, TextLine
from ocr_pipeline.settings.run import ReadSettings
from tests.ocr.conftest import LoadEngine
from tests.ocr.drawing import draw_page, receipt

pytestmark = pytest.mark.slow

WORDS = [
    "harbour",
    "invoice",
    "candle",
    "seven",
    "river",
    "station",
    "Monday",
    "receipt",
    "garden",
    "silver",
    "window",
    "market",
    "bridge",
]


def pages() -> Iterator[Page]:
    """Pages with words and amounts at several sizes, straight and tilted."""
    yield receipt()
    yield receipt(turn=2.0)
    for seed, size in enumerate((18, 24, 32, 44)):
        chance = random.Random(seed)
        rows = [
            (f"{' '.join(chance.sample(WORDS, 3))} {chance.randrange(10**5)}.{chance.randrange(100):02}", 30, 30 + y)
            for y in range(0, 10 * 2 * size, 2 * size)
        ]
        yield draw_page(30 * size, 60 + 20 * size, rows, size=size)


def exact(runner: str, *languages: str) -> Engine:
    settings = ReadSettings(orientation="none", precision="float32", languages=languages)
    return load_pipeline(runner, settings, threads=1, thresholds=PADDLEOCR, best_path=True)


@pytest.fixture(scope="module")
def every() -> list[PageText]:
    """What OpenVINO reads with every character."""
    return read_all(exact("openvino"), list(pages()))


def test_ours_agree_with_stock_paddleocr(engines: LoadEngine, every: list[PageText]) -> None:
    stock = [engines(engine="paddleocr").read(page) for page in pages()]
    latin = read_all(exact("openvino", "en"), list(pages()))

    for ours in (every, latin):
        agreement = compare(stock, ours)
        assert agreement.matched == 1
        assert agreement.characters >= LEAST_CHARACTERS


def test_the_runners_agree_at_equal_precision(every: list[PageText]) -> None:
    agreement = compare(every, read_all(exact("onnxruntime"), list(pages())))

    assert len(agreement.pairs) > 60
    assert agreement.lines >= LEAST_LINES


def line(text: str, left: float, right: float) -> TextLine:
    return TextLine(text, 1.0, ((left, 0), (right, 0), (right, 20), (left, 20)))


def test_lines_are_compared_where_they_stand() -> None:
    one = PageText((line("alpha", 0, 100), line("beta", 200, 300), line("gone", 500, 600)))
    other = PageText((line("betta", 205, 300), line("alpha", 0, 110)))

    assert {(a.text, b.text) for a, b in match_lines(one.lines, other.lines)} == {("alpha", "alpha"), ("beta", "betta")}
    agreement = compare([one, PageText(())], [other, PageText(())])
    assert (agreement.lines, agreement.matched) == (1 / 3, 2 / 3)
    assert agreement.characters == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("one", "other", "distance"), [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2)]
)
def test_edit_distance(one: str, other: str, distance: int) -> None:
    assert edit_distance(one, other) == edit_distance(other, one) == distance
