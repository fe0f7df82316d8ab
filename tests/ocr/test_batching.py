"""Calls that run together: what goes into a run, what comes back, and the whole pipeline over it.

It is for GPUs, but nothing in it knows what it runs on, so it is tested on the processor.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from ocr_pipeline.ocr.batching import Batched
from ocr_pipeline.ocr.detection import BATCH_PIXELS as DETECTION_PIXELS
from ocr_pipeline.ocr.doubts import Doubts
from ocr_pipeline.ocr.engine import load_pipeline, pipeline_threads
from ocr_pipeline.ocr.inference import LoadedModel, Network, Runner
from ocr_pipeline.ocr.models import find_model
from ocr_pipeline.ocr.networks import RecognitionNetwork, cached_detection_network, cached_recognition_network
from ocr_pipeline.ocr.onnxruntime import OnnxRuntimeRunner
from ocr_pipeline.ocr.openvino import OpenVinoRunner
from ocr_pipeline.ocr.pipeline import PipelineEngine
from ocr_pipeline.ocr.precision import half_precision
from ocr_pipeline.ocr.recognition import BATCH_PIXELS as RECOGNITION_PIXELS
from ocr_pipeline.records import Page, PageText, Pixels
from ocr_pipeline.settings.run import ReadSettings
from tests.ocr.drawing import draw_page, receipt

pytestmark = pytest.mark.slow

Outputs = tuple[npt.NDArray[Any], ...]

POISON = 13
"""Pixels on which a :class:`RecordingNetwork` fails."""


class RecordingNetwork:
    """Returns what it gets, as two outputs, in memory that its next run overwrites; keeps how many rows it got.

    A run takes until somebody calls :meth:`go_on`, unless it is not :attr:`held`.
    """

    def __init__(self, *, held: bool = True) -> None:
        self.held = held
        self.runs: list[tuple[int, ...]] = []
        self.failed = 0
        self._steps = threading.Semaphore(0)
        self._inside = threading.Lock()
        self._memory = np.zeros(0, np.int64)

    def go_on(self, runs: int = 1) -> None:
        self._steps.release(runs)

    def __call__(self, pixels: Pixels) -> Outputs:
        assert self._inside.acquire(blocking=False), "two runs at a time"
        try:
            self.runs.append(pixels.shape)
            assert not self.held or self._steps.acquire(timeout=60)
            if (pixels == POISON).any():
                self.failed += 1
                raise RuntimeError("poison")
            if self._memory.size < pixels.size:
                self._memory = np.zeros(pixels.size, np.int64)
            self._memory[:] = -1
            same = self._memory[: pixels.size].reshape(pixels.shape)
            same[:] = pixels
            return same, same[..., 0].sum(axis=(1, 2))
        finally:
            self._inside.release()


def rows(count: int, first: int, height: int = 8, width: int = 8) -> Pixels:
    """``count`` rows filled with ``first``, ``first`` + 1, …"""
    pixels = np.zeros((count, height, width, 3), np.uint8)
    pixels += np.arange(first, first + count, dtype=np.uint8)[:, None, None, None]
    return pixels


def assert_own(outputs: Outputs, pixels: Pixels) -> None:
    """``outputs`` are those of ``pixels``, a row each, in their order."""
    assert np.array_equal(outputs[0], pixels)
    assert np.array_equal(outputs[1], pixels[..., 0].sum(axis=(1, 2)))


def until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to that")


class Callers:
    """Threads that call a network one after another, while its first run is still under way."""

    def __init__(self, batched: Batched, network: RecordingNetwork, calls: Sequence[Pixels]) -> None:
        self.pool = ThreadPoolExecutor(len(calls) + 1)
        self.first = self.pool.submit(batched, rows(1, 200))
        until(lambda: len(network.runs) == 1)
        self.futures: list[Future[Outputs]] = []
        for pixels in calls:
            waiting = batched.waiting + len(pixels)
            self.futures.append(self.pool.submit(batched, pixels))
            until(lambda waiting=waiting: batched.waiting == waiting)  # type: ignore[misc]

    def results(self) -> list[Outputs]:
        assert_own(self.first.result(60), rows(1, 200))
        return [future.result(60) for future in self.futures]


def test_what_waits_runs_together() -> None:
    network = RecordingNetwork()
    calls = [rows(3, 20), rows(5, 40), rows(1, 60), rows(7, 80)]
    callers = Callers(Batched(network, 64 * 64), network, calls)

    network.go_on(2)

    for outputs, pixels in zip(callers.results(), calls, strict=True):
        assert_own(outputs, pixels)
    assert network.runs == [(1, 8, 8, 3), (16, 8, 8, 3)]


def test_only_one_shape_runs_together_and_the_oldest_first() -> None:
    network = RecordingNetwork()
    calls = [rows(1, 20, 8, 16), rows(4, 40, 8, 8), rows(3, 60, 8, 16), rows(1, 80, 16, 8), rows(12, 100, 8, 8)]
    callers = Callers(Batched(network, 64 * 64), network, calls)

    network.go_on(4)

    for outputs, pixels in zip(callers.results(), calls, strict=True):
        assert_own(outputs, pixels)
    assert network.runs[1:] == [(8, 8, 16, 3), (16, 8, 8, 3), (2, 16, 8, 3)]


def test_nothing_starves_where_another_shape_keeps_coming() -> None:
    network = RecordingNetwork()
    batched = Batched(network, 4 * 64)
    callers = Callers(batched, network, [rows(4, 20), rows(1, 40, 4, 4), rows(4, 60), rows(4, 80)])

    network.go_on(2)
    until(lambda: len(network.runs) == 3)
    late = callers.pool.submit(batched, rows(4, 100))

    assert network.runs[1:] == [(4, 8, 8, 3), (1, 4, 4, 3)]
    network.go_on(4)
    assert_own(late.result(60), rows(4, 100))
    callers.results()


def test_a_run_stays_within_its_memory() -> None:
    network = RecordingNetwork()
    calls = [rows(50, 20), rows(40, 80), rows(2, 150, 40, 40)]
    callers = Callers(Batched(network, 31 * 64), network, calls)

    network.go_on(20)

    for outputs, pixels in zip(callers.results(), calls, strict=True):
        assert_own(outputs, pixels)
    # 31 rows would fit, but runs come in few sizes. What is too large by itself runs alone.
    assert network.runs[1:] == [(16, 8, 8, 3)] * 6 + [(1, 40, 40, 3)] * 2


@pytest.mark.parametrize(("most", "sizes"), [(64, {1, 4, 16, 64}), (33, {2, 8, 32}), (1, {1})])
def test_runs_come_in_few_sizes(most: int, sizes: set[int]) -> None:
    network = RecordingNetwork(held=False)
    batched = Batched(network, most * 64)

    for count in range(1, 70):
        assert_own(batched(rows(count, 100)), rows(count, 100))

    assert {run[0] for run in network.runs} == sizes


def test_a_call_alone_runs_at_once_in_its_own_thread() -> None:
    threads: list[threading.Thread] = []

    def network(pixels: Pixels) -> Outputs:
        threads.append(threading.current_thread())
        return (pixels,)

    Batched(network, 64 * 64)(rows(2, 20))

    assert threads == [threading.current_thread()]


def test_a_bad_call_does_not_harm_those_beside_it() -> None:
    network = RecordingNetwork()
    batched = Batched(network, 64 * 64)
    good, bad = [rows(2, 20), rows(3, 30)], rows(2, POISON)
    callers = Callers(batched, network, [good[0], bad, good[1]])

    network.go_on(20)

    assert_own(callers.futures[0].result(60), good[0])
    assert_own(callers.futures[2].result(60), good[1])
    with pytest.raises(RuntimeError, match="poison"):
        callers.futures[1].result(60)
    assert [run[0] for run in network.runs] == [1, 16, 4, 4, 4]
    assert_own(batched(rows(1, 70)), rows(1, 70))


def test_what_is_left_of_a_bad_call_is_not_run() -> None:
    network = RecordingNetwork(held=False)
    batched = Batched(network, 4 * 64)

    with pytest.raises(RuntimeError, match="poison"):
        batched(rows(40, POISON))

    assert len(network.runs) == 1
    assert batched.waiting == 0


class Interrupt(BaseException):
    """As a signal raises in the main thread."""


def test_a_thread_that_is_interrupted_leaves_the_others_running() -> None:
    network = RecordingNetwork()
    interrupted = threading.Event()

    def interruptible(pixels: Pixels) -> Outputs:
        outputs = network(pixels)
        if len(network.runs) == 2 and not interrupted.is_set():
            interrupted.set()
            raise Interrupt
        return outputs

    calls = [rows(2, 20), rows(3, 30), rows(2, 40)]
    batched = Batched(interruptible, 64 * 64)
    callers = Callers(batched, network, calls)

    network.go_on(20)

    ended = [future.exception(60) for future in callers.futures]
    assert [type(error) for error in ended if error is not None] == [Interrupt]
    for future, error, pixels in zip(callers.futures, ended, calls, strict=True):
        if error is None:
            assert_own(future.result(), pixels)
    assert batched.waiting == 0
    assert_own(batched(rows(1, 70)), rows(1, 70))


def test_many_threads_get_their_own() -> None:
    network = RecordingNetwork(held=False)
    batched = Batched(network, 16 * 64)
    asked: list[int] = []

    def call(seed: int) -> None:
        chance = np.random.default_rng(seed)
        for _ in range(40):
            pixels = chance.integers(
                POISON + 1, 256, (chance.integers(1, 30), 8, chance.choice([4, 8, 12]), 3), np.uint8
            )
            bad = chance.random() < 0.1
            if bad:
                pixels[-1] = POISON
                with pytest.raises(RuntimeError, match="poison"):
                    batched(pixels)
            else:
                assert_own(batched(pixels), pixels)
            asked.append(len(pixels))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(call, range(12)))

    assert len(asked) == 12 * 40
    assert batched.waiting == 0
    assert network.failed > 0
    assert max(math.prod(run[:3]) for run in network.runs) == 16 * 64


# The real networks, on both libraries.

MODEL = find_model("small")

RUNNERS: dict[str, Callable[[bool], Runner]] = {
    "onnxruntime": lambda batching: OnnxRuntimeRunner(exact=True, batching=batching),
    "openvino": lambda batching: OpenVinoRunner(2, exact=True, batching=batching),
}


def recognition() -> RecognitionNetwork:
    return cached_recognition_network(MODEL.recognition, ["en"], exact=True)


@pytest.mark.parametrize("name", RUNNERS)
def test_networks_return_the_same_as_when_called_one_by_one(name: str) -> None:
    graph = recognition().graph
    alone = RUNNERS[name](False).load(graph)
    together = RUNNERS[name](True).load(graph, 48 * 96 * 8)
    chance = np.random.default_rng(7)
    calls = [
        chance.integers(0, 256, (count, 48, width, 3), np.uint8)
        for count, width in ((1, 96), (3, 96), (2, 64), (11, 96), (1, 64), (5, 96))
    ]
    expected = [[np.concatenate([alone(row[None])[k].copy() for row in lines]) for k in (0, 1)] for lines in calls]

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(together, calls * 3))

    for outputs, (probabilities, classes) in zip(results, expected * 3, strict=True):
        assert np.allclose(outputs[0], probabilities, atol=1e-4)
        assert np.array_equal(outputs[1], classes)


def test_every_shape_has_a_session_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions: list[set[tuple[int, ...]]] = []

    class Session(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.shapes: set[tuple[int, ...]] = set()
            sessions.append(self.shapes)

        def run(self, names: Any, feed: dict[str, Pixels]) -> Any:
            self.shapes.add(feed["pixels"].shape)
            return super().run(names, feed)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    network = OnnxRuntimeRunner(batching=True).load(recognition().graph, 48 * 64 * 16)

    for count in (1, 3, 4, 1, 2, 16):
        for width in (64, 32):
            network(np.zeros((count, 48, width, 3), np.uint8))

    widths = [(size, 48, 64, 3) for size in (1, 4, 16)] + [(size, 48, 32, 3) for size in (2, 8, 32)]
    assert sorted(map(len, sessions)) == [0] + [1] * len(widths)  # one only showed that all is well
    assert {shape for shapes in sessions for shape in shapes} == set(widths)


def pages() -> list[Page]:
    """Pages of several shapes, with short and long lines, straight and tilted; a tall one that is seen in tiles."""
    words = "harbour invoice candle seven river station Monday receipt garden silver window market"
    return [
        receipt(),
        receipt(turn=3.0),
        draw_page(700, 320, [(words[: 9 + 4 * i], 20, 20 + 48 * i) for i in range(6)]),
        draw_page(320, 700, [(f"Entry {i} of 14", 20, 20 + 48 * i) for i in range(14)]),
        draw_page(3000, 120, [(f"{words} {words}", 20, 30)], size=36),
        draw_page(240, 2600, [(f"Item {i:02d}", 20, 20 + 86 * i) for i in range(30)]),
        draw_page(90, 60, [("No 7", 10, 12)]),
    ]


def read_by_threads(engine: Any, count: int = 4) -> list[PageText]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(engine.read, pages()))


def assert_same_reading(readings: Sequence[PageText], expected: Sequence[PageText]) -> None:
    for reading, other in zip(readings, expected, strict=True):
        assert [line.text for line in reading.lines] == [line.text for line in other.lines]
        for line, true in zip(reading.lines, other.lines, strict=True):
            assert np.abs(np.array(line.quad) - np.array(true.quad)).max() < 4
            assert line.confidence == pytest.approx(true.confidence, abs=0.1)


@pytest.fixture(scope="module")
def expected() -> list[PageText]:
    """What the pipeline reads when no calls run together, in float32."""
    engine = load_pipeline("onnxruntime", ReadSettings(languages=("en",), precision="float32"), threads=1)
    return [engine.read(page) for page in pages()]


@pytest.mark.parametrize("name", RUNNERS)
def test_pages_read_together_say_the_same(name: str, expected: list[PageText]) -> None:
    settings = ReadSettings(languages=("en",), precision="float32")
    engine = load_pipeline(name, settings, threads=4, batching=True)

    readings = read_by_threads(engine)

    assert all(reading.lines for reading in expected)
    assert_same_reading(readings, expected)


class ObservedRunner:
    """A runner whose networks run together, and whose runs are counted."""

    def __init__(self) -> None:
        self.runs: list[list[tuple[int, ...]]] = []
        self.hold: Callable[[Batched], None] = lambda batched: None

    def load(self, graph: bytes, most_pixels: int) -> Network:
        network, runs = OnnxRuntimeRunner().load(graph), []

        def observed(pixels: Pixels) -> Outputs:
            runs.append(pixels.shape)
            if len(runs) == 1:
                self.hold(batched)
            return network(pixels)

        batched = Batched(observed, most_pixels)
        self.runs.append(runs)
        return batched


def observed_engine(runner: ObservedRunner, graph: Callable[[bytes], bytes] = lambda graph: graph) -> PipelineEngine:
    network = recognition()
    detect = runner.load(graph(cached_detection_network(MODEL.detection).graph), DETECTION_PIXELS)
    recognise = runner.load(graph(network.graph), RECOGNITION_PIXELS)
    return PipelineEngine(
        LoadedModel("observed", detect, recognise, network.characters, batching=True),
        threads=8,
        min_confidence=0.5,
        stretch=False,
        doubts=Doubts("small"),
    )


def test_pages_and_lines_of_several_images_share_runs() -> None:
    runner = ObservedRunner()
    runner.hold = lambda batched: until(lambda: batched.waiting >= 7)
    engine = observed_engine(runner)
    (detection, recognition) = runner.runs
    page = draw_page(300, 100, [("Harbour Road", 20, 30)])

    with ThreadPoolExecutor(8) as pool:
        readings = list(pool.map(engine.read, [page] * 8))

    assert [reading.text for reading in readings] == ["Harbour Road"] * 8
    # The first page was on its way alone; the other seven arrived meanwhile. Of their lines the same is true.
    assert [run[0] for run in detection] == [1, 16] or [run[0] for run in detection] == [2, 8]
    assert [run[0] for run in recognition] == [2, 8]


def test_half_precision_reads_the_same(expected: list[PageText]) -> None:
    single = recognition().graph
    assert len(half_precision(single)) < 0.6 * len(single)

    assert_same_reading(read_by_threads(observed_engine(ObservedRunner(), half_precision)), expected)


def test_half_precision_keeps_inputs_and_outputs() -> None:
    graph = recognition().graph
    single, half = (
        onnxruntime.InferenceSession(g, providers=["CPUExecutionProvider"]) for g in (graph, half_precision(graph))
    )

    def types(session: Any) -> list[tuple[str, str]]:
        return [(value.name, value.type) for value in (*session.get_inputs(), *session.get_outputs())]

    assert types(half) == types(single)
    assert types(half)[0] == ("pixels", "tensor(uint8)")


@pytest.mark.parametrize(
    ("device", "threads", "computing"), [("cpu", 0, 4), ("gpu", 0, 12), ("cpu", 5, 5), ("gpu", 5, 5)]
)
def test_a_gpu_has_readers_besides_one_a_core(device: str, threads: int, computing: int) -> None:
    assert pipeline_threads(ReadSettings(engine="onnxruntime", device=device, threads=threads), cores=4) == computing
