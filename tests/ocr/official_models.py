"""Model folders as the hubs hold them, made from the networks that are installed, and from hand-made ones."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
from onnx import numpy_helper

from ocr_pipeline.model_names import MODELS
from ocr_pipeline.ocr.models import Model, find_model
from ocr_pipeline.ocr.stock import stage_official


def make_onnx_model(name: str, folder: Path) -> None:
    """Lay out the model ``name`` in ``folder``, with the networks of ``small`` in it.

    As with official models the dictionary is in ``inference.yml`` alone. The recogniser's weights are written the
    other way that converters write them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    small = find_model("small")
    official = MODELS[name]
    for network in stage_official(Model(official.name, small.detection, small.recognition), folder):
        of_pair = official.detection if network.endswith("_det") else official.recognition
        config = json.loads((folder / network / "inference.yml").read_text(encoding="utf-8"))
        config["Global"]["model_name"] = of_pair
        (folder / network / "inference.yml").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
        (folder / network).rename(folder / f"{of_pair}_onnx")
    path = folder / f"{official.recognition}_onnx" / "inference.onnx"
    model = onnx.load(path)
    del model.metadata_props[:]
    _weights_as_nodes(model.graph)
    path.unlink()
    onnx.save(model, path)


def _weights_as_nodes(graph: onnx.GraphProto) -> None:
    nodes = [
        onnx.helper.make_node(
            "Constant", [], [tensor.name], value=numpy_helper.from_array(numpy_helper.to_array(tensor))
        )
        for tensor in graph.initializer
    ]
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.node.extend(nodes)
