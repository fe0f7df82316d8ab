"""Names of models: those there are, what they read, and what is refused."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

from ocr_pipeline.errors import SettingsError
from ocr_pipeline.settings.languages import CODES
from ocr_pipeline.settings.models import MODELS
from ocr_pipeline.settings.run import ReadSettings, RunSettings

NEEDED = {"dataset": "/data/links.csv", "output": "/data/out"}


def paddlex_list(name: str) -> set[str]:
    """A list of PaddleX's official models, from its source: importing it takes seconds."""
    spec = importlib.util.find_spec("paddlex")
    assert spec is not None
    assert spec.origin is not None
    source = (Path(spec.origin).parent / "inference/utils/official_models.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"PaddleX has no {name}")


def test_every_network_is_one_that_paddlex_downloads() -> None:
    official = paddlex_list("OCR_MODELS")
    assert {network for model in MODELS.values() for network in (model.detection, model.recognition)} <= official


def test_every_pp_ocr_recogniser_of_paddlex_has_a_model() -> None:
    recognisers = {name for name in paddlex_list("OCR_MODELS") if "PP-OCRv" in name and "_rec" in name}
    assert {model.recognition for model in MODELS.values()} == recognisers


def test_what_is_published_as_onnx_is_as_paddlex_says() -> None:
    published = paddlex_list("ONNX_SUPPORTED_MODELS")
    for model in MODELS.values():
        assert {model.detection in published, model.recognition in published} == {model.onnx}, model.name


@pytest.mark.parametrize(
    ("name", "detection", "recognition"),
    [
        ("small", "PP-OCRv6_small_det", "PP-OCRv6_small_rec"),
        ("PP-OCRv6_medium", "PP-OCRv6_medium_det", "PP-OCRv6_medium_rec"),
        ("korean_PP-OCRv5_mobile", "PP-OCRv5_mobile_det", "korean_PP-OCRv5_mobile_rec"),
        ("PP-OCRv4_server_doc", "PP-OCRv4_server_det", "PP-OCRv4_server_rec_doc"),
    ],
)
def test_a_model_is_named_as_its_networks(name: str, detection: str, recognition: str) -> None:
    assert (MODELS[name].detection, MODELS[name].recognition) == (detection, recognition)


def test_every_language_can_be_read_with_some_model() -> None:
    for code in CODES:
        assert any(model.reads(code) for model in MODELS.values()), code


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model": "large"}, ["'large'", "there is no such model; there are tiny, small, medium", "PP-OCRv5_server"]),
        ({"languages": ["ko"]}, ["model small cannot read ko; these can: korean_PP-OCRv5_mobile"]),
        ({"model": "en_PP-OCRv5_mobile", "languages": ["en", "ru"]}, ["cannot read ru", "eslav_PP-OCRv5_mobile"]),
        (
            {"model": "PP-OCRv4_mobile", "engine": "openvino"},
            ["Paddle's own format", "engine openvino cannot run it", "choose engine paddle, paddleocr or auto"],
        ),
        ({"model": "arabic_PP-OCRv5_mobile", "engine": "onnxruntime"}, ["right to left", "paddleocr or auto"]),
        ({"model": "arabic_PP-OCRv5_mobile", "engine": "paddle"}, ["right to left", "choose engine paddleocr or auto"]),
        ({"model": "arabic_PP-OCRv5_mobile", "languages": ["ar"]}, ["leave languages empty"]),
        ({"model": "PP-OCRv4_mobile", "engine": "paddleocr", "languages": ["en"]}, ["leave languages empty"]),
        ({"engine": "paddleocr", "languages": ["en"]}, ["leave languages empty"]),
        ({"device": "cuda"}, ["device: 'cuda' is not allowed"]),
        ({"device": "gpu:"}, ["device: 'gpu:' is not allowed"]),
        ({"detection_size": 1000}, ["detection_size: 1000 is not allowed", "multiple of 32"]),
        ({"detection_size": 256}, ["detection_size: 256 is not allowed", "320"]),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_does(values: dict[str, object], said: list[str]) -> None:
    with pytest.raises(SettingsError) as refused:
        RunSettings.parse(NEEDED | values)
    for part in said:
        assert part in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        {"model": "eslav_PP-OCRv5_mobile", "languages": ["ru", "uk", "en"], "device": "gpu:1"},
        {"model": "arabic_PP-OCRv5_mobile", "engine": "auto"},
        {"model": "PP-OCRv4_mobile", "languages": ["en"]},
        {"model": "small", "engine": "paddle", "languages": ["zh"]},
        {"model": "PP-OCRv3_mobile", "engine": "paddleocr", "detection_size": 1280},
    ],
)
def test_what_goes_together_is_taken(values: dict[str, object]) -> None:
    assert RunSettings.parse(NEEDED | values)


def test_the_form_offers_every_model() -> None:
    assert ReadSettings.model_json_schema()["properties"]["model"]["enum"] == list(MODELS)
