from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.agreement import compare, read_all
from ocr_pipeline.ocr.engine import load_onnx, load_pipeline
from ocr_pipeline.ocr.graphs import attribute, load_graph
from ocr_pipeline.ocr.inference import Network, Shape
from ocr_pipeline.ocr.models import find_model
from ocr_pipeline.ocr.networks import recognition_network
from ocr_pipeline.ocr.onnxruntime import OnnxRuntimeRunner
from ocr_pipeline.ocr.openvino import OpenVinoRunner
from ocr_pipeline.ocr.quantization import known_ranges, quantise, step_and_zero, step_around_zero
from ocr_pipeline.records import PageText
from ocr_pipeline.settings.run import ReadSettings
from tests.ocr.test_agreement import pages

pytestmark = pytest.mark.slow


def kinds(graph: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_model_from_string(graph).graph.node]


def test_the_installed_recogniser_is_one_whose_ranges_are_known() -> None:
    # Fails when its file has changed: then `make calibrate`, and see whether it reads as well as before.
    path = find_model("small").recognition
    ranges = known_ranges(path)
    assert len(ranges) == 31
    assert {name for node in load_graph(path).graph.node for name in node.output} >= set(ranges)


def test_only_convolutions_behind_the_first_and_the_last_layer_are_computed_in_8_bits() -> None:
    path = find_model("small").recognition
    model = load_graph(path)
    quantise(model, known_ranges(path))
    onnx.checker.check_model(model)
    takers = [node for node in model.graph.node if node.input and node.input[0].endswith(".restored")]
    assert [node.op_type for node in takers] == ["Conv"] * 30 + ["MatMul"]
    assert all(attribute(node, "group", 1) == 1 for node in takers[:-1])
    assert sum(attribute(node, "kernel_shape") != [1, 1] for node in takers[:-1]) == 3
    assert not any(model.graph.input[0].name in node.input[0] for node in takers)
    assert "DequantizeLinear" not in kinds(recognition_network(path, exact=True).graph)


def test_a_network_that_nobody_has_measured_is_left_as_it_is(tmp_path: Path) -> None:
    other = tmp_path / "rec.onnx"
    other.write_bytes(find_model("small").recognition.read_bytes() + b"\x7a\x00")  # one more field, which nobody reads
    assert known_ranges(other) == {}
    assert "DequantizeLinear" not in kinds(recognition_network(other).graph)


@pytest.mark.parametrize(("low", "high"), [(-0.17, 5.0), (-3.0, 1.0), (0.5, 2.0), (-2.0, -1.0), (0.0, 0.0)])
def test_zero_stays_zero_in_any_range(low: float, high: float) -> None:
    step, zero = step_and_zero(low, high)
    least, greatest = (float(step) * (end - int(zero)) for end in (0, 255))
    assert least <= min(low, 0) + step
    assert greatest >= max(high, 0) - step
    assert zero.dtype == np.uint8


def test_around_zero_both_ends_are_kept() -> None:
    step, zero = step_around_zero(-28.0, 31.0)
    assert float(step) == pytest.approx(31 / 127)
    assert zero.dtype == np.int8
    assert zero == 0
    step, _ = step_around_zero(-33.0, 31.0)
    assert float(step) == pytest.approx(33 / 127)


def test_only_runners_that_gain_by_it_compute_in_8_bits() -> None:
    assert OpenVinoRunner(1).eight_bit
    assert not OpenVinoRunner(1, exact=True).eight_bit
    assert not OnnxRuntimeRunner().eight_bit


@pytest.mark.parametrize("eight_bit", [True, False])
def test_a_runner_gets_the_network_that_it_is_best_with(eight_bit: bool) -> None:
    graphs: list[bytes] = []

    class Recording:
        name, batching = "recording", False

        def __init__(self) -> None:
            self.eight_bit = eight_bit

        def load(self, graph: bytes, most_pixels: int = 0, own_shapes: Sequence[Shape] = ()) -> Network:
            graphs.append(graph)
            return lambda pixels: ()

    load_onnx(Recording(), find_model("small"), [])
    detection, recognition = map(kinds, graphs)
    assert "QuantizeLinear" not in detection
    assert ("QuantizeLinear" in recognition) == eight_bit


def test_text_is_read_as_with_exact_arithmetic() -> None:
    def read(settings: ReadSettings) -> list[PageText]:
        return read_all(load_pipeline("openvino", settings, threads=1), list(pages()))

    found = compare(read(ReadSettings()), read(ReadSettings(precision="float32")))
    assert found.lines >= 0.95
    assert found.characters >= 0.99
