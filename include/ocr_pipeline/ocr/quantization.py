"""Eight-bit integers for the layers in which a network spends its time.

Processors multiply 8-bit integers two to four times as fast as 16- or 32-bit numbers. Weights get a scale for each
output channel, activations one for the whole tensor and a zero point (Jacob et al., "Quantization and Training of
Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018). Both are put into the graph as
QuantizeLinear and DequantizeLinear nodes, which runners fuse. What the last layer takes lies evenly around zero and
gets no zero point: with 18,710 characters, correcting for one took a tenth of the recogniser's time (with Intel's AMX).

Only what mixes channels at many places is treated so: convolutions, but for the first, which takes the pixels, and the
last layer with its thousands of characters. All else stays as precise as it was: quantising attention and gates as well
is what ruins recognition, and they take little time.

The ranges of activations must be known beforehand. They are in ``activations.json`` for the networks on which the
result was measured (``make calibrate`` notes them); all others are left as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ocr_pipeline.ocr.graphs import attribute, constants, replace_nodes, store, tensor

if TYPE_CHECKING:
    import onnx

Ranges = Mapping[str, tuple[float, float]]
"""The least and the greatest value of activations, by the name that they have in the network's file."""

RANGES = Path(__file__).with_name("activations.json")
"""Activation ranges by the SHA-256 of a network's file."""

_CHANNELS = 24
"""Convolutions with fewer channels, in or out, take little time, or the pixels."""


def known_ranges(path: Path) -> Ranges:
    """The activation ranges of the network in the file ``path``; empty when it is not to be quantised."""
    return {name: (low, high) for name, (low, high) in _all_ranges().get(digest(path), {}).items()}


def digest(path: Path) -> str:
    """What the network in ``path`` is known by."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _all_ranges() -> dict[str, dict[str, tuple[float, float]]]:
    ranges: dict[str, dict[str, tuple[float, float]]] = json.loads(RANGES.read_text())
    return ranges


def quantise(model: onnx.ModelProto, ranges: Ranges) -> None:
    """Edit ``model`` in place: compute in 8 bits the layers that take what ``ranges`` has."""
    from onnx import helper

    quantised: set[str] = set()
    nodes = []
    for node in model.graph.node:
        source = node.input[0] if node.input else ""
        if source in ranges and is_mixing(model, node):
            restored = f"{source}.restored"
            if source not in quantised:
                quantised.add(source)
                step, zero = (step_around_zero if node.op_type == "MatMul" else step_and_zero)(*ranges[source])
                parameters = [store(model, f"{source}.scale", step), store(model, f"{source}.zero", zero)]
                nodes += [
                    helper.make_node("QuantizeLinear", [source, *parameters], [f"{source}.8bit"]),
                    helper.make_node("DequantizeLinear", [f"{source}.8bit", *parameters], [restored]),
                ]
            weights = _quantised_weights(model, node)
            nodes.append(weights)
            node.input[:] = [restored, weights.output[0], *node.input[2:]]
        nodes.append(node)
    replace_nodes(model, nodes)


def is_mixing(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """Whether ``node`` is a convolution between many channels, or a product with stored weights."""
    stored = constants(model)
    if node.op_type not in ("Conv", "MatMul") or node.input[1] not in stored:
        return False
    if node.op_type == "MatMul":
        return len(stored[node.input[1]].dims) == 2
    outputs, inputs, *_ = stored[node.input[1]].dims
    return bool(attribute(node, "group", 1) == 1 and min(outputs, inputs) >= _CHANNELS)


def step_and_zero(low: float, high: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """The step between the 256 values from ``low`` to ``high``, zero among them, and which of them is zero.

    Both are scalars, of shape ().
    """
    low, high = min(low, 0.0), max(high, 0.0)
    step = max(high - low, 1e-6) / 255
    return np.array(step, np.float32), np.array(round(-low / step), np.uint8)


def step_around_zero(low: float, high: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    """As :func:`step_and_zero`, for values on both sides of zero, which is 0."""
    return np.array(max(-low, high, 1e-6) / 127, np.float32), np.array(0, np.int8)


def _quantised_weights(model: onnx.ModelProto, node: onnx.NodeProto) -> onnx.NodeProto:
    """Store the weights of ``node`` in 8 bits, -127 to 127 times a scale for each output, and restore them."""
    from onnx import helper

    name = node.input[1]
    weights = tensor(model, name)
    axis = 0 if node.op_type == "Conv" else 1  # where a convolution's and a product's weights have the outputs
    others = tuple(number for number in range(weights.ndim) if number != axis)
    scales = np.maximum(np.abs(weights).max(axis=others, keepdims=True), 1e-9).astype(np.float32) / 127
    parts = [
        store(model, f"{name}.8bit", np.rint(weights / scales).astype(np.int8)),
        store(model, f"{name}.scale", scales.ravel()),
        store(model, f"{name}.zero", np.zeros(scales.size, np.int8)),
    ]
    return helper.make_node("DequantizeLinear", parts, [f"{name}.restored"], axis=axis)
