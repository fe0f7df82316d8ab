"""Note the ranges of a recogniser's activations, for computing it in 8 bits: ``make calibrate [MODEL=small]``.

Reads the demo's drawn pages, in many scripts, and writes ``activations.json`` beside the code that uses it. Afterwards
compare accuracy and agreement (``make bench-ocr``, ``make bench-agreement``): a network that loses by it must not be
in that file.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from ocr_demo.dataset import draw
from ocr_pipeline.images import whole_pages
from ocr_pipeline.ocr.detection import detect
from ocr_pipeline.ocr.graphs import load_graph
from ocr_pipeline.ocr.models import find_model
from ocr_pipeline.ocr.networks import detection_network, recognition_network
from ocr_pipeline.ocr.onnxruntime import OnnxRuntimeRunner
from ocr_pipeline.ocr.quantization import RANGES, digest, is_mixing
from ocr_pipeline.ocr.recognition import recognise
from ocr_pipeline.records import Pixels

MAX_PIXELS = 100_000_000


_BINS = 8192
_LIMIT = 64.0
"""Activations are counted in so many bins between minus this and this; in PP-OCR's recognisers all are smaller."""


class Observed:
    """A recogniser, as a :data:`~ocr_pipeline.ocr.inference.Network`, that counts the values of some activations."""

    def __init__(self, graph: bytes, names: list[str]) -> None:
        model = onnx.load_model_from_string(graph)
        self._outputs = [output.name for output in model.graph.output]
        self._names = names
        model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
        self._session = onnxruntime.InferenceSession(model.SerializeToString())
        self.counts: dict[str, npt.NDArray[np.float64]] = {}
        self.lines = 0

    def __call__(self, pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
        outputs = self._session.run([*self._outputs, *self._names], {"pixels": pixels})
        self.lines += len(pixels)
        for name, values in zip(self._names, outputs[len(self._outputs) :], strict=True):
            if values.ndim == 3 or min(values.shape[2:]) > 1:  # one number a channel, or one row, is little work
                counts = np.histogram(values, _BINS, (-_LIMIT, _LIMIT))[0].astype(np.float64)
                self.counts[name] = self.counts.get(name, 0) + counts
        return tuple(outputs[: len(self._outputs)])


def best_range(counts: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The range whose 256 values come closest to the counted ones, in the mean square.

    A range that ends before the greatest value cuts some off, but has smaller steps for all others.
    """
    centres = (np.arange(_BINS) + 0.5) * (2 * _LIMIT / _BINS) - _LIMIT
    seen = np.flatnonzero(counts)
    low, high = min(centres[seen[0]], 0.0), max(centres[seen[-1]], 0.0)

    def error(bounds: tuple[float, float]) -> float:
        step = (bounds[1] - bounds[0]) / 255
        cut = np.clip(centres, *bounds) - centres
        inside = cut == 0
        # Rounding errs by a twelfth of a step's square in the mean.
        return float((counts * np.where(inside, step**2 / 12, cut**2)).sum())

    shares = np.linspace(0.2, 1, 41)
    return min(((low * a, high * b) for a in shares for b in shares), key=error)


def main() -> None:
    """Calibrate the model that the command line names."""
    model = find_model(sys.argv[1])
    graph = load_graph(model.recognition)
    mixing = [node for node in graph.graph.node if is_mixing(graph, node)]
    products = [node for node in mixing if node.op_type == "MatMul"]  # all but the last are attention's
    names = list(dict.fromkeys(node.input[0] for node in mixing if node not in products[:-1]))
    network = recognition_network(model.recognition, exact=True)
    observed = Observed(network.graph, names)
    find = OnnxRuntimeRunner().load(detection_network(model.detection).graph, 1 << 22)
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder))
        for path in sorted(Path(folder, "images").iterdir()):
            for page in whole_pages(path.read_bytes(), max_pixels=MAX_PIXELS):
                recognise(page.pixels, detect(page.pixels, find), observed, network.characters)
    known = json.loads(RANGES.read_text()) if RANGES.is_file() else {}
    known[digest(model.recognition)] = {
        name: [float(np.format_float_positional(bound, 4, fractional=False)) for bound in best_range(counts)]
        for name, counts in observed.counts.items()
    }
    RANGES.write_text(json.dumps(known, indent=1) + "\n")
    print(f"{model.name}: {len(observed.counts)} ranges from {observed.lines} lines, in {RANGES}")


if __name__ == "__main__":
    main()
