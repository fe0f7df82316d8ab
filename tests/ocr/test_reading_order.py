from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ocr_pipeline.ocr.reading_order import reading_order

Line = tuple[float, float, float]
"""Left, middle and right of a line 20 pixels high."""


def quads(lines: list[Line], degrees: float = 0.0) -> npt.NDArray[np.float32]:
    boxes: npt.NDArray[np.float64] = np.array(
        [[[x0, y - 10], [x1, y - 10], [x1, y + 10], [x0, y + 10]] for x0, y, x1 in lines]
    )
    boxes = boxes.reshape(-1, 4, 2)
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned: npt.NDArray[np.float32] = ((boxes - 300) @ turn + 300).astype(np.float32)
    return turned


RECEIPT: list[Line] = [(150, 20, 450), (30, 80, 260), (500, 83, 560), (30, 110, 200), (500, 107, 560)] + [
    item for i in range(5) for item in ((30.0, 140.0 + 30 * i, 250.0 + 10 * i), (490.0, 142.0 + 30 * i, 560.0))
]

TWO_COLUMNS: list[Line] = [
    (100, 20, 500),  # the title
    *((20, 80 + 30 * i, 285) for i in range(6)),
    *((315, 95 + 30 * i, 580) for i in range(6)),  # half a line lower: rows do not fit
    (20, 320, 580),  # a closing line over the whole breadth
]


@pytest.mark.parametrize("degrees", [0.0, 3.0, -5.0])
@pytest.mark.parametrize("lines", [RECEIPT, TWO_COLUMNS], ids=["receipt", "columns"])
def test_the_order_of_a_person(lines: list[Line], degrees: float) -> None:
    """Each list is written in reading order; whatever order the boxes come in, and tilted, that order comes out."""
    shuffled = np.random.default_rng(3).permutation(len(lines))

    order = reading_order(quads(lines, degrees)[shuffled])

    assert [int(shuffled[i]) for i in order] == list(range(len(lines)))


def test_columns_that_start_at_different_heights() -> None:
    left: list[Line] = [(20, 50 + 30 * i, 280) for i in range(8)]
    right: list[Line] = [(320, 110 + 30 * i, 580) for i in range(5)]

    assert reading_order(quads(left + right)) == list(range(13))


def test_three_columns() -> None:
    columns: list[Line] = [(20 + 300 * c, 50 + 30 * i, 280 + 300 * c) for c in range(3) for i in range(5)]

    assert reading_order(quads(columns)) == list(range(15))


@pytest.mark.parametrize(("letters", "columns"), [(26, True), (19, False)])
def test_lines_of_prose_are_longer_than_dates_and_labels(letters: int, columns: bool) -> None:
    # A letter is about a third as wide as the box of its line is high.
    left: list[Line] = [(20, 50 + 30 * i, 20 + letters * 20 / 3) for i in range(8)]
    right: list[Line] = [(320, 50 + 30 * i, 580) for i in range(8)]
    rows = [row for pair in zip(range(8), range(8, 16), strict=True) for row in pair]

    assert reading_order(quads(left + right)) == (list(range(16)) if columns else rows)


def test_every_line_comes_once() -> None:
    rng = np.random.default_rng(9)
    for count in (0, 1, 2, 40, 300):
        x, y = rng.uniform(0, 2000, (2, count))
        width = rng.uniform(5, 900, count)
        lines = list(zip(x.tolist(), y.tolist(), (x + width).tolist(), strict=True))
        order = reading_order(quads(lines))
        assert sorted(order) == list(range(count))
