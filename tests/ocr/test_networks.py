"""Finding model files and editing their graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from onnx import helper, numpy_helper

from ocr_pipeline.errors import EngineError
from ocr_pipeline.ocr.models import find_model
from ocr_pipeline.ocr.networks import detection_network, dictionary, recognition_network
from ocr_pipeline.ocr.steps import BEST, SPACE, choose
from ocr_pipeline.ocr.stock import stage_official
from ocr_pipeline.settings.languages import CODES, alphabet
from tests.ocr.absent import python_without

MODEL = find_model("small")


def session(graph: bytes | str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def test_the_dictionary_has_a_character_a_class() -> None:
    characters = recognition_network(MODEL.recognition).characters

    assert len(characters) == 18_710
    assert (characters[0], characters[1], characters[-1]) == ("", "!", " ")
    assert "\u3000" in characters
    assert all(len(character) == 1 for character in characters[1:])


def test_the_edited_recogniser_says_what_the_original_does() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2, 48, 160, 3), np.uint8)
    original = session(str(MODEL.recognition))
    normalised = (pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255 - 0.5) / 0.5
    (every,) = original.run(None, {"x": normalised})

    probability, best = session(recognition_network(MODEL.recognition, exact=True).graph).run(None, {"pixels": pixels})

    expected, classes = choose(every, recognition_network(MODEL.recognition).characters)
    assert np.array_equal(best, classes)
    assert np.allclose(probability, expected, atol=1e-5)
    assert np.array_equal(best[..., BEST], every.argmax(axis=-1))
    assert np.allclose(probability[..., SPACE], every[..., -1], atol=1e-5)


def test_the_cut_recogniser_chooses_among_what_is_kept() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (1, 48, 320, 3), np.uint8)
    normalised = (pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255 - 0.5) / 0.5
    (every,) = session(str(MODEL.recognition)).run(None, {"x": normalised})
    whole = recognition_network(MODEL.recognition).characters
    kept = [c for c, text in enumerate(whole) if text == "" or text in "aeiou "]

    network = recognition_network(MODEL.recognition, lambda text: text in "aeiou ", exact=True)
    probability, best = session(network.graph).run(None, {"pixels": pixels})

    assert network.characters == ("", "a", "e", "i", "o", "u", " ")
    # A softmax over fewer classes is the old one, scaled to add up to 1 again.
    scaled = every[..., kept] / every[..., kept].sum(axis=-1, keepdims=True)
    expected, classes = choose(scaled, network.characters)
    assert np.array_equal(best, classes)
    assert np.allclose(probability, expected, atol=1e-4)


def test_the_edited_detector_says_what_the_original_does() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (1, 64, 96, 3), np.uint8)
    mean, deviation = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    normalised = ((pixels.astype(np.float32) / 255 - mean) / deviation).transpose(0, 3, 1, 2)
    (expected,) = session(str(MODEL.detection)).run(None, {"x": normalised})

    (probability,) = session(detection_network(MODEL.detection).graph).run(None, {"pixels": pixels})

    assert probability.shape == (1, 1, 64, 96)
    assert np.allclose(probability, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("code", "has", "lacks"),
    [
        ("en", "azAZ09.,-$€£%&@ (é)", "中あαЖ①"),
        ("de", "äöüßÄ€", "中あα"),
        ("vi", "ồạđ", "中あα"),
        ("zh", "中文。，azAZ09￥（", "あé"),
        ("ja", "日本語ひらカター。ﾊﾝ09az", "éα"),
    ],
)
def test_languages(code: str, has: str, lacks: str) -> None:
    contains = alphabet([code])
    assert [character for character in has if not contains(character)] == []
    assert [character for character in lacks if contains(character)] == []


def test_languages_add_up() -> None:
    both = alphabet(["ja", "de"])

    assert all(both(character) for character in "日ひカäß9")
    assert not both("α")
    assert set(CODES) > {"en", "de", "fr", "es", "it", "pt", "nl", "vi", "zh", "ja"}


@pytest.mark.parametrize(("code", "least", "most"), [("en", 500, 700), ("zh", 15_000, 17_000), ("ja", 15_000, 17_000)])
def test_a_language_keeps_a_part_of_the_dictionary(code: str, least: int, most: int) -> None:
    assert least < sum(map(alphabet([code]), dictionary(MODEL.recognition))) < most


def test_official_folders_hold_the_dictionary_unharmed(tmp_path: Path) -> None:
    detection, recognition = stage_official(MODEL, tmp_path)

    assert (detection, recognition) == ("PP-OCRv6_small_det", "PP-OCRv6_small_rec")
    for name in (detection, recognition):
        config = yaml.safe_load((tmp_path / name / "inference.yml").read_text(encoding="utf-8"))
        assert config["Global"]["model_name"] == name
        assert (tmp_path / name / "inference.onnx").stat().st_size > 1_000_000
    assert config["PostProcess"]["character_dict"] == dictionary(MODEL.recognition)


FIND = "from ocr_pipeline.ocr.models import find_model; find_model('small')"


def test_without_rapidocr_the_error_says_what_to_install(tmp_path: Path) -> None:
    _, error = python_without(tmp_path, {"rapidocr"}, "-c", FIND)
    assert "EngineError: " in error
    assert "pip install rapidocr" in error


def test_a_missing_model_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "rapidocr").mkdir()
    (tmp_path / "rapidocr/__init__.py").touch()
    _, error = python_without(tmp_path, set(), "-c", FIND)
    path = tmp_path / "rapidocr/models/PP-OCRv6_det_small.onnx"
    assert f"EngineError: model PP-OCRv6_small is not staged: {path} does not exist" in error


def test_files_that_are_no_such_models_are_refused(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"not a model at all")
    with pytest.raises(EngineError, match=r"garbage\.onnx is not"):
        detection_network(garbage)
    with pytest.raises(EngineError, match="carries no dictionary"):
        recognition_network(MODEL.detection)


def test_a_model_with_several_inputs_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["x", "y"], ["z"])
    x, y, z = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in "xyz")
    onnx.save(helper.make_model(helper.make_graph([node], "sum", [x, y], [z])), tmp_path / "sum.onnx")

    with pytest.raises(EngineError, match="one input and one output"):
        detection_network(tmp_path / "sum.onnx")


def test_a_dictionary_of_another_model_is_refused(tmp_path: Path) -> None:
    model = onnx.load(MODEL.recognition)
    for item in model.metadata_props:
        if item.key == "character":
            item.value = "a\nb\nc"
    onnx.save(model, tmp_path / "mixed.onnx")

    with pytest.raises(EngineError, match="18710 classes but a dictionary of 3 characters"):
        recognition_network(tmp_path / "mixed.onnx")


def test_a_recogniser_of_another_kind_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in "xy"]
    graph = helper.make_graph([node], "other", value[:1], value[1:], [numpy_helper.from_array(np.zeros(1), "unused")])
    model = helper.make_model(graph)
    helper.set_model_props(model, {"character": "a\nb"})
    onnx.save(model, tmp_path / "other.onnx")

    with pytest.raises(EngineError, match="not a PP-OCR recogniser"):
        recognition_network(tmp_path / "other.onnx")
