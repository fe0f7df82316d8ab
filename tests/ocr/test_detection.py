"""Detection on probability maps made by hand, and the sizes and tiles of pages."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from ocr_pipeline.ocr.detection import _with_taller, boxes_from_map, detect, probability_map
from ocr_pipeline.ocr.scales import SIZE, reduced_size, resized
from ocr_pipeline.records import Pixels


def rectangle(
    probability: npt.NDArray[np.float32], centre: tuple[float, float], size: tuple[float, float], angle: float, p: float
) -> None:
    corners = cv2.boxPoints((centre, size, angle))
    cv2.fillPoly(probability, [np.round(corners).astype(np.int32)], (p,))


def test_a_box_grows_by_area_over_perimeter() -> None:
    probability = np.zeros((128, 256), np.float32)
    probability[40:60, 50:151] = 0.9  # 101 x 20 pixels

    ((top_left, top_right, bottom_right, bottom_left),) = boxes_from_map(probability)

    # The contour runs through pixel centres and the 2x2 dilation moves its far edges by one pixel up and left:
    # 101 x 20 between centres. Each side moves out by 1.6 * 101 * 20 / (2 * 121).
    growth = 1.6 * 101 * 20 / (2 * 121)
    assert top_left == pytest.approx([50 - growth, 40 - growth], abs=1.1)
    assert top_right == pytest.approx([150 + growth, 40 - growth], abs=1.1)
    assert bottom_right == pytest.approx([150 + growth, 59 + growth], abs=1.1)
    assert bottom_left == pytest.approx([50 - growth, 59 + growth], abs=1.1)


@pytest.mark.parametrize("angle", [-30.0, -5.0, 12.0, 40.0])
def test_a_turned_box_keeps_its_turn(angle: float) -> None:
    probability = np.zeros((400, 400), np.float32)
    rectangle(probability, (200, 200), (180, 24), angle, 0.9)

    (corners,) = boxes_from_map(probability)

    run = corners[1] - corners[0]
    assert np.degrees(np.arctan2(run[1], run[0])) == pytest.approx(angle, abs=1.5)
    assert corners.mean(axis=0) == pytest.approx([200, 200], abs=1.5)


def test_doubtful_and_tiny_regions_are_left_out() -> None:
    probability = np.zeros((200, 200), np.float32)
    probability[20:40, 20:120] = 0.45  # above the pixel threshold, below what a box needs
    probability[100:102, 20:22] = 0.9  # a speck
    probability[150:170, 20:120] = 0.55

    boxes = boxes_from_map(probability)

    assert len(boxes) == 1
    assert boxes[0][:, 1].min() > 130


def test_text_inside_the_hole_of_other_text_is_found_and_the_hole_is_not() -> None:
    probability = np.zeros((300, 300), np.float32)
    rectangle(probability, (150, 150), (240, 240), 0, 0.9)
    rectangle(probability, (150, 150), (200, 200), 0, 0.0)
    rectangle(probability, (150, 150), (100, 20), 0, 0.9)

    boxes = boxes_from_map(probability)

    widths = sorted(float(np.ptp(box[:, 0])) for box in boxes)
    # The ring itself is mostly empty: only the line inside remains.
    assert len(widths) == 1
    assert 100 < widths[0] < 140


def test_there_is_no_cap_on_boxes() -> None:
    probability = np.zeros((2400, 480), np.float32)
    for y in range(8, 2392, 12):
        for x in range(8, 470, 60):
            probability[y : y + 6, x : x + 40] = 0.9

    boxes = boxes_from_map(probability)

    assert len(boxes) == 199 * 8
    assert boxes[:, :, 1].min() < 12


def test_an_empty_map_has_no_boxes() -> None:
    assert boxes_from_map(np.zeros((64, 64), np.float32)).shape == (0, 4, 2)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (960, 448, (960, 448)),
        (1, 1, (32, 32)),
        (100, 75, (96, 64)),
        (3000, 1500, (960, 480)),
        (1500, 3000, (480, 960)),
        (40_000, 300, (40_000, 288)),
        (300, 40_000, (288, 40_000)),
    ],
)
def test_reduced_size(height: int, width: int, expected: tuple[int, int]) -> None:
    assert reduced_size(height, width) == expected


@pytest.mark.parametrize(("height", "width"), [(4000, 3000), (4001, 2999), (1500, 1000), (300, 200)])
def test_pages_of_any_size_are_reduced_by_averages(height: int, width: int) -> None:
    page = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    page[: height // 2] //= 4

    small = resized(page, 400, 300)

    assert small.shape == (400, 300, 3)
    exact = cv2.resize(page, (300, 400), interpolation=cv2.INTER_AREA if height > 400 else cv2.INTER_LINEAR)
    difference = np.abs(small.astype(int) - exact)
    assert difference.mean() < 8  # of noise, whose pixels differ by 85 in the mean
    assert abs(small[:199].mean() - exact[:199].mean()) < 0.5


def test_another_size_reduces_pages_to_that() -> None:
    assert reduced_size(3000, 1500, 1280) == (1280, 640)
    assert reduced_size(40_000, 300, 320) == (14_208, 96)


@pytest.mark.parametrize("length", [960, 992, 1600, 2976, 10_016])
@pytest.mark.parametrize("lying", [False, True])
@pytest.mark.parametrize("size", [SIZE, 320])
def test_tiles_cover_the_page_and_have_context_at_their_seams(length: int, lying: bool, size: int) -> None:
    pixels = np.empty((length, 64, 3), np.uint8)
    pixels[:] = (np.arange(length) % 251)[:, None, None]
    page = np.ascontiguousarray(pixels.transpose(1, 0, 2)) if lying else pixels
    axis, edge = (3 if lying else 2), 75
    seen: list[int] = []

    def network(tile: Pixels) -> tuple[npt.NDArray[Any], ...]:
        """Repeats what it sees, and is blind near its edges, as a network is that knows nothing beyond them."""
        probability = np.moveaxis((tile[..., 0] / np.float32(255))[:, None], axis, 0).copy()
        seen.append(len(probability))
        probability[:edge] = probability[-edge:] = 0
        return (np.moveaxis(probability, 0, axis),)

    probability = probability_map(page, network, size)
    along = probability.T if lying else probability

    assert along.shape == (length, 64)
    assert max(seen) <= size
    assert np.array_equal(along[edge:-edge], pixels[edge:-edge, :, 0] / np.float32(255))


def test_boxes_come_back_in_pixels_of_the_page() -> None:
    page = np.zeros((40_000, 300, 3), np.uint8)
    page[39_000:39_040, 50:250] = 200

    def network(tile: Pixels) -> tuple[npt.NDArray[Any], ...]:
        return ((tile[..., 0] / np.float32(255))[:, None],)

    (box,) = detect(page, network)

    assert box.mean(axis=0) == pytest.approx([150, 39_020], abs=3)
    assert box[:, 0].min() >= 0
    assert box[:, 1].max() < 39_090


def test_a_small_page_is_enlarged_from_its_own_pixels() -> None:
    page = np.random.default_rng(0).integers(0, 256, (301, 211, 3), np.uint8)
    seen: list[Pixels] = []

    def network(pictures: Pixels) -> tuple[npt.NDArray[Any], ...]:
        seen.append(pictures[0].copy())
        probability = np.zeros((1, 1, *pictures.shape[1:3]), np.float32)
        probability[0, 0, 100:104, 50:150] = len(seen) == 1  # small print, in the first look alone
        return (probability,)

    detect(page, network)

    first, second = seen
    assert second.shape > first.shape
    assert np.array_equal(second, resized(page, *second.shape[:2]))


def test_few_shapes_pad_the_page_and_leave_its_boxes_where_they_are() -> None:
    shapes: set[tuple[int, ...]] = set()

    def network(pages: Pixels) -> tuple[npt.NDArray[Any], ...]:
        shapes.add(pages.shape)
        return ((pages[..., 0] / np.float32(255))[:, None],)

    for width in range(1000, 1960, 60):
        page = np.full((1920, width, 3), 60, np.uint8)
        page[500:560, 100:400] = page[1800:1900, width - 300 :] = 220  # the second ends where the padding begins

        padded, plain = (detect(page, network, few_shapes=few) for few in (True, False))

        assert len(plain) == 2
        assert np.abs(padded - plain).max() < 1e-3

    with_padding = {shape for shape in shapes if shape[2] in {128, 256, 384, 480, 608, 736, 864, 960}}
    assert len(with_padding) == 4
    assert with_padding < shapes


def test_tall_print_that_is_slanted_replaces_nothing_beside_it() -> None:
    def box(x: float, y: float, width: float, height: float, angle: float = 0.0) -> npt.NDArray[np.float32]:
        return np.asarray(cv2.boxPoints(((x, y), (width, height), angle)), np.float32)

    slanted = box(1000, 1000, 2000, 300, 45)
    part, heading, line = box(1100, 1100, 300, 280, 45), box(1500, 300, 400, 90), box(900, 900, 300, 20)

    merged = _with_taller(np.stack([part, heading, line]), slanted[None], 240)

    assert [corners.tolist() for corners in merged] == [corners.tolist() for corners in (heading, line, slanted)]
    assert np.array_equal(_with_taller(merged, slanted[None], 310), merged)
