"""Upsampling put off to the end: transposed convolutions as convolutions on the small picture.

The detector ends in transposed convolutions whose stride is their kernel's size (2). Each of their outputs comes from
one pixel alone, so the same numbers can be computed for all the pixels of a 2 x 2 block at once, as channels of the
small picture, by a convolution of size 1; the channels become pixels at the very end. It is the same arithmetic, on
shapes for which libraries have fast code (sub-pixel convolution: Shi et al., CVPR 2016).
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ocr_pipeline.ocr.graphs import attribute, constants, consumers, replace_nodes, store, tensor

if TYPE_CHECKING:
    import onnx

_POINTWISE = frozenset({"Relu", "Sigmoid"})


def put_off_upsampling(model: onnx.ModelProto) -> None:
    """Edit ``model`` in place; what it computes stays the same."""
    for name in [node.output[0] for node in model.graph.node if _upsamples(model, node)]:
        _as_convolution(model, name)
    while _move_back(model):
        pass


def _upsamples(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    if node.op_type != "ConvTranspose" or node.input[1] not in constants(model) or len(node.input) > 2:
        return False
    height, width = tensor(model, node.input[1]).shape[2:]
    return (
        height == width
        and attribute(node, "strides") == [height, width]
        and attribute(node, "group", 1) == 1
        and not any(attribute(node, "pads", [0]))
        and not any(attribute(node, "output_padding", [0]))
    )


def _as_convolution(model: onnx.ModelProto, output: str) -> None:
    """Replace a transposed convolution with one of size 1 and the move of its channels to pixels."""
    from onnx import helper

    nodes = []
    for node in model.graph.node:
        if node.output[0] != output:
            nodes.append(node)
            continue
        weights = tensor(model, node.input[1])  # (in, out, row in the block, column in the block)
        channels, outputs, side, _ = weights.shape
        flat = weights.transpose(2, 3, 1, 0).reshape(side * side * outputs, channels, 1, 1)
        small = f"{output}.small"
        nodes += [
            helper.make_node(
                "Conv", [node.input[0], store(model, f"{small}.weights", flat)], [small], kernel_shape=[1, 1]
            ),
            helper.make_node("DepthToSpace", [small], [output], blocksize=side, mode="DCR"),
        ]
    replace_nodes(model, nodes)


def _move_back(model: onnx.ModelProto) -> bool:
    """Exchange a move to pixels with the node after it, if that treats all pixels alike; says whether it did."""
    nodes = list(model.graph.node)
    for move in nodes:
        if move.op_type != "DepthToSpace":
            continue
        after = consumers(model, move.output[0])
        if len(after) != 1:
            continue
        inputs = _for_blocks(model, after[0], move, attribute(move, "blocksize") ** 2)
        if inputs is None:
            continue
        small, large = f"{after[0].output[0]}.small", after[0].output[0]
        after[0].input[:] = inputs
        after[0].output[0] = small
        move.input[0], move.output[0] = small, large
        order = nodes.index(move)
        nodes.remove(move)
        nodes.insert(nodes.index(after[0], order) + 1, move)
        replace_nodes(model, nodes)
        return True
    return False


def _for_blocks(model: onnx.ModelProto, node: onnx.NodeProto, move: onnx.NodeProto, blocks: int) -> list[str] | None:
    """The inputs with which ``node`` computes the same before ``move`` as after it; None if there are none.

    Before, each of the pixels of a block has channels of its own, one pixel's after the other's.
    """
    source = move.input[0]
    if node.op_type in _POINTWISE:
        return [source]
    if node.op_type == "Add":
        (other,) = [name for name in node.input if name != move.output[0]] or [""]
        if other not in constants(model):
            return None
        bias = tensor(model, other)
        if bias.size == 1:
            return [source, other]
        if bias.ndim < 3 or bias.size != bias.shape[-3]:
            return None  # not one number a channel
        return [source, _stored(model, np.tile(bias.reshape(1, -1, 1, 1), (1, blocks, 1, 1)))]
    if node.op_type == "Conv" and len(node.input) == 2 and node.input[1] in constants(model):
        weights = tensor(model, node.input[1])
        moves = any(attribute(node, "pads", [0])) or set(attribute(node, "strides", [1])) != {1}
        if weights.shape[2:] != (1, 1) or attribute(node, "group", 1) != 1 or moves:
            return None
        alike = np.kron(np.eye(blocks, dtype=weights.dtype), weights[:, :, 0, 0])
        return [source, _stored(model, alike[:, :, None, None])]
    return None


def _stored(model: onnx.ModelProto, values: npt.NDArray[Any]) -> str:
    names = constants(model)
    name = next(name for number in count() if (name := f"blocks.{number}") not in names)
    return store(model, name, values)
