"""An installation without the extra ``paddle``: what works, and what the rest says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ocr.absent import python_without

ABSENT = {"paddle", "paddleocr", "paddlex"}

LOAD = """\
from ocr_pipeline.ocr import load_engine
from ocr_pipeline.settings.run import ReadSettings
from tests.ocr.drawing import RECEIPT_LINES, receipt
def load(**settings): return load_engine(ReadSettings.parse({"threads": 1, **settings}))
"""


Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs Python with arguments where the extra is not installed; returns what it printed, and its last error."""
    folder = tmp_path / "hook"
    folder.mkdir()
    return lambda *arguments: python_without(folder, ABSENT, *arguments, OCR_MODELS=str(tmp_path / "models"))


@pytest.mark.parametrize("name", sorted(ABSENT))
def test_it_is_not_installed(run: Run, name: str) -> None:
    assert run("-c", f"import {name}") == ("", f"ModuleNotFoundError: No module named '{name}'")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
def test_a_page_is_read(run: Run, engine: str) -> None:
    code = f"assert [line.text for line in load(engine={engine!r}).read(receipt()).lines] == RECEIPT_LINES"
    assert run("-c", f"{LOAD}{code}; print('read')") == ("read", "")


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ("engine='paddleocr'", "engine paddleocr needs the package paddleocr"),
        ("model='arabic_PP-OCRv5_mobile'", "engine paddleocr needs the package paddleocr"),
    ],
)
def test_what_only_paddleocr_reads_says_what_is_missing(run: Run, settings: str, needed: str) -> None:
    printed, error = run("-c", f"{LOAD}load({settings})")
    assert printed == ""
    assert error.startswith(f"ocr_pipeline.errors.EngineError: {needed}, which is in the extra paddle")
    assert "pip install paddleocr (No module named 'paddleocr')" in error


def test_a_model_of_paddles_own_format_says_what_is_missing(run: Run) -> None:
    code = (
        "from pathlib import Path\nfrom ocr_pipeline.ocr.models import Model\n"
        "from ocr_pipeline.ocr.paddle import load_paddle\n"
        "load_paddle(Model('m', Path('d.json'), Path('r.json')), [])"
    )
    assert "needs the package paddlepaddle" in run("-c", code)[1]


@pytest.mark.parametrize("model", ["tiny", "PP-OCRv4_mobile"])
def test_downloading_a_model_says_what_is_missing_and_how_else(run: Run, tmp_path: Path, model: str) -> None:
    code = (
        "from ocr_pipeline.ocr.hub import stage_model\nfrom ocr_pipeline.settings.run import ReadSettings\n"
        f"stage_model(ReadSettings.parse({{'model': {model!r}}}))"
    )
    _, error = run("-c", code)
    # Not the error of a download, which Airflow would try again.
    assert error.startswith("ocr_pipeline.errors.EngineError: model ")
    assert "downloading it needs the package paddlex" in error
    assert f"then copy the folders in it into {tmp_path / 'models'}" in error
    assert run("-m", "ocr_pipeline.ocr.hub", model) == ("", error.removeprefix("ocr_pipeline.errors.EngineError: "))


def test_the_names_of_models_and_what_they_read_need_nothing(run: Run) -> None:
    code = "from ocr_pipeline.settings.models import ENGINES, MODELS; print(*ENGINES, len(MODELS) > 30)"
    assert run("-c", code) == ("openvino onnxruntime paddle paddleocr True", "")
