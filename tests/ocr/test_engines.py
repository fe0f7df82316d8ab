"""The engines on drawn pages: real models, real libraries."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ocr_pipeline.errors import EngineError, ErrorCategory, ImageError, SettingsError
from ocr_pipeline.ocr import load_engine
from ocr_pipeline.records import Page, Pixels
from ocr_pipeline.settings.languages import alphabet
from ocr_pipeline.settings.run import ReadSettings, RunSettings
from tests.ocr.absent import python_without
from tests.ocr.conftest import LoadEngine
from tests.ocr.drawing import RECEIPT_LINES, blank_page, draw_page, receipt
from tests.ocr.official_models import make_onnx_model

pytestmark = pytest.mark.slow

OURS = ["openvino", "onnxruntime"]
ALL = [*OURS, "paddleocr"]


@pytest.mark.parametrize("engine", ALL)
def test_a_receipt_is_read_line_by_line_in_order(engines: LoadEngine, engine: str) -> None:
    text = engines(engine=engine).read(receipt())

    assert [line.text for line in text.lines] == RECEIPT_LINES
    assert all(line.confidence > 0.9 for line in text.lines)


@pytest.mark.parametrize("engine", ALL)
def test_boxes_lie_around_the_text(engines: LoadEngine, engine: str) -> None:
    (line,) = engines(engine=engine).read(draw_page(900, 1700, [("Somewhere", 500, 1300)], size=40)).lines

    corners = np.array(line.quad)
    assert np.abs(corners.min(axis=0) - (500, 1310)).max() < 25
    assert corners.max(axis=0)[1] - corners.min(axis=0)[1] < 80
    # Clockwise from the top left, where reading starts.
    assert corners[0][0] < corners[1][0]
    assert corners[0][1] < corners[3][1]


@pytest.mark.parametrize("engine", ALL)
def test_the_engine_names_what_runs(engines: LoadEngine, engine: str) -> None:
    assert engines(engine=engine).model == f"{engine}/PP-OCRv6_small"
    assert engines(engine=engine).threads == 2


def test_auto_is_openvino_and_takes_the_cores_that_the_process_may_use() -> None:
    code = (
        "import os, sys\n"
        "from ocr_pipeline.settings.run import ReadSettings\n"
        "from ocr_pipeline.ocr import load_engine\n"
        "if len(sys.argv) > 1: os.sched_setaffinity(0, {int(sys.argv[1])})\n"
        "engine = load_engine(ReadSettings(engine='auto'))\n"
        "print(engine.model, engine.threads)"
    )
    cores = sorted(os.sched_getaffinity(0))

    def found(*arguments: str) -> str:
        return subprocess.check_output([sys.executable, "-c", code, *arguments], text=True).strip()

    assert found() == f"openvino/PP-OCRv6_small {len(cores)}"
    assert found(str(cores[0])) == "openvino/PP-OCRv6_small 1"


@pytest.mark.slow
@pytest.mark.parametrize("engine", OURS)
@pytest.mark.parametrize(
    "options",
    [{"ink": (250, 250, 250), "paper": (20, 40, 80)}, {"turn": 4.0}, {"turn": -6.0}],
    ids=["light on dark", "turned left", "turned right"],
)
def test_difficult_receipts(engines: LoadEngine, engine: str, options: dict[str, object]) -> None:
    assert [line.text for line in engines(engine=engine).read(receipt(**options)).lines] == RECEIPT_LINES


@pytest.mark.slow
def test_the_runners_agree(engines: LoadEngine) -> None:
    page = receipt(turn=2.0)
    openvino = engines(engine="openvino").read(page).lines
    onnxruntime = engines(engine="onnxruntime").read(page).lines

    assert [line.text for line in openvino] == [line.text for line in onnxruntime]
    for one, other in zip(openvino, onnxruntime, strict=True):
        assert np.abs(np.array(one.quad) - np.array(other.quad)).max() < 4
        assert abs(one.confidence - other.confidence) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("engine", OURS)
def test_languages_limit_what_can_be_read(engines: LoadEngine, engine: str) -> None:
    pixels = draw_page(500, 220, [("Field 42", 20, 140)], size=40).pixels.copy()
    for x in (20, 90):  # a square with a cross in it, which is the Chinese for field
        for k in (0, 30, 60):
            cv2.line(pixels, (x, 40 + k), (x + 60, 40 + k), (0, 0, 0), 5)
            cv2.line(pixels, (x + k, 40), (x + k, 100), (0, 0, 0), 5)
    page = Page(0, pixels)

    every = engines(engine=engine).read(page).text
    latin = engines(engine=engine, languages=("en",), min_confidence=0).read(page).text

    assert "田田" in every
    assert "Field 42" in latin
    assert all(map(alphabet(["en"]), latin.replace("\n", "")))


@pytest.mark.slow
@pytest.mark.parametrize("engine", OURS)
def test_many_threads_read_as_one_does(engines: LoadEngine, engine: str) -> None:
    reader = engines(engine=engine)
    pages = [
        draw_page(300 + 37 * i, 220, [(f"Ticket {i * 7919}", 20, 30), (f"Seat {i}B row {i + 11}", 20, 120)])
        for i in range(16)
    ]
    alone = [reader.read(page) for page in pages]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(reader.read, pages * 3))

    assert [text.text for text in together] == [text.text for text in alone * 3]
    assert all(f"Ticket {i * 7919}" in text.text for i, text in enumerate(alone))


@pytest.mark.slow
def test_stock_paddleocr_reads_in_threads(engines: LoadEngine) -> None:
    reader = engines(engine="paddleocr")
    pages = [draw_page(320, 120, [(f"Ticket {i * 7919}", 20, 40)]) for i in range(6)]

    with ThreadPoolExecutor(2) as pool:
        texts = [text.text for text in pool.map(reader.read, pages)]

    assert texts == [f"Ticket {i * 7919}" for i in range(6)]


@pytest.mark.slow
@pytest.mark.parametrize("engine", OURS)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 500), (500, 1), (2, 3), (800, 600), (1, 40_000), (33, 31)])
def test_empty_pages_of_any_size_have_no_lines(engines: LoadEngine, engine: str, width: int, height: int) -> None:
    assert engines(engine=engine).read(blank_page(width, height)).lines == ()
    assert engines(engine=engine).read(blank_page(width, height, shade=0)).lines == ()


@pytest.mark.slow
def test_empty_pages_with_stock_paddleocr(engines: LoadEngine) -> None:
    assert engines(engine="paddleocr").read(blank_page(1, 1)).lines == ()
    assert engines(engine="paddleocr").read(blank_page(300, 200)).lines == ()


def test_stock_paddleocr_refuses_pages_on_which_its_boxes_would_wrap(engines: LoadEngine) -> None:
    with pytest.raises(ImageError, match="32767 a side; engine auto") as caught:
        engines(engine="paddleocr").read(blank_page(40, 32_768))
    assert caught.value.category is ErrorCategory.ENGINE_ERROR


@pytest.mark.slow
def test_no_line_of_a_very_tall_page_is_lost_and_boxes_are_right_to_its_end(engines: LoadEngine) -> None:
    # Lines stand every 197 pixels, so that seams of tiles, wherever they are, go through some of them.
    texts = [(f"Entry {i:03d} of the log", 10, 40 + 197 * i) for i in range(200)]
    lines = engines(languages=("en",)).read(draw_page(300, 39_600, texts, size=24)).lines

    assert [line.text for line in lines] == [text for text, _, _ in texts]
    for line, (_, x, y) in zip(lines, texts, strict=True):
        left, top = np.array(line.quad).min(axis=0)
        right, bottom = np.array(line.quad).max(axis=0)
        assert abs(left - x) < 12
        assert y - 10 < top < bottom < y + 45
        assert right < 300


@pytest.mark.slow
def test_a_line_longer_than_the_recogniser_takes_is_read_whole(engines: LoadEngine) -> None:
    words = [f"{word}{i}" for i in range(68) for word in ("alpha", "river", "candle", "seven")]
    page = draw_page(39_500, 90, [(" ".join(words), 30, 20)], size=36)
    ink = np.flatnonzero((page.pixels < 128).any(axis=(0, 2)))
    assert ink[-1] > 32_767
    assert ink[-1] < 39_400

    (line,) = engines(languages=("en",)).read(page).lines

    # Without its spaces, since the recogniser sees one in front of this font's digit 1.
    assert line.text.replace(" ", "") == "".join(words)
    corners = np.array(line.quad)
    assert abs(corners[:, 0].min() - ink[0]) < 25
    assert abs(corners[:, 0].max() - ink[-1]) < 25


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "paddleocr"])
def test_stretching_returns_boxes_in_the_page_that_came_in(engines: LoadEngine, engine: str) -> None:
    page = draw_page(1000, 700, [("Stretched", 600, 500)], size=60)

    (line,) = engines(engine=engine, resize="stretch").read(page).lines

    assert line.text == "Stretched"
    corners = np.array(line.quad)
    assert np.abs(corners.mean(axis=0) - (600 + 140, 500 + 38)).max() < 40


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "paddleocr"])
def test_stretching_squashes(engines: LoadEngine, engine: str) -> None:
    # Small text on a page 16 times as long as wide is gone once that is a square: the setting has its effect.
    page = draw_page(200, 3200, [("fine print", 20, 100 * i) for i in range(1, 31)], size=16)

    kept = engines(engine="openvino", resize="keep").read(page)
    squashed = engines(engine=engine, resize="stretch").read(page)

    assert kept.text.split("\n") == ["fine print"] * 30
    assert squashed.text.count("fine print") < 10


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "paddleocr"])
def test_small_text_is_found_at_a_larger_detection_size(engines: LoadEngine, engine: str) -> None:
    page = draw_page(1900, 1900, [("fine print", 60, 80 * i) for i in range(1, 22)], size=18)

    coarse = engines(engine=engine, detection_size=320).read(page)
    fine = engines(engine=engine, detection_size=1920).read(page)

    assert fine.text.split("\n") == ["fine print"] * 21
    assert coarse.text.count("fine print") < 10


@pytest.mark.slow
def test_lines_that_the_recogniser_doubts_are_dropped(engines: LoadEngine) -> None:
    page = draw_page(400, 600, [(f"Line {i}", 40, 20 + 70 * i) for i in range(8)])
    noise = np.random.default_rng(5).normal(0, 1, page.pixels.shape) * np.linspace(0, 220, 600)[:, None, None]
    noisy = Page(0, np.clip(page.pixels + noise, 0, 255).astype(np.uint8))

    every = engines(min_confidence=0).read(noisy).lines
    middle = float(np.median([line.confidence for line in every]))
    sure = engines(min_confidence=middle).read(noisy).lines

    assert sure == tuple(line for line in every if line.confidence >= middle)
    assert 0 < len(sure) < len(every)


def test_text_that_runs_downwards_is_read(engines: LoadEngine) -> None:
    upright = Image.fromarray(draw_page(500, 90, [("Sideways label", 40, 20)], size=40).pixels)
    turned: Pixels = np.ascontiguousarray(np.asarray(upright.rotate(-90, expand=True)))

    (line,) = engines().read(Page(0, turned)).lines

    assert line.text == "Sideways label"
    start, end = line.quad[0], line.quad[1]
    assert end[1] - start[1] > 200
    assert start[0] > line.quad[3][0]


def test_unknown_languages_are_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"there is no xx, yy; there are .*\bde\b.*\bzh\b"):
        RunSettings.parse({"dataset": "a.csv", "output": "out", "languages": ["en", "xx", "yy"]})


@pytest.mark.parametrize(
    ("engine", "absent", "said"),
    [
        ("openvino", {"openvino"}, "engine openvino needs the package openvino: pip install openvino"),
        ("onnxruntime", {"onnxruntime"}, "engine onnxruntime needs the package onnxruntime: pip install onnxruntime"),
        ("auto", {"openvino", "onnxruntime"}, "engine auto found neither openvino nor onnxruntime: pip install"),
    ],
)
def test_an_engine_that_is_not_installed_says_how_to_get_it(
    engine: str, absent: set[str], said: str, tmp_path: Path
) -> None:
    code = (
        "from ocr_pipeline.settings.run import ReadSettings\n"
        "from ocr_pipeline.ocr import load_engine\n"
        f"load_engine(ReadSettings(engine='{engine}'))"
    )
    assert f"EngineError: {said}" in python_without(tmp_path, absent, "-c", code)[1]


@pytest.mark.parametrize("engine", ALL)
def test_a_damaged_model_file_is_an_error_of_the_engine(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_onnx_model("tiny", tmp_path)
    network = tmp_path / "PP-OCRv6_tiny_det_onnx/inference.onnx"
    whole = network.read_bytes()
    network.unlink()  # a link to the installed one
    network.write_bytes(whole[:100_000])
    monkeypatch.setenv("OCR_MODELS", str(tmp_path))

    with pytest.raises(EngineError, match=r"(?i)onnx"):
        load_engine(ReadSettings.model_validate({"engine": engine, "model": "tiny", "threads": 1}))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ALL)
def test_a_page_that_a_network_fails_on_is_an_error_of_that_page(engines: LoadEngine, engine: str) -> None:
    broken = Page(3, np.zeros((50, 60), np.uint8))  # not the three channels that a page has

    with pytest.raises(ImageError, match=f"{engine}/PP-OCRv6_small failed on 60x50") as caught:
        engines(engine=engine).read(broken)
    assert caught.value.category is ErrorCategory.ENGINE_ERROR
    assert engines(engine=engine).read(receipt()).lines


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = (
        "import sys, ocr_pipeline.ocr, ocr_pipeline.settings.run\n"
        "print(sorted(set(sys.modules) & {'paddle', 'paddleocr', 'openvino', 'onnxruntime', 'onnx', 'rapidocr'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("engine", OURS)
def test_our_engines_load_no_other_library_than_theirs(engine: str) -> None:
    code = (
        "import sys\n"
        "from ocr_pipeline.settings.run import ReadSettings\n"
        "from ocr_pipeline.ocr import load_engine\n"
        "from tests.ocr.drawing import receipt\n"
        f"assert load_engine(ReadSettings(engine='{engine}', threads=1)).read(receipt()).lines\n"
        "print(sorted(set(sys.modules) & {'paddle', 'paddlex', 'paddleocr', 'openvino', 'onnxruntime', 'rapidocr'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"['{engine}']"


@pytest.mark.slow
def test_stock_paddleocr_leaves_sigterm_alone() -> None:
    code = (
        "import signal, sys\n"
        "import numpy as np\n"
        "from ocr_pipeline.settings.run import ReadSettings\n"
        "from ocr_pipeline.ocr import load_engine\n"
        "from ocr_pipeline.records import Page\n"
        "before = signal.getsignal(signal.SIGTERM)\n"
        "engine = load_engine(ReadSettings(engine='paddleocr', threads=1))\n"
        "engine.read(Page(0, np.full((64, 64, 3), 255, np.uint8)))\n"
        "assert 'paddle' not in sys.modules\n"
        "assert signal.getsignal(signal.SIGTERM) == before\n"
        "engine.close()\n"
        "signal.raise_signal(signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -15, done.stderr
    assert "SIGTERM is received" not in re.sub(r"\s+", " ", done.stderr)


def test_pages_are_not_written_to(engines: LoadEngine) -> None:
    page = receipt()
    frozen = page.pixels.copy()
    frozen.setflags(write=False)

    assert engines().read(replace(page, pixels=frozen)).lines
    assert np.array_equal(frozen, page.pixels)
