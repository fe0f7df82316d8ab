"""OpenVINO compiles a network once more for shapes that come often, and computes by the shape alone."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

from ocr_pipeline.ocr.inference import Network, Shape
from ocr_pipeline.ocr.models import find_model
from ocr_pipeline.ocr.networks import detection_network
from ocr_pipeline.ocr.openvino import OpenVinoRunner
from ocr_pipeline.ocr.recognition import LINE_SHAPES
from tests.ocr.conftest import LoadEngine
from tests.ocr.drawing import receipt

pytestmark = pytest.mark.slow

OWN = (1, 32, 64, 3)
CACHED = (0,)


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[Shape | None]:
    """The shapes that OpenVINO compiles networks for, counted: None is any, CACHED one from the cache, first empty."""
    counts: Counter[Shape | None] = Counter()
    compile_model, import_model = openvino.Core.compile_model, openvino.Core.import_model

    def counting(self: openvino.Core, model: openvino.Model, *arguments: Any) -> Any:
        shape = model.input(0).get_partial_shape()
        counts[None if shape.is_dynamic else tuple(shape.to_shape())] += 1
        return compile_model(self, model, *arguments)

    def importing(*arguments: Any) -> Any:
        counts[CACHED] += 1
        return import_model(*arguments)

    monkeypatch.setattr(openvino.Core, "compile_model", counting)
    monkeypatch.setattr(openvino.Core, "import_model", importing)
    monkeypatch.setenv("OCR_CACHE", str(tmp_path / "cache"))
    return counts


def picture(width: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (1, 32, width, 3), np.uint8)


def load(own_shapes: Sequence[Shape], threads: int = 1) -> Network:
    graph = detection_network(find_model("small").detection).graph
    return OpenVinoRunner(threads, exact=True).load(graph, 1 << 20, own_shapes)


def test_a_shape_has_a_network_of_its_own_from_when_it_is_needed(compiled: Counter[Shape | None]) -> None:
    network = load([OWN, (1, 32, 128, 3)])
    network(picture(96))
    assert compiled == {None: 1}
    maps = [network(picture(64))[0].copy() for _ in range(3)]
    assert compiled == {None: 1, OWN: 1}
    assert all(np.array_equal(other, maps[0]) for other in maps)
    np.testing.assert_allclose(maps[0], load([])(picture(64))[0], atol=1e-5)


def test_threads_that_need_a_shape_together_compile_it_once(compiled: Counter[Shape | None]) -> None:
    network = load([OWN], threads=4)
    together = threading.Barrier(4)
    found: list[np.ndarray] = []

    def read() -> None:
        together.wait()
        for _ in range(3):
            found.append(network(picture(64))[0].copy())

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert compiled == {None: 1, OWN: 1, CACHED: 3}
    assert len(found) == 12
    assert all(np.array_equal(other, found[0]) for other in found)


def test_threads_compute_in_themselves() -> None:
    # Handed to threads of OpenVINO's, calls wait for a core that is busy while another is idle.
    networks = [load([OWN], threads=2) for _ in range(3)]
    compiled = threading.Barrier(3)
    own: list[float] = []

    def read() -> None:
        for network in networks:
            network(picture(64))
            network(picture(96))
        compiled.wait()
        started = time.thread_time()
        for _ in range(60):
            for network in networks:
                network(picture(64))
                network(picture(96))
        own.append(time.thread_time() - started)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    compiled.wait()
    before = time.process_time()
    for reader in readers:
        reader.join()
    assert sum(own) > 0.5 * (time.process_time() - before)


def test_a_network_computes_the_same_when_it_comes_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCR_CACHE", str(tmp_path))
    fresh, cached = ([load([OWN])(picture(width))[0].copy() for width in (64, 96)] for _ in range(2))
    assert len(list(tmp_path.glob("*/*"))) == 2  # one for the shape, one for all others
    assert all(np.array_equal(one, other) for one, other in zip(fresh, cached, strict=True))


def test_what_a_page_says_does_not_depend_on_what_was_read_before(engines: LoadEngine) -> None:
    fresh = engines(engine="openvino", languages=["en", "it"]).read(receipt())
    reader = engines(engine="openvino", languages=["it", "en"])
    for turn in (2.0, -3.0, 180.0):
        reader.read(receipt(turn=turn))
    assert reader.read(receipt()) == fresh


def test_lines_of_ordinary_length_have_shapes_of_their_own(
    compiled: Counter[Shape | None], engines: LoadEngine
) -> None:
    engines(engine="openvino", languages=["en", "nl"]).read(receipt())
    shapes = set(compiled) - {None}
    assert shapes
    assert shapes <= set(LINE_SHAPES)
