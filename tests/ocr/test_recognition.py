"""Cutting and batching of lines, without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ocr_pipeline.ocr.geometry import aspects, clockwise, started_at, stretch_of
from ocr_pipeline.ocr.recognition import HEIGHT, LINE_SHAPES, MAX_WIDTH, cut, line_width, recognise
from ocr_pipeline.records import Pixels

CHARACTERS = ("", "a", "b", "c", " ")


def box(left: float, top: float, right: float, bottom: float) -> npt.NDArray[np.float32]:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


def gradient(height: int, width: int) -> Pixels:
    """Blue grows with x, green with y, in steps of 1, wrapping at 256."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.arange(width) % 256
    pixels[..., 1] = (np.arange(height) % 256)[:, None]
    return pixels


def test_a_line_is_cut_at_the_right_place_and_scaled() -> None:
    page = gradient(200, 200)

    line = cut(page, box(20, 100, 120, 124), 200)

    assert line.shape == (HEIGHT, 200, 3)
    assert line[0, :, 0] == pytest.approx(20 + np.arange(200) / 2, abs=1)
    assert line[:, 0, 1] == pytest.approx(100 + np.arange(HEIGHT) / 2, abs=1)


def test_lines_beyond_the_range_of_16_bits_are_cut_at_the_right_place() -> None:
    page = gradient(39_000, 100)

    line = cut(page, box(10, 38_000, 90, 38_048), 80)

    assert line[:, 0, 1] == pytest.approx((38_000 + np.arange(HEIGHT)) % 256, abs=1)


def test_a_vertical_line_reads_downwards() -> None:
    page = gradient(200, 200)

    (corners,) = started_at(box(100, 20, 120, 180)[None], np.array([1]))
    line = cut(page, corners, line_width(corners))

    assert line.shape == (HEIGHT, 384, 3)
    assert np.all(np.diff(line[10, :, 1].astype(int)) >= 0)
    assert line[0, 5, 0] > line[-1, 5, 0]


def test_corners_are_put_in_order() -> None:
    expected = box(3, 4, 50, 20)
    for turn in range(4):
        assert np.array_equal(clockwise(np.roll(expected, turn, axis=0)), expected)
        assert np.array_equal(clockwise(np.roll(expected[::-1], turn, axis=0)), expected)


def test_how_long_lines_are_and_where_they_start() -> None:
    lying, standing = box(0, 0, 80, 20), box(5, 0, 15, 50)
    quads = np.array([lying, standing])

    assert aspects(quads) == pytest.approx([4.0, 0.2])
    started = started_at(quads, np.array([0, 3]))
    assert np.array_equal(started[0], lying)
    assert started[1].tolist() == [[5, 50], [5, 0], [15, 0], [15, 50]]
    assert aspects(started) == pytest.approx([4.0, 5.0])


def test_a_stretch_of_a_line() -> None:
    assert np.array_equal(stretch_of(box(0, 10, 100, 20), 0.25, 0.75), box(25, 10, 75, 20))


class CountingNetwork:
    """Reads a line as 'a' where it is dark and notes the shapes it was given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, lines: Pixels) -> tuple[npt.NDArray[Any], ...]:
        self.shapes.append(lines.shape)
        steps = lines.reshape(len(lines), HEIGHT, -1, 8, 3).mean(axis=(1, 3, 4))
        classes = np.repeat((steps < 100).astype(np.int64)[..., None], 2, axis=-1)
        probabilities = np.zeros((*steps.shape, 3), np.float32)
        probabilities[..., :2] = np.where(classes > 0, 0.9, 0.4)
        return probabilities, classes


def test_readings_come_in_the_order_of_the_lines_whatever_their_width() -> None:
    page = np.full((400, 600, 3), 255, np.uint8)
    lefts = (400, 10, 250, 30, 100)
    quads = np.array([box(10, 70 * i, left + 60, 70 * i + 24) for i, left in enumerate(lefts)])
    for i, left in enumerate(lefts):
        for mark in range(i + 1):
            page[70 * i : 70 * i + 24, 12 + mark * 12 : 18 + mark * 12] = 0
        assert 12 + (i + 1) * 12 < left + 60
    network = CountingNetwork()

    readings = recognise(page, quads, network, CHARACTERS)

    assert [reading.text for reading in readings] == ["a", "aa", "aaa", "aaaa", "aaaaa"]
    assert [shape[0] for shape in network.shapes] == [2, 2, 2]  # the last of them with a blank line
    assert {(shape[0], *shape[1:3], 3) for shape in network.shapes} <= set(LINE_SHAPES)


@pytest.mark.parametrize(("right", "few_shapes", "width"), [(60, False, 320), (60, True, 384), (260, False, 512)])
def test_lines_are_padded_to_a_width_at_least(right: int, few_shapes: bool, width: int) -> None:
    network = CountingNetwork()

    recognise(
        np.full((50, 300, 3), 255, np.uint8),
        np.array([box(10, 10, right, 34)]),
        network,
        CHARACTERS,
        least_width=320,
        few_shapes=few_shapes,
    )

    assert [shape[2] for shape in network.shapes] == [width]


@pytest.mark.parametrize("few_shapes", [False, True])
def test_a_line_of_a_single_character_has_room_around_it(few_shapes: bool) -> None:
    network = CountingNetwork()

    recognise(
        np.full((50, 50, 3), 255, np.uint8), np.array([box(10, 10, 30, 40)]), network, CHARACTERS, few_shapes=few_shapes
    )

    assert [shape[2] for shape in network.shapes] == [128]


def test_few_shapes_are_wider_and_come_many_at_a_time() -> None:
    page = np.full((9_000, 600, 3), 255, np.uint8)
    rights = [20 + 7 * (i * 37 % 80) for i in range(100)]
    quads = np.array([box(10, 80 * i, right, 80 * i + 24) for i, right in enumerate(rights)])
    for i, right in enumerate(rights):
        for left in range(12, right - 8, 12 + i):
            page[80 * i : 80 * i + 24, left : left + 6] = 0
    few, many = CountingNetwork(), CountingNetwork()

    readings = recognise(page, quads, few, CHARACTERS, few_shapes=True)

    assert readings == recognise(page, quads, many, CHARACTERS)
    assert [shape[2] % 128 for shape in few.shapes] == [0] * len(few.shapes)
    assert sum(shape[0] for shape in few.shapes) == 100
    assert len({shape[2] for shape in few.shapes}) == len(few.shapes) < 10 < 50 <= len(many.shapes)


def test_not_too_many_lines_come_at_a_time() -> None:
    network = CountingNetwork()

    recognise(
        np.zeros((99, 99, 3), np.uint8), np.array([box(0, 0, 90, 30)] * 150), network, CHARACTERS, few_shapes=True
    )

    assert [shape[0] for shape in network.shapes] == [64, 64, 22]


def test_no_lines() -> None:
    assert (
        recognise(np.zeros((9, 9, 3), np.uint8), np.zeros((0, 4, 2), np.float32), CountingNetwork(), CHARACTERS) == []
    )


def test_a_long_line_is_cut_in_gaps_and_joined_with_spaces() -> None:
    page = np.full((40, 9000, 3), 255, np.uint8)
    lefts = range(20, 8900, 120)
    for left in lefts:
        page[2:38, left : left + 90] = 0
    network = CountingNetwork()
    corners = box(0, 0, 9000, 40)
    assert line_width(corners) > 3 * MAX_WIDTH

    (reading,) = recognise(page, corners[None], network, CHARACTERS)

    assert max(shape[2] for shape in network.shapes) <= MAX_WIDTH
    # A word that was cut in two would be counted twice.
    assert reading.text.replace(" ", "") == "a" * len(lefts)
    assert reading.text.count(" ") == len(network.shapes) * 2 - 1


@pytest.mark.parametrize("width", [1, 2])
def test_a_sliver_of_a_page_can_be_cut(width: int) -> None:
    page = np.zeros((500, width, 3), np.uint8)
    (corners,) = started_at(box(0, 0, width, 500)[None], np.array([1]))

    readings = recognise(page, corners[None], CountingNetwork(), CHARACTERS)

    assert len(readings) == 1
