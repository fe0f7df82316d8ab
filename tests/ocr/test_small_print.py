"""Print that is small for its page, for which pages are looked at again at a larger scale."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ocr_demo.fonts import Face
from ocr_pipeline.ocr.detection import detect
from ocr_pipeline.ocr.scales import SIZE
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


class ShortSighted(Seen):
    """The same, which takes only what is very light for text: thin bars are not, where the page is reduced."""

    def __call__(self, pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
        (probability,) = super().__call__(pixels)
        return (np.where(probability > 0.9, probability, 0),)


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

    assert network.shapes[0] == (SIZE, SIZE)
    (tile,) = set(network.shapes[1:])
    assert tile == ((864, 864) if few_shapes else (768, 768))  # nine cover 1920 pixels and what they share
    assert len(network.shapes) == 10
    assert len(boxes) == 6
    assert sorted(boxes.mean(axis=1)[:, 1]) == pytest.approx([250 * y + 4 for y in range(1, 7)], abs=3)


def test_small_pages_are_enlarged() -> None:
    network = Seen()
    assert len(detect(bars(320, 480, 5), network)) == 6
    (first, second) = network.shapes
    assert first == (480, 320)
    assert second[0] > 480
    assert second[0] / second[1] == pytest.approx(1.5, abs=0.1)


def test_long_pages_are_seen_again_in_tiles() -> None:
    network = Seen()
    boxes = detect(bars(1000, 8000, 8), network)
    first, second = network.shapes[0], network.shapes[-1]
    assert max(*first, *second) <= SIZE
    assert min(first) < min(second)  # larger, in more tiles
    assert network.shapes == [first] * 3 + [second] * 7
    assert len(boxes) == 6


def test_large_pages_are_seen_again_at_twice_the_size() -> None:
    network = Seen()
    boxes = detect(bars(7040, 7040, 16), network)
    assert network.shapes[:5] == [(480, 480)] + [(960, 960)] * 4  # a quarter, in which bars are four pixels high
    assert len(network.shapes) == 5 + 25  # twice that, which 25 tiles cover
    assert len(boxes) == 6


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "tall"), [(1, 600), (4, 1800)])
def test_headings_that_are_too_tall_for_a_closer_look_are_kept(scale: int, tall: int, engines: LoadEngine) -> None:
    size = 18 * scale
    texts = [(f"line {n:02} of the small print", 75 * scale, 900 * scale + 40 * scale * n) for n in range(26)]
    page = draw_page(1500 * scale, 2000 * scale, texts, size=size, face=Face.SANS_BOLD)
    heading = draw_page(1500 * scale, 880 * scale, [("SALE", 40, 20)], size=tall, face=Face.SANS_BOLD)
    page.pixels[: heading.height] = heading.pixels

    found = [line.text for line in engines(languages=("en",)).read(page).lines]

    assert found == ["SALE", *(text for text, _, _ in texts)]


@pytest.mark.slow
def test_a_dense_page_is_not_taken_for_tall_print(engines: LoadEngine) -> None:
    # In the look for what is tall its lines run into one box.
    lines = [" ".join(WORDS[(n + k) % len(WORDS)] for k in range(4)) for n in range(234)]
    texts = [(line, 300 + 1480 * (n // 78), 300 + 82 * (n % 78)) for n, line in enumerate(lines)]
    page = draw_page(4960, 7016, texts, size=66, face=Face.SANS_BOLD)

    found = engines(languages=("en",)).read(page).lines

    assert len(found) == len(lines)
    assert max(line.quad[3][1] - line.quad[0][1] for line in found) < 150


def test_large_print_is_seen_once() -> None:
    network = Seen()
    detect(bars(2000, 2000, 40), network)
    detect(np.zeros((2000, 2000, 3), np.uint8), network)
    assert network.shapes == [(SIZE, SIZE)] * 2


def test_what_is_seen_large_already_is_not_seen_again() -> None:
    network = Seen()
    detect(bars(1920, 1920, 5), network, 1920)
    assert len(network.shapes) == 1 + 9  # the first is for what is very tall


@pytest.mark.parametrize(("height", "expected"), [(3840, SIZE), (7680, 1920), (23_000, 1248)])
def test_no_page_is_reduced_to_less_than_a_quarter(height: int, expected: int) -> None:
    network = Seen()
    detect(np.zeros((height, height // 2 if height < 9000 else 1667, 3), np.uint8), network)
    looks = [shape for shape in network.shapes if shape == network.shapes[-1]]  # before, one for what is very tall
    assert max(looks[0]) <= SIZE
    assert sum(shape[0] for shape in looks) >= expected
    assert sum(shape[0] for shape in set(network.shapes) - set(looks)) < SIZE


def test_where_nothing_is_found_a_page_is_seen_again_until_something_is() -> None:
    page, network = bars(3840, 3840, 6), ShortSighted()
    boxes = detect(page, network)
    assert network.shapes[0] == (SIZE, SIZE)
    assert len(network.shapes) > 1
    assert sorted(boxes.mean(axis=1)[:, 1]) == pytest.approx([480 * y + 3 for y in range(1, 7)], abs=4)


def test_only_the_parts_with_ink_are_seen_again() -> None:
    page, network = np.full((3840, 3840, 3), 100, np.uint8), ShortSighted()
    page[3600:3606, 3000:3500] = 255
    (box,) = detect(page, network)
    assert box.mean(axis=0) == pytest.approx([3250, 3603], abs=4)
    assert len(network.shapes) < 5


def specks() -> Pixels:
    page = np.full((3000, 2000, 3), 240, np.uint8)
    page[100:2900:300, 100:1900:300] = page[101:2901:300, 100:1900:300] = 60
    page[:, :20] = page[:25] = 0
    return page


@pytest.mark.parametrize(
    ("page", "looks"),
    [
        (np.full((3000, 2000, 3), 240, np.uint8), 1),
        (specks(), 1),
        # A photograph stands out everywhere; what is not found at twice the size is not looked for.
        (np.kron(np.random.default_rng(0).integers(0, 255, (375, 250, 3)), np.ones((8, 8, 1))).astype(np.uint8), 7),
        (np.full((900, 600, 3), 240, np.uint8), 1),
    ],
    ids=["blank", "dust and bars of a scanner", "photograph", "seen as it is"],
)
def test_pages_without_text_are_seen_no_more_than_needed(page: Pixels, looks: int) -> None:
    shapes: list[tuple[int, ...]] = []

    def network(pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
        shapes.append(pixels.shape)
        return (np.zeros((1, 1, *pixels.shape[1:3]), np.float32),)

    assert len(detect(page, network)) == 0
    assert len(shapes) == looks


@pytest.mark.slow
@pytest.mark.parametrize("size", [26, 40])
def test_a_lone_line_on_a_large_page_is_read(engines: LoadEngine, size: int) -> None:
    (line,) = engines().read(draw_page(3508, 4961, [("Revision 7 of 2024-11-05", 2000, 4500)], size=size)).lines
    assert line.text == "Revision 7 of 2024-11-05"


@pytest.mark.slow
def test_notes_beside_headings_are_read(engines: LoadEngine) -> None:
    page = draw_page(4961, 7016, [(f"HEADING {n}", 300, 800 * n) for n in range(1, 9)], size=170)
    notes = draw_page(4961, 7016, [(f"Note {n:02d} see drawing 4711", 3000, 300 + 300 * n) for n in range(20)], size=40)
    text = engines().read(replace(page, pixels=np.minimum(page.pixels, notes.pixels)))
    assert {line.text for line in text.lines} == {
        *(f"HEADING {n}" for n in range(1, 9)),
        *(f"Note {n:02d} see drawing 4711" for n in range(20)),
    }


@pytest.mark.slow
def test_small_print_is_read(engines: LoadEngine) -> None:
    # At the usual scale letters are 4.5 pixels high, capitals 3.
    chance = random.Random(0)
    rows = [(f"{' '.join(chance.sample(WORDS, 3))} {chance.randrange(10**5)}", 30, y) for y in range(40, 3360, 40)]
    text = engines().read(draw_page(1200, 3400, rows, size=16))
    assert {line.text for line in text.lines} == {row for row, _, _ in rows}
