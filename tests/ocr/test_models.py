"""Models other than the default one: found in the models folder, downloaded into it, run from it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ocr_pipeline.errors import EngineError, ModelDownloadError
from ocr_pipeline.ocr import load_engine
from ocr_pipeline.ocr.hub import main, stage_model
from ocr_pipeline.ocr.models import find_model, models_folder, official_dictionary
from ocr_pipeline.settings.run import ReadSettings
from tests.ocr.drawing import RECEIPT_LINES, receipt
from tests.ocr.fake_hub import fake_hub
from tests.ocr.official_models import make_onnx_model

pytestmark = pytest.mark.slow

NETWORK = {"inference.onnx": b"a network", "inference.yml": b"Global: {}\n"}
TINY = {"PP-OCRv6_tiny_det_onnx": NETWORK, "PP-OCRv6_tiny_rec_onnx": NETWORK}


def settings(**values: object) -> ReadSettings:
    return ReadSettings.model_validate(values)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models folder on a machine that reaches nothing but itself."""
    monkeypatch.setenv("OCR_MODELS", str(tmp_path / "models"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port, where nothing listens
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    return tmp_path / "models"


def test_models_are_looked_for_where_paddlex_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCR_MODELS", raising=False)
    monkeypatch.delenv("PADDLE_PDX_CACHE_HOME", raising=False)
    assert models_folder() == Path.home() / ".paddlex/official_models"
    monkeypatch.setenv("PADDLE_PDX_CACHE_HOME", "/srv/paddlex")
    assert models_folder() == Path("/srv/paddlex/official_models")
    monkeypatch.setenv("OCR_MODELS", "~/models")
    assert models_folder() == Path.home() / "models"


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "paddleocr"])
def test_a_model_in_the_folder_is_read_with(folder: Path, engine: str) -> None:
    make_onnx_model("korean_PP-OCRv5_mobile", folder)

    reader = load_engine(settings(model="korean_PP-OCRv5_mobile", engine=engine, threads=1))
    text = reader.read(receipt())
    reader.close()

    assert reader.model == f"{engine}/korean_PP-OCRv5_mobile"
    assert [line.text for line in text.lines] == RECEIPT_LINES


def test_the_dictionary_of_an_official_folder_is_read_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "inference.yml").write_text(
        "PostProcess:\n  name: CTCLabelDecode\n  character_dict:\n"
        "  - '!'\n  - \u3000\n  - =\n  - ~\n  - 0\n  - '0'\n  - ''''\n  - \"\\\"\"\n  - y\n  - \U00020000\n",
        encoding="utf-8",
    )

    assert official_dictionary(tmp_path / "inference.yml") == list("!\u3000=~00'\"y\U00020000")


@pytest.mark.parametrize("text", ["", "PostProcess: {}", "a: [", "PostProcess: text"])
def test_an_official_folder_without_a_dictionary_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "inference.yml").write_text(text)
    with pytest.raises(EngineError, match=r"inference\.yml has no dictionary"):
        official_dictionary(tmp_path / "inference.yml")


def test_a_model_that_is_not_staged_says_where_and_how(folder: Path) -> None:
    with pytest.raises(EngineError) as refused:
        load_engine(settings(model="medium"))

    for said in ("model medium", str(folder), "PP-OCRv6_medium_det_onnx", "make models MODEL=PP-OCRv6_medium"):
        assert said in str(refused.value)


def test_models_in_a_bucket_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCR_MODELS", "s3://bucket/models")
    with pytest.raises(EngineError, match=r"OCR_MODELS must be a folder, not 's3://bucket/models': build the image"):
        models_folder()


def test_a_folder_of_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCR_MODELS", "~user-that-there-is-not/models")
    with pytest.raises(EngineError, match=r"no place for models, ~user-that-there-is-not/models: .*OCR_MODELS"):
        find_model("tiny")


@pytest.mark.parametrize("file", ["inference.onnx", "inference.yml"])
def test_half_a_model_is_not_staged(folder: Path, file: str) -> None:
    make_onnx_model("PP-OCRv5_mobile", folder)
    (folder / "PP-OCRv5_mobile_rec_onnx" / file).unlink()

    with pytest.raises(EngineError, match="has no complete PP-OCRv5_mobile_rec_onnx;"):
        find_model("PP-OCRv5_mobile")


def test_what_is_there_is_not_staged_again(folder: Path) -> None:
    stage_model(settings())
    assert not folder.exists()
    make_onnx_model("tiny", folder)
    stage_model(settings(model="tiny"))
    assert sorted(path.name for path in folder.iterdir()) == ["PP-OCRv6_tiny_det_onnx", "PP-OCRv6_tiny_rec_onnx"]


def test_without_network_the_error_says_what_to_do(folder: Path) -> None:
    with pytest.raises(ModelDownloadError) as failed:
        stage_model(settings(model="PP-OCRv5_server"))

    for said in ("PP-OCRv5_server", str(folder), "No available model hosting", "make models MODEL=PP-OCRv5_server"):
        assert said in str(failed.value)
    assert failed.value.retryable
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_written_is_named(folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(EngineError, match=r"models folder .* cannot be written.*OCR_MODELS"):
        stage_model(settings(model="tiny"))


def test_processes_that_stage_at_once_download_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".partial-of-a-process-that-was-killed").mkdir(parents=True)
    (folder / "PP-OCRv6_tiny_det_onnx").mkdir()  # an incomplete one, which is replaced
    with fake_hub(TINY) as hub:
        monkeypatch.setenv("PADDLE_PDX_HUGGING_FACE_ENDPOINT", hub.url)
        command = [sys.executable, "-m", "ocr_pipeline.ocr.hub", "tiny"]
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
        processes = [subprocess.Popen(command, env=environment) for _ in range(3)]
        assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]

    assert set(hub.downloads.values()) == {1}
    assert len(hub.downloads) == 4
    assert sorted(path.name for path in folder.iterdir()) == [".lock", *sorted(TINY)]
    assert find_model("tiny").recognition.read_bytes() == b"a network"


def test_for_paddle_a_model_is_staged_in_paddles_own_format(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = {"inference.json": b"{}", "inference.pdiparams": b"weights", "inference.yml": b"Global: {}\n"}
    with fake_hub({"PP-OCRv6_small_det": network, "PP-OCRv6_small_rec": network}) as hub:
        monkeypatch.setenv("PADDLE_PDX_HUGGING_FACE_ENDPOINT", hub.url)
        assert main(["--engine", "paddle", "small"]) == 0

    assert find_model("small", "paddle").recognition == folder / "PP-OCRv6_small_rec/inference.json"
    assert find_model("small").onnx
    with pytest.raises(ModelDownloadError, match=r"make models MODEL=PP-OCRv6_tiny ENGINE=paddle"):
        stage_model(settings(model="tiny", engine="paddle"))


def test_a_download_that_is_not_whole_is_not_staged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_hub({"PP-OCRv6_tiny_det_onnx": {"README.md": b"moved"}}) as hub:
        monkeypatch.setenv("PADDLE_PDX_HUGGING_FACE_ENDPOINT", hub.url)
        with pytest.raises(ModelDownloadError, match="what was downloaded as PP-OCRv6_tiny_det_onnx is not complete"):
            stage_model(settings(model="tiny"))

    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_the_command_tells_what_it_did(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_onnx_model("tiny", folder)

    assert main(["small", "tiny"]) == 0
    assert f"PP-OCRv6_tiny is staged: {folder}" in capsys.readouterr().out
    assert main(["large"]) == 1
    assert "'large' is not allowed: there is no such model; there are tiny" in capsys.readouterr().err
    assert main(["--engine", "openvino", "PP-OCRv4_mobile"]) == 1
    assert "engine openvino cannot run it" in capsys.readouterr().err
    assert main([]) == 2
    assert "name a model: tiny" in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["paddle", "paddleocr"])
def test_a_model_in_paddles_own_format_is_read_with(folder: Path, engine: str) -> None:
    names = ("PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec")
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    made = [sys.executable, "-m", "tests.ocr.make_paddle_model", str(folder), *names]
    subprocess.run(made, env=environment, capture_output=True, check=True)
    code = (
        "import signal, sys\n"
        "from ocr_pipeline.settings.run import ReadSettings\n"
        "from ocr_pipeline.errors import EngineError\n"
        "from ocr_pipeline.ocr import load_engine\n"
        "from tests.ocr.drawing import blank_page\n"
        f"engine = load_engine(ReadSettings(model='PP-OCRv4_mobile', engine='{engine}', threads=1))\n"
        "page = blank_page(640, 320)\n"
        "page.pixels[60:90, 40:600] = page.pixels[200:230, 40:600] = 0\n"
        "text = engine.read(page)\n"
        "print(engine.model, [line.text for line in text.lines])\n"
        "engine.close()\n"
        "try:\n"
        f"    load_engine(ReadSettings(model='PP-OCRv4_mobile', engine='{engine}', threads=1, device='gpu:7'))\n"
        "except EngineError as error:\n"
        "    print(error)\n"
        "sys.stdout.flush()\n"
        "signal.raise_signal(signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == -signal.SIGTERM, done.stderr
    read, refused = done.stdout.splitlines()[-2:]
    assert read == f"{engine}/PP-OCRv4_mobile ['b', 'b']"
    assert re.match(r"device gpu:7: Paddle [\d.]+ found \d GPUs", refused)
    assert "SIGTERM is received" not in done.stderr
