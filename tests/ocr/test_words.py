"""Words and where they stand: traces made by hand, and drawn pages read with the real models."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

from ocr_demo.fonts import Face
from ocr_pipeline.ocr.words import Trace, words_of
from ocr_pipeline.records import Page, PageText, Quad
from ocr_pipeline.settings.languages import is_unspaced
from tests.ocr.conftest import LoadEngine
from tests.ocr.drawing import RECEIPT, draw_page, drawn_words, receipt
from tests.ocr.test_orientation import column, in_turned_pixels, turned

pytestmark = pytest.mark.slow

Corners = npt.NDArray[np.float64]

LINE = np.array([[100, 50], [500, 50], [500, 70], [100, 70]], np.float32)


def trace(text: str, places: list[float]) -> Trace:
    probabilities = np.linspace(0.5, 0.9, len(text))
    return Trace(list(text), np.array(places), probabilities, list(text), probabilities)


def extents(quad: Quad) -> tuple[float, float]:
    """How far a word of :data:`LINE`, which lies level, reaches from left to right."""
    assert [y for _, y in quad] == [50, 50, 70, 70]
    assert quad[0][0] == quad[3][0]
    assert quad[1][0] == quad[2][0]
    return quad[0][0], quad[1][0]


def test_characters_reach_half_way_to_their_neighbours() -> None:
    to, be = words_of(trace("to be", [0.01, 0.03, 0.05, 0.07, 0.09]), LINE)

    assert (to.text, be.text) == ("to", "be")
    assert extents(to.quad) == pytest.approx((100, 100 + 0.04 * 400))
    assert extents(be.quad) == pytest.approx((100 + 0.06 * 400, 100 + 0.09 * 400 + 10))
    assert to.confidence == pytest.approx(0.55)
    assert be.confidence == pytest.approx(0.85)


def test_a_wide_gap_belongs_to_no_word() -> None:
    tea, price = words_of(trace("tea 9", [0.05, 0.08, 0.11, 0.3, 0.9]), LINE)

    # No further than half the line's height, 10 pixels, from the middle of a character.
    assert extents(tea.quad) == pytest.approx((100 + 0.05 * 400 - 10, 100 + 0.11 * 400 + 10))
    assert extents(price.quad) == pytest.approx((100 + 0.9 * 400 - 10, 100 + 0.9 * 400 + 10))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" ", []),
        (" a  b ", ["a", "b"]),
        ("TOTAL: 12.50", ["TOTAL:", "12.50"]),
        ("共12.5元 incl.税", ["共", "12.5", "元", "incl.", "税"]),
        ("ビール、", ["ビ", "ー", "ル", "、"]),
        ("합계 금액", ["합계", "금액"]),
    ],
)
def test_where_words_begin_and_end(text: str, words: list[str]) -> None:
    places = [(i + 0.5) / max(1, len(text)) for i in range(len(text))]

    assert [word.text for word in words_of(trace(text, places), LINE)] == words


def test_scripts_without_spaces() -> None:
    assert all(map(is_unspaced, "春のビ、。Ａ㈱𠮷"))
    assert not any(map(is_unspaced, "aé1.합ㅏไн "))


def boxes(page: list[list[tuple[str, float, float, float, float]]]) -> list[Corners]:
    """The corners of the ink of every word of a page, from the top left clockwise."""
    return [np.array([(x, y), (r, y), (r, b), (x, b)]) for line in page for _, x, y, r, b in line]


def check(found: PageText, expected: list[str], corners: list[Corners], tolerance: float) -> None:
    """Every word is there, and begins and ends within ``tolerance`` pixels of its ink along its line."""
    words = [word for line in found.lines for word in line.words]
    assert [word.text for word in words] == expected
    for word, ink in zip(words, corners, strict=True):
        quad = np.array(word.quad)
        along = (ink[1] - ink[0]) / np.linalg.norm(ink[1] - ink[0])
        down = (ink[3] - ink[0]) / np.linalg.norm(ink[3] - ink[0])
        for corner, of_ink in zip(quad, ink, strict=True):
            assert abs((corner - of_ink) @ along) < tolerance, word
        # The first two corners are above the ink and the others below, in the direction of reading.
        assert -30 < min((quad[:2] - ink[:2]) @ down) <= max((quad[:2] - ink[:2]) @ down) < 3
        assert -3 < min((quad[2:] - ink[2:]) @ down) <= max((quad[2:] - ink[2:]) @ down) < 30
        assert 0.5 < word.confidence <= 1


RECEIPT_WORDS = drawn_words(RECEIPT)


def texts(page: list[list[tuple[str, float, float, float, float]]]) -> list[str]:
    return [word[0] for line in page for word in line]


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_words_of_a_receipt(engines: LoadEngine, engine: str) -> None:
    found = engines(engine=engine, words=True).read(receipt())

    check(found, texts(RECEIPT_WORDS), boxes(RECEIPT_WORDS), tolerance=9)
    assert [" ".join(word.text for word in line.words) for line in found.lines] == [line.text for line in found.lines]
    plain = engines(engine=engine).read(receipt())
    assert [(line.text, line.confidence, line.quad) for line in plain.lines] == [
        (line.text, line.confidence, line.quad) for line in found.lines
    ]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_words_of_a_turned_receipt(engines: LoadEngine, quarters: int) -> None:
    page = receipt()

    found = engines(words=True).read(turned(page, quarters))

    ink = [in_turned_pixels(corners, page, quarters) for corners in boxes(RECEIPT_WORDS)]
    check(found, texts(RECEIPT_WORDS), ink, tolerance=9)


@pytest.mark.parametrize("degrees", [5.0, -5.0])
def test_words_of_a_tilted_receipt(engines: LoadEngine, degrees: float) -> None:
    upright, page = receipt(), receipt(turn=degrees)
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre, turned_centre = (np.array([p.width, p.height]) / 2 for p in (upright, page))

    found = engines(words=True).read(page)

    ink = [(corners - centre) @ turn + turned_centre for corners in boxes(RECEIPT_WORDS)]
    check(found, texts(RECEIPT_WORDS), ink, tolerance=9)


def test_words_of_a_stretched_page(engines: LoadEngine) -> None:
    placed = [("Wide as a barn", 200, 100), ("made of old timber", 300, 420)]
    page = draw_page(1000, 560, placed, size=60)

    found = engines(words=True, resize="stretch").read(page)

    drawn = drawn_words(placed, size=60)
    check(found, texts(drawn), boxes(drawn), tolerance=20)


def test_words_of_a_line_that_is_read_in_pieces(engines: LoadEngine) -> None:
    words = ["alpha", "river", "candle", "seven", "meadow", "Quick", "bridge"] * 50
    placed = [(" ".join(words), 30, 20)]

    (line,) = engines(words=True, languages=("en",)).read(draw_page(39_500, 90, placed, size=36)).lines

    ((*drawn,),) = drawn_words(placed, size=36)
    assert drawn[-1][3] > 32_767
    assert [word.text for word in line.words] == words
    for word, (_, left, _, right, _) in zip(line.words, drawn, strict=True):
        assert abs(word.quad[0][0] - left) < 16
        assert abs(word.quad[1][0] - right) < 16


def test_every_chinese_character_is_a_word(engines: LoadEngine) -> None:
    face, text = Face.CHINESE.at(48), "春眠不觉晓 ABC处处闻12啼鸟"
    image = Image.new("RGB", (900, 140), (255, 255, 255))
    ImageDraw.Draw(image).text((40, 40), text, fill=(0, 0, 0), font=face)

    (line,) = engines(words=True).read(Page(0, np.asarray(image))).lines

    expected = ["春", "眠", "不", "觉", "晓", "ABC", "处", "处", "闻", "12", "啼", "鸟"]
    assert [word.text for word in line.words] == expected
    start = 0
    for word in line.words:
        start = text.index(word.text, start)
        left = 40 + face.getlength(text[:start])
        start += len(word.text)
        right = 40 + face.getlength(text[:start])
        assert abs(word.quad[0][0] - left) < 14
        assert abs(word.quad[1][0] - right) < 14


def test_characters_of_a_column(engines: LoadEngine) -> None:
    image = Image.new("RGB", (300, 640), (255, 255, 255))
    column(ImageDraw.Draw(image), 150, 40, "春眠不觉晓处处闻啼鸟", 52)

    (line,) = engines(words=True).read(Page(0, np.asarray(image))).lines

    assert [word.text for word in line.words] == list("春眠不觉晓处处闻啼鸟")
    for place, word in enumerate(line.words):
        quad = np.array(word.quad)
        assert abs(quad[:, 1].min() - (40 + 52 * place)) < 20
        assert abs(quad[:, 1].max() - (40 + 52 * (place + 1))) < 20
        # Reading starts at the top right corner and goes down.
        assert quad[0][0] > quad[3][0] + 30
        assert quad[1][1] > quad[0][1] + 30


def test_stock_paddleocr_parts_words_its_own_way(engines: LoadEngine) -> None:
    found = engines(engine="paddleocr", words=True).read(receipt())

    parted = [part for word in texts(RECEIPT_WORDS) for part in ([word[:-1], ","] if word.endswith(",") else [word])]
    assert [word.text for line in found.lines for word in line.words] == parted
    by_text = {word.text: word for line in found.lines for word in line.words}
    for line in RECEIPT_WORDS:
        for text, left, top, right, bottom in line:
            if text.endswith(","):
                continue
            corners = np.array(by_text[text].quad)
            assert np.abs(corners.mean(axis=0) - ((left + right) / 2, (top + bottom) / 2)).max() < 12
            assert corners[0].tolist() == corners.min(axis=0).tolist()
            assert corners[2].tolist() == corners.max(axis=0).tolist()


def test_words_are_in_the_json_only_where_they_were_asked_for(engines: LoadEngine) -> None:
    page = draw_page(500, 120, [("Field 42", 40, 40)], size=40)

    (plain,) = json.loads(engines().read(page).lines_json())
    (line,) = json.loads(engines(words=True).read(page).lines_json())

    assert set(plain) == {"text", "confidence", "quad", "block"}
    assert [set(word) for word in line.pop("words")] == [set(plain) - {"block"}] * 2
    assert line == plain
