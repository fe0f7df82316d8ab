"""ONNX graphs: loading one of PP-OCR's in a plain form, and finding one's way in it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ocr_pipeline.errors import EngineError

if TYPE_CHECKING:
    import onnx

_OPSET = 13
"""The first version of ONNX's operators in which weights can have a scale of their own for each channel."""


def load_graph(path: Path) -> onnx.ModelProto:
    """The network in ``path``, with one input and one output, weights stored as initializers and no Identity nodes.

    :raises EngineError: when the file is not such a network.
    """
    import onnx
    from onnx import version_converter

    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf raises its own types, differing between its implementations
        raise EngineError(f"{path} is not an ONNX model: {error}") from error
    if len(model.graph.input) != 1 or len(model.graph.output) != 1:
        raise EngineError(f"{path} is not a PP-OCR model: it should have one input and one output")
    if model.opset_import[0].version < _OPSET:
        # Before any other edit: the converter takes shapes that are noted in the file for granted.
        try:
            model = version_converter.convert_version(model, _OPSET)
        except Exception as error:  # its errors have no common base
            raise EngineError(f"{path} cannot be converted to version {_OPSET} of ONNX's operators: {error}") from error
    _store_constants(model)
    _bypass_identities(model)
    return model


def _store_constants(model: onnx.ModelProto) -> None:
    """Keep weights as some converters write them, in Constant nodes, where all others are."""
    graph = model.graph
    constants = [node for node in graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]
    for node in constants:
        node.attribute[0].t.name = node.output[0]
        graph.initializer.append(node.attribute[0].t)
        graph.node.remove(node)


def _bypass_identities(model: onnx.ModelProto) -> None:
    """Connect nodes directly where converters put Identity nodes between them."""
    sources: dict[str, str] = {}
    kept = []
    outputs = {output.name for output in model.graph.output}
    for node in model.graph.node:
        node.input[:] = [sources.get(name, name) for name in node.input]
        if node.op_type == "Identity" and node.output[0] not in outputs:
            sources[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    replace_nodes(model, kept)


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """What ``node`` says of ``name``: a number, text, or a list of them."""
    from onnx import helper

    for item in node.attribute:
        if item.name == name:
            return helper.get_attribute_value(item)
    return default


def consumers(model: onnx.ModelProto, name: str) -> list[onnx.NodeProto]:
    """The nodes that take the value ``name``."""
    return [node for node in model.graph.node if name in node.input]


def constants(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """The stored tensors by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def tensor(model: onnx.ModelProto, name: str) -> npt.NDArray[Any]:
    """The stored tensor ``name``."""
    from onnx import numpy_helper

    return np.asarray(numpy_helper.to_array(constants(model)[name]))


def store(model: onnx.ModelProto, name: str, values: npt.NDArray[Any]) -> str:
    """Store a tensor under ``name``, which is new or replaced; returns the name."""
    from onnx import numpy_helper

    stored = numpy_helper.from_array(np.ascontiguousarray(values), name)
    found = constants(model).get(name)
    if found is None:
        model.graph.initializer.append(stored)
    else:
        found.CopyFrom(stored)
    return name


def replace_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Give ``model`` these nodes, in an order in which they can be computed.

    What is noted of the shapes between the old ones is forgotten, and stored tensors that no node takes any more.
    """
    from onnx import NodeProto

    # Copies, because those that the model has go with its old list.
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    del model.graph.value_info[:]
    model.graph.node.extend(copies)
    taken = {name for node in copies for name in node.input}
    for index in reversed(range(len(model.graph.initializer))):
        if model.graph.initializer[index].name not in taken:
            del model.graph.initializer[index]
