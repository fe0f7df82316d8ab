from __future__ import annotations

from itertools import chain

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.order.layouts import LAYOUTS, Sheet, Words
from ocr_pipeline.ocr.reading_order import reading_order

_MARGIN = 0.12
"""How far beyond its letters the box of a line goes, as a share of their size."""


def quads(sheet: Sheet, degrees: float = 0.0) -> npt.NDArray[np.float32]:
    """The lines of a sheet as detection finds them, tilted about its middle."""
    corners = []
    for line in sheet.lines:
        left, top, right, bottom = line.box
        margin = _MARGIN * line.size
        low, high = (left - margin, top - margin), (right + margin, bottom + margin)
        corners.append([low, (high[0], low[1]), high, (low[0], high[1])])
    boxes = np.array(corners, np.float64).reshape(-1, 4, 2)
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.array([sheet.width, sheet.height]) / 2
    return np.asarray((boxes - middle) @ turn + middle, np.float32)


def blocks_of(sheet: Sheet, degrees: float = 0.0) -> list[list[int]]:
    """The lines of a sheet, by their place in it, as they come out when they go in in disorder."""
    shuffled = np.random.default_rng(3).permutation(len(sheet.lines))
    texts = [sheet.lines[i].text for i in shuffled]
    return [[int(shuffled[i]) for i in block] for block in reading_order(quads(sheet, degrees)[shuffled], texts)]


@pytest.mark.parametrize("degrees", [0.0, 2.0, -3.0])
@pytest.mark.parametrize("name", [name for name in LAYOUTS if name not in ("drop_capital_spread", "slide")])
def test_the_order_of_a_person(name: str, degrees: float) -> None:
    for seed in (1, 2):
        sheet = LAYOUTS[name](Words(seed))
        assert list(chain.from_iterable(blocks_of(sheet, degrees))) == list(range(len(sheet.lines)))


def put(sheet: Sheet, *lines: tuple[float, float, str]) -> Sheet:
    for x, y, text in lines:
        sheet.put(x, y, text)
    return sheet


def test_columns_whose_lines_do_not_stand_beside_each_other() -> None:
    words = Words(5)
    sheet = Sheet(1000, 600)
    put(sheet, *((20, 80 + 40 * i, words.line(420, 22)) for i in range(6)))
    put(sheet, *((520, 98 + 40 * i, words.line(420, 22)) for i in range(6)))
    assert list(chain.from_iterable(blocks_of(sheet))) == list(range(12))


def test_a_column_that_begins_higher_than_the_one_before_it() -> None:
    words = Words(5)
    sheet = Sheet(1000, 900)
    put(sheet, *((20, 400 + 40 * i, words.line(420, 22)) for i in range(8)))
    put(sheet, *((520, 40 + 40 * i, words.line(420, 22)) for i in range(17)))
    assert list(chain.from_iterable(blocks_of(sheet))) == list(range(25))


def test_an_initial_is_read_before_its_paragraph() -> None:
    sheet = LAYOUTS["drop_capital_spread"](Words(1))
    order = list(chain.from_iterable(blocks_of(sheet)))
    assert order[:5] == [0, 1, 2, 3, 4]


def test_blocks_are_what_belongs_together() -> None:
    receipt = blocks_of(LAYOUTS["receipt"](Words(1)))
    assert [len(block) for block in receipt] == [2, 4, 16, 6, 1]  # its head, labels, items, sums, a last line
    form = blocks_of(LAYOUTS["form"](Words(1)))
    assert [len(block) for block in form] == [1, 14]
    two_lists = blocks_of(LAYOUTS["two_lists"](Words(1)))
    assert [len(block) for block in two_lists] == [6, 6]
    cells = blocks_of(LAYOUTS["table_with_cells_of_several_lines"](Words(1)))
    assert cells[:3] == [[0, 1, 2], [3, 4, 5], [6]]


def test_every_line_comes_once() -> None:
    rng = np.random.default_rng(9)
    for count in (0, 1, 2, 40, 300):
        x, y = rng.uniform(0, 2000, (2, count))
        width, height = rng.uniform(5, 900, count), rng.uniform(5, 60, count)
        boxes = np.stack([[x, y], [x + width, y], [x + width, y + height], [x, y + height]]).transpose(2, 0, 1)
        texts = rng.choice(["word", "two words", "12.50", "label:", "", "שלום"], count).tolist()
        blocks = reading_order(boxes.astype(np.float32), texts)
        assert sorted(chain.from_iterable(blocks)) == list(range(count))
        assert all(blocks)


def test_the_time_it_takes_grows_with_the_lines_and_not_with_their_square() -> None:
    """Ten thousand lines, single ones and beside each other, are ordered without recursion going deep."""
    sheet = Sheet(2000, 200_000)
    put(sheet, *((20.0 + 400 * (i % 3), 30.0 * (i // 3), "12.50" if i % 3 else "Item") for i in range(9000)))
    assert list(chain.from_iterable(blocks_of(sheet))) == list(range(9000))
