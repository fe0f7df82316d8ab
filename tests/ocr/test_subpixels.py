from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ocr_pipeline.ocr.graphs import load_graph
from ocr_pipeline.ocr.models import find_model
from ocr_pipeline.ocr.subpixels import put_off_upsampling

RANDOM = np.random.default_rng(0)


def weights(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(RANDOM.normal(size=shape).astype(np.float32), name)


def network(nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto]) -> onnx.ModelProto:
    """From x, (n, 3, h, w), to y, float32 both."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, (None, None, None, None)) for name in "xy")
    graph = helper.make_graph(nodes, "test", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def upsample(source: str, result: str, kernel: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(
        "ConvTranspose", [source, kernel], [result], **{"kernel_shape": [2, 2], "strides": [2, 2], **attributes}
    )


def run(model: onnx.ModelProto, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (result,) = session.run(None, {session.get_inputs()[0].name: values})
    return np.asarray(result)


def edited(model: onnx.ModelProto) -> onnx.ModelProto:
    copy: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    put_off_upsampling(copy)
    onnx.checker.check_model(copy)
    return copy


def test_the_detector_gives_the_same_map_from_small_pictures() -> None:
    model = load_graph(find_model("small").detection)
    page = RANDOM.uniform(-2, 2, (1, 3, 64, 96)).astype(np.float32)
    other = edited(model)
    kinds = [node.op_type for node in other.graph.node]
    assert "ConvTranspose" not in kinds
    assert kinds[-2:] == ["DepthToSpace", "DepthToSpace"]
    np.testing.assert_allclose(run(other, page), run(model, page), atol=1e-5)


CHAINS = {
    "bias first and in three dimensions": (
        [upsample("x", "u", "k"), helper.make_node("Add", ["b", "u"], ["y"])],
        [weights("k", 3, 5, 2, 2), weights("b", 5, 1, 1)],
    ),
    "one number for all channels": (
        [upsample("x", "u", "k"), helper.make_node("Add", ["u", "b"], ["v"]), helper.make_node("Relu", ["v"], ["y"])],
        [weights("k", 3, 5, 2, 2), weights("b", 1)],
    ),
    "two in a row, of different sizes": (
        [
            upsample("x", "u", "k"),
            helper.make_node("Relu", ["u"], ["v"]),
            upsample("v", "w", "l", kernel_shape=[3, 3], strides=[3, 3]),
            helper.make_node("Sigmoid", ["w"], ["y"]),
        ],
        [weights("k", 3, 5, 2, 2), weights("l", 5, 2, 3, 3)],
    ),
    "a convolution of size 3 after it": (
        [
            upsample("x", "u", "k"),
            helper.make_node("Relu", ["u"], ["v"]),
            helper.make_node("Conv", ["v", "c"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        ],
        [weights("k", 3, 5, 2, 2), weights("c", 4, 5, 3, 3)],
    ),
    "a convolution of size 1 that leaves pixels out": (
        [upsample("x", "u", "k"), helper.make_node("Conv", ["u", "c"], ["y"], kernel_shape=[1, 1], strides=[2, 2])],
        [weights("k", 3, 5, 2, 2), weights("c", 4, 5, 1, 1)],
    ),
    "a convolution of size 1 that adds a border": (
        [upsample("x", "u", "k"), helper.make_node("Conv", ["u", "c"], ["y"], kernel_shape=[1, 1], pads=[1, 1, 1, 1])],
        [weights("k", 3, 5, 2, 2), weights("c", 4, 5, 1, 1)],
    ),
    "a bias for each pixel": (
        [upsample("x", "u", "k"), helper.make_node("Add", ["u", "b"], ["y"])],
        [weights("k", 3, 5, 2, 2), weights("b", 1, 5, 8, 12)],
    ),
    "used twice": (
        [
            upsample("x", "u", "k"),
            helper.make_node("Relu", ["u"], ["v"]),
            helper.make_node("Sigmoid", ["u"], ["w"]),
            helper.make_node("Add", ["v", "w"], ["y"]),
        ],
        [weights("k", 3, 5, 2, 2)],
    ),
    "added to itself": (
        [upsample("x", "u", "k"), helper.make_node("Add", ["u", "u"], ["y"])],
        [weights("k", 3, 5, 2, 2)],
    ),
    "blocks that overlap": ([upsample("x", "y", "k", strides=[1, 1])], [weights("k", 3, 5, 2, 2)]),
    "in groups": ([upsample("x", "y", "k", group=3)], [weights("k", 3, 1, 2, 2)]),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_whatever_comes_after_it_the_result_is_the_same(chain: str) -> None:
    model = network(*CHAINS[chain])
    values = RANDOM.normal(size=(2, 3, 4, 6)).astype(np.float32)
    np.testing.assert_allclose(run(edited(model), values), run(model, values), atol=1e-5)
