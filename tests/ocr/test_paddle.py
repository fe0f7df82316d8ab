"""Our pipeline over Paddle Inference, with PP-OCRv4 in Paddle's own format beside the same networks as ONNX."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from benchmarks.agreement import LEAST_LINES, compare, read_all
from ocr_pipeline.errors import EngineError, ImageError
from ocr_pipeline.ocr import Engine, load_engine
from ocr_pipeline.ocr.doubts import Doubts
from ocr_pipeline.ocr.engine import load_pipeline
from ocr_pipeline.ocr.inference import LoadedModel
from ocr_pipeline.ocr.models import Model, find_model
from ocr_pipeline.ocr.networks import BLANK, dictionary, kept_classes
from ocr_pipeline.ocr.paddle import among, load_paddle
from ocr_pipeline.ocr.pipeline import PipelineEngine
from ocr_pipeline.ocr.steps import choose
from ocr_pipeline.records import Page, Pixels
from ocr_pipeline.settings.languages import alphabet
from ocr_pipeline.settings.run import ReadSettings
from tests.ocr.drawing import blank_page, receipt
from tests.ocr.official_models import make_v4_model
from tests.ocr.test_agreement import pages

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.version_info >= (3, 13), reason="the packages with PP-OCRv4 are for Python 3.11 and 3.12"),
]

DETECTION = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)
RECOGNITION = np.full((2, 3), 0.5, np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_v4_model(folder)
    return folder


@pytest.fixture(autouse=True)
def models_in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCR_MODELS", str(folder))


def settings(**values: object) -> ReadSettings:
    return ReadSettings.model_validate({"model": "PP-OCRv4_mobile", "engine": "paddle", "threads": 1, **values})


class Published:
    """A network as ONNX as it was published, with what belongs before it."""

    def __init__(self, folder: Path, kind: str, statistics: npt.NDArray[np.float32]) -> None:
        path = folder / f"PP-OCRv4_mobile_{kind}_onnx/inference.onnx"
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.mean, self.deviation = statistics

    def __call__(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        normalised = (pixels.astype(np.float32) / 255 - self.mean) / self.deviation
        (output,) = self.session.run(None, {"x": normalised.transpose(0, 3, 1, 2)})
        return np.asarray(output)


def on_onnxruntime(folder: Path) -> LoadedModel:
    detection, recognition = Published(folder, "det", DETECTION), Published(folder, "rec", RECOGNITION)
    characters = (BLANK, *dictionary(folder / "PP-OCRv4_mobile_rec_onnx/inference.onnx"), " ")

    def recognise(pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
        return choose(recognition(pixels), characters)

    return LoadedModel("onnxruntime/PP-OCRv4_mobile", lambda pixels: (detection(pixels),), recognise, characters, False)


def test_paddle_reads_what_onnx_runtime_reads(folder: Path) -> None:
    expected = PipelineEngine(
        on_onnxruntime(folder), threads=1, min_confidence=0.5, stretch=False, doubts=Doubts("PP-OCRv4_mobile")
    )

    agreement = compare(read_all(expected, list(pages())), read_all(load_engine(settings()), list(pages())))

    assert len(agreement.pairs) > 60
    assert agreement.lines >= LEAST_LINES


def test_the_detector_returns_what_onnx_runtimes_does(folder: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (2, 64, 96, 3), np.uint8)

    (found,) = load_paddle(find_model("PP-OCRv4_mobile"), []).detect(pixels)

    assert found.shape == (2, 1, 64, 96)
    assert found.dtype == np.float32
    assert np.allclose(found, Published(folder, "det", DETECTION)(pixels), atol=1e-3)


@pytest.mark.parametrize("languages", [[], ["en"]])
def test_the_recogniser_chooses_among_the_characters_of_the_languages(folder: Path, languages: list[str]) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (3, 48, 320, 3), np.uint8)
    every = Published(folder, "rec", RECOGNITION)(pixels)
    characters = on_onnxruntime(folder).characters
    keep = alphabet(languages) if languages else lambda text: True
    kept = kept_classes(characters, keep)

    loaded = load_paddle(find_model("PP-OCRv4_mobile"), languages)
    probability, best = loaded.recognise(pixels)

    assert loaded.characters == tuple(characters[c] for c in kept)
    assert len(kept) == len(characters) if not languages else len(kept) < 800
    assert (probability.shape, best.shape) == ((3, 40, 3), (3, 40, 2))
    scaled = every[..., kept] / every[..., kept].sum(axis=-1, keepdims=True)
    expected, classes = choose(scaled, loaded.characters)
    assert np.array_equal(best, classes)
    assert np.allclose(probability, expected, atol=1e-3)


def test_where_no_kept_class_has_a_probability_there_is_a_blank() -> None:
    probabilities = np.zeros((1, 2, 4), np.float32)
    probabilities[..., 1] = 1

    probability, best = choose(among(probabilities, [0, 2, 3]), ["", "a", " "])

    assert best.tolist() == [[[0, 0], [0, 0]]]
    assert probability.tolist() == [[[0, 0, 0], [0, 0, 0]]]


def test_threads_get_what_one_gets() -> None:
    loaded = load_paddle(find_model("PP-OCRv4_mobile"), ["en"])
    chance = np.random.default_rng(7)
    lines = [chance.integers(0, 256, (2, 48, 32 * width, 3), np.uint8) for width in (1, 3, 2, 7, 1, 4, 7)]
    alone = [loaded.recognise(pixels) for pixels in lines]

    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(loaded.recognise, lines * 6))

    for (probability, best), (expected, right) in zip(together, alone * 6, strict=True):
        assert np.allclose(probability, expected, atol=1e-5)
        assert np.array_equal(best, right)


def test_pages_read_together_say_the_same() -> None:
    read = [*pages()]
    alone = read_all(load_engine(settings()), read)
    engine: Engine = load_pipeline("paddle", settings(), 4, batching=True)

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(engine.read, read))

    # Batches pad more, which mostly moves spaces.
    agreement = compare(alone, together)
    assert agreement.matched > 0.95
    assert agreement.characters_without_spaces > 0.99


def test_auto_takes_it_for_what_is_in_paddles_format_only() -> None:
    engine = load_engine(settings(engine="auto", languages=["en"]))

    assert engine.model == "paddle/PP-OCRv4_mobile"
    assert "12 Harbour Road" in engine.read(receipt()).text


def test_a_page_that_the_network_fails_on_is_an_error_of_that_page() -> None:
    engine = load_engine(settings())

    with pytest.raises(ImageError, match="paddle/PP-OCRv4_mobile failed on 60x50"):
        engine.read(Page(3, np.zeros((50, 60), np.uint8)))
    with pytest.raises(RuntimeError, match="Paddle: "):
        load_paddle(find_model("PP-OCRv4_mobile"), []).detect(np.zeros((1, 32, 32, 4), np.uint8))
    assert engine.read(receipt()).lines
    assert engine.read(blank_page(33, 31)).lines == ()


def test_without_paddle_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paddle", None)
    with pytest.raises(EngineError, match="pip install paddlepaddle"):
        load_engine(settings())


def test_a_gpu_that_is_not_there_is_an_error() -> None:
    with pytest.raises(EngineError, match=r"device gpu:7: Paddle [\d.]+ found \d GPUs; .*paddlepaddle-gpu"):
        load_engine(settings(device="gpu:7"))


def test_a_model_that_is_not_staged_in_its_format_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCR_MODELS", str(tmp_path))
    with pytest.raises(EngineError, match=r"no complete PP-OCRv6_small_det and .*MODEL=PP-OCRv6_small ENGINE=paddle"):
        load_engine(settings(model="small"))


def test_damaged_files_and_wrong_dictionaries_are_errors_of_the_engine(folder: Path, tmp_path: Path) -> None:
    good = find_model("PP-OCRv4_mobile")
    copied = tmp_path / "models"
    for path in (good.detection, good.recognition):
        shutil.copytree(path.parent, copied / path.parent.name)
    cut = copied / good.detection.parent.name / good.detection.name
    cut.write_bytes(cut.read_bytes()[:50_000])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCR_MODELS", str(copied))
        with pytest.raises(EngineError, match="paddle cannot load PP-OCRv4_mobile from"):
            load_engine(settings())

    mixed = tmp_path / "rec/inference.pdmodel"
    mixed.parent.mkdir()
    for suffix in (".pdmodel", ".pdiparams"):
        mixed.with_suffix(suffix).symlink_to(good.recognition.with_suffix(suffix))
    mixed.with_name("inference.yml").write_text("PostProcess: {character_dict: [a, b, c]}")
    with pytest.raises(EngineError, match="6625 classes but a dictionary of 3 characters"):
        load_paddle(Model("mixed", good.detection, mixed), [])


def test_it_leaves_sigterm_alone_and_loads_no_other_library() -> None:
    code = (
        "import signal, sys\n"
        "from ocr_pipeline.settings.run import ReadSettings\n"
        "from ocr_pipeline.ocr import load_engine\n"
        "from tests.ocr.drawing import receipt\n"
        "engine = load_engine(ReadSettings(engine='paddle', model='PP-OCRv4_mobile', threads=1))\n"
        "assert engine.read(receipt()).lines\n"
        "print(sorted(set(sys.modules) & {'paddle', 'paddlex', 'paddleocr', 'openvino', 'onnxruntime', 'rapidocr'}))\n"
        "sys.stdout.flush()\n"
        "signal.raise_signal(signal.SIGTERM)\n"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == -signal.SIGTERM, done.stderr
    assert done.stdout.splitlines()[-1] == "['paddle']"
    assert "SIGTERM is received" not in re.sub(r"\s+", " ", done.stderr)
