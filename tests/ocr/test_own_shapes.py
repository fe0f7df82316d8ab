"""OpenVINO compiles a network once more for shapes that come often, and for no more of them than it may."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest

from ocr_pipeline.ocr import runners
from ocr_pipeline.ocr.models import find_model
from ocr_pipeline.ocr.networks import detection_network
from ocr_pipeline.ocr.runners import OpenVinoRunner, Shape

OFTEN = 3


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> Counter[Shape | None]:
    """The shapes that networks are compiled for, counted."""
    monkeypatch.setattr(runners, "_OFTEN", OFTEN)
    counts: Counter[Shape | None] = Counter()
    compile_network = OpenVinoRunner._compile

    def counting(self: OpenVinoRunner, graph: bytes, shape: Shape | None) -> Any:
        counts[shape] += 1
        return compile_network(self, graph, shape)

    monkeypatch.setattr(OpenVinoRunner, "_compile", counting)
    return counts


def picture(width: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (1, 32, width, 3), np.uint8)


def load(own_shapes: int, threads: int = 1) -> runners.Network:
    graph = detection_network(find_model("small").detection).graph
    return OpenVinoRunner(threads, exact=True).load(graph, 1 << 20, own_shapes)


def test_a_shape_that_comes_often_gets_a_network_of_its_own_with_the_same_results(
    compiled: Counter[Shape | None],
) -> None:
    network = load(own_shapes=4)
    pixels = picture(64)
    maps = []
    for call in range(OFTEN + 2):
        assert compiled == ({None: 1} if call < OFTEN else {None: 1, pixels.shape: 1})
        maps.append(network(pixels)[0].copy())
    for other in maps[1:]:
        np.testing.assert_allclose(other, maps[0], atol=1e-5)


def test_no_more_shapes_than_allowed_get_one(compiled: Counter[Shape | None]) -> None:
    network = load(own_shapes=2)
    for _ in range(OFTEN + 1):
        for width in (32, 64, 96, 128):
            network(picture(width))
    assert compiled == {None: 1, (1, 32, 32, 3): 1, (1, 32, 64, 3): 1}


def test_threads_that_meet_a_shape_together_compile_it_once(compiled: Counter[Shape | None]) -> None:
    network = load(own_shapes=4, threads=4)
    expected = network(picture(64))[0].copy()
    together = threading.Barrier(4)
    found: list[np.ndarray] = []

    def read() -> None:
        together.wait()
        for _ in range(3 * OFTEN):
            found.append(network(picture(64))[0].copy())

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert compiled == {None: 1, (1, 32, 64, 3): 1}
    assert len(found) == 12 * OFTEN
    for other in found:
        np.testing.assert_allclose(other, expected, atol=1e-5)
