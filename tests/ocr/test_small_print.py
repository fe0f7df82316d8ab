"""Pages of small print, which are looked at a second time at a larger scale."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ocr_pipeline.ocr.detection import SIZE, detect
from ocr_pipeline.records import Pixels
from tests.ocr.conftest import LoadEngine
from tests.ocr.drawing import draw_page
from tests.ocr.test_agreement import WORDS


class Seen:
    """A network that takes light for text, and notes the height and width of what it sees."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
        self.shapes.append(pixels.shape[1:3])
        return ((pixels[..., 0] / np.float32(255))[:, None],)


def bars(width: int, height: int, thick: int) -> Pixels:
    """A dark page with six light bars of this thickness, a hundred times as long as the thinnest."""
    page = np.zeros((height, width, 3), np.uint8)
    for y in range(1, 7):
        page[y * height // 8 :][:thick, width // 8 : 7 * width // 8] = 255
    return page


@pytest.mark.parametrize("few_shapes", [False, True])
def test_small_print_is_seen_again_larger(few_shapes: bool) -> None:
    page, network = bars(2000, 2000, 8), Seen()

    boxes = detect(page, network, few_shapes=few_shapes)

    assert len(network.shapes) == 2
    assert network.shapes[0] == (SIZE, SIZE)
    assert SIZE < network.shapes[1][0] <= 1920
    assert len(boxes) == 6
    assert sorted(boxes.mean(axis=1)[:, 1]) == pytest.approx([250 * y + 4 for y in range(1, 7)], abs=3)


def test_small_pages_are_enlarged() -> None:
    network = Seen()
    assert len(detect(bars(320, 480, 5), network)) == 6
    (first, second) = network.shapes
    assert first == (480, 320)
    assert second[0] > 480
    assert second[0] / second[1] == pytest.approx(1.5, abs=0.1)


def test_long_pages_are_seen_again_in_as_many_tiles() -> None:
    network = Seen()
    boxes = detect(bars(1000, 8000, 8), network)
    tiles = [max(shape) for shape in network.shapes]
    assert tiles.count(SIZE) == len(tiles) - tiles.count(max(tiles)) > 1
    assert len(boxes) == 6


def test_large_print_is_seen_once() -> None:
    network = Seen()
    detect(bars(2000, 2000, 40), network)
    detect(np.zeros((2000, 2000, 3), np.uint8), network)
    assert network.shapes == [(SIZE, SIZE)] * 2


def test_what_is_seen_large_already_is_not_seen_again() -> None:
    network = Seen()
    detect(bars(1920, 1920, 5), network, 1920)
    assert network.shapes == [(1920, 1920)]


@pytest.mark.slow
def test_small_print_is_read(engines: LoadEngine) -> None:
    # At the usual scale letters are 4.5 pixels high, capitals 3.
    chance = random.Random(0)
    rows = [(f"{' '.join(chance.sample(WORDS, 3))} {chance.randrange(10**5)}", 30, y) for y in range(40, 3360, 40)]
    text = engines().read(draw_page(1200, 3400, rows, size=16))
    assert {line.text for line in text.lines} == {row for row, _, _ in rows}
