"""Which way lines run: drawn pages read with the real models."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ocr_demo.fonts import Face
from ocr_pipeline.records import Page, PageText
from tests.ocr.conftest import LoadEngine
from tests.ocr.drawing import RECEIPT, RECEIPT_LINES, draw_page, receipt

pytestmark = pytest.mark.slow


def turned(page: Page, quarters: int) -> Page:
    """``page`` turned clockwise by quarters."""
    return Page(page.number, np.ascontiguousarray(np.rot90(page.pixels, -quarters)))


def texts(page: PageText) -> list[str]:
    return [line.text for line in page.lines]


def in_turned_pixels(points: np.ndarray, page: Page, quarters: int) -> np.ndarray:
    """Where points of ``page`` lie once it is turned."""
    for turn in range(quarters):
        height = page.height if turn % 2 == 0 else page.width
        points = np.stack([height - points[..., 1], points[..., 0]], axis=-1)
    return points


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_receipt_reads_as_the_upright_one(engines: LoadEngine, engine: str, quarters: int) -> None:
    page = receipt()
    upright = engines(engine=engine).read(page)

    found = engines(engine=engine).read(turned(page, quarters))

    assert texts(found) == RECEIPT_LINES
    for line, other in zip(upright.lines, found.lines, strict=True):
        # Where reading starts comes first, in pixels of the page that came in.
        assert np.abs(in_turned_pixels(np.array(line.quad), page, quarters) - np.array(other.quad)).max() < 12


def test_a_page_that_is_turned_and_tilted(engines: LoadEngine) -> None:
    assert texts(engines().read(turned(receipt(turn=3.0), 2))) == RECEIPT_LINES


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_short_lines_follow_their_page(engines: LoadEngine, quarters: int) -> None:
    # A 6 upside down is a 9, and two digits on their side are hardly taller than wide.
    page = draw_page(700, 400, [("Loading bay and platform", 40, 40), ("66", 40, 140), ("9", 40, 240), ("18", 40, 320)])

    assert texts(engines().read(turned(page, quarters))) == ["Loading bay and platform", "66", "9", "18"]


def test_a_line_upside_down_on_an_upright_page(engines: LoadEngine) -> None:
    page = receipt()
    stamp = draw_page(420, 50, [("Received with thanks", 40, 8)]).pixels[::-1, ::-1]
    pixels = np.concatenate([page.pixels, np.full((90, 620, 3), 255, np.uint8)])
    pixels[570:620, 100:520] = stamp

    found = engines().read(Page(0, pixels))

    assert texts(found) == [*RECEIPT_LINES, "Received with thanks"]
    start, end = np.array(found.lines[-1].quad[:2])
    assert end[0] < start[0] - 200


def test_no_line_is_turned_over_when_that_is_not_asked_for(engines: LoadEngine) -> None:
    found = engines(orientation="none", min_confidence=0).read(turned(receipt(), 2))

    assert len(set(texts(found)) & set(RECEIPT_LINES)) < 4
    assert all(line.quad[0][0] < line.quad[1][0] for line in found.lines)
    assert texts(engines(orientation="none").read(receipt())) == RECEIPT_LINES


@pytest.mark.parametrize("orientation", ["auto", "none"])
@pytest.mark.parametrize(
    ("face", "letter"), [(Face.SERIF, "I"), (Face.SERIF, "l"), (Face.SANS_BOLD, "I"), (Face.ROUND, "I")]
)
def test_a_slender_letter_is_no_column_of_characters(
    engines: LoadEngine, orientation: str, face: Face, letter: str
) -> None:
    image = Image.new("RGB", (620, 400), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.text((40, 40), "Gate", fill=(0, 0, 0), font=face.at(60))
    draw.text((400, 120), letter, fill=(0, 0, 0), font=face.at(90))

    (gate, slender) = engines(orientation=orientation, min_confidence=0.3).read(Page(0, np.asarray(image))).lines

    assert gate.text == "Gate"
    width, height = np.ptp(np.array(slender.quad), axis=0)
    assert height > 1.5 * width
    assert slender.text in set("Il1")
    assert slender.quad[0][0] < slender.quad[1][0]


def column(draw: ImageDraw.ImageDraw, x: int, y: int, text: str, size: int) -> None:
    for character in text:
        draw.text((x, y), character, fill=(0, 0, 0), font=Face.CHINESE.at(size), anchor="mt")
        y += size


def test_columns_of_characters_are_read_downwards_and_from_the_right(engines: LoadEngine) -> None:
    image = Image.new("RGB", (520, 640), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    columns = ["春眠不觉晓处处闻啼鸟", "夜来风雨声花落知多少", "床前明月光疑是地上霜"]
    for place, text in enumerate(columns):
        column(draw, 430 - 160 * place, 40, text, 52)

    found = engines().read(Page(0, np.asarray(image)))

    assert texts(found) == columns
    start, end = np.array(found.lines[0].quad[:2])
    assert end[1] > start[1] + 400


def test_tiers_of_columns_are_read_one_after_the_other(engines: LoadEngine) -> None:
    image = Image.new("RGB", (520, 1320), (255, 255, 255))
    upper = ["春眠不觉晓处处闻啼鸟", "夜来风雨声花落知多少", "床前明月光疑是地上霜", "举头望明月低头思故乡"]
    lower = ["白日依山尽黄河入海流", "欲穷千里目更上一层楼", "千山鸟飞绝万径人踪灭", "孤舟蓑笠翁独钓寒江雪"]
    for top, tier in ((40, upper), (760, lower)):
        for place, text in enumerate(tier):
            column(ImageDraw.Draw(image), 430 - 110 * place, top, text, 52)

    assert texts(engines().read(Page(0, np.asarray(image)))) == upper + lower


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_columns_of_a_turned_page_are_read_one_after_the_other(engines: LoadEngine, quarters: int) -> None:
    image = Image.new("RGB", (800, 420), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.text((40, 20), "The harbour", fill=(0, 0, 0), font=Face.SANS_BOLD.at(40))
    left = [
        "of the old town was full of",
        "boats that morning and no",
        "one knew where they had",
        "come from or why so many",
    ]
    right = [
        "people stood on the quay",
        "waiting for something to",
        "happen while the bells of",
        "the church rang and rang",
    ]
    for x, lines in ((40, left), (430, right)):
        for number, text in enumerate(lines):
            draw.text((x, 120 + 40 * number), text, fill=(0, 0, 0), font=Face.SERIF.at(26))

    found = engines(languages=("en",)).read(turned(Page(0, np.asarray(image)), quarters))

    assert texts(found) == ["The harbour", *left, *right]


def test_a_column_of_characters_beside_level_lines(engines: LoadEngine) -> None:
    level = draw_page(700, 560, [(text, x + 80, y) for text, x, y in RECEIPT])
    image = Image.fromarray(level.pixels)
    column(ImageDraw.Draw(image), 50, 60, "营业时间", 52)

    found = texts(engines().read(Page(0, np.asarray(image))))

    assert "营业时间" in found
    assert [text for text in found if text != "营业时间"] == RECEIPT_LINES
