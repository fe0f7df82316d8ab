"""The systems that read text, each behind one function: bytes of an image file in, text out.

This module runs in the peers' environment as well as in the project's: it imports each system where it is made.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Read = Callable[[bytes], str]
"""Reads one image file; called by one thread only."""

DETECTION_SIDE = 960
SQUASHED = (640, 640)

OURS = {"ours_en": ("en",), "ours_all": ()}
PEERS = (
    "paddleocr",
    "paddleocr_default",
    "rapidocr_openvino",
    "rapidocr_onnxruntime",
    "faster_paddle",
    "indra",
    "tesseract",
    "original_recipe",
)


def make_reader(system: str, threads: int, models: Path) -> Callable[[], Read]:
    """A function that makes a reader for one thread.

    :param threads: threads that one reader may use inside.
    :param models: folder with official PaddleOCR models, laid out by ``ocr_pipeline.ocr.stock.stage_official``.
    """
    if system in OURS:
        return _ours(system)
    if system.startswith("rapidocr"):
        return lambda: _rapidocr(system.removeprefix("rapidocr_"), threads)
    if system == "faster_paddle":
        return lambda: _faster_paddle(threads)
    if system == "indra":
        return lambda: _indra(threads)
    if system == "tesseract":
        return lambda: _tesseract(threads)
    return lambda: _paddleocr(system, threads, models)


def _decode(body: bytes) -> Any:
    import cv2
    import numpy as np

    return cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)


def _ours(system: str) -> Callable[[], Read]:
    from ocr_pipeline.images import whole_pages
    from ocr_pipeline.ocr import load_engine
    from ocr_pipeline.settings.run import ReadSettings

    settings = ReadSettings(languages=OURS[system])
    engine = load_engine(settings)

    def read(body: bytes) -> str:
        pages = whole_pages(body, max_pixels=settings.max_pixels)
        return "\n".join(engine.read(page).text for page in pages)

    return lambda: read


def _paddleocr(system: str, threads: int, models: Path) -> Read:
    os.environ.setdefault("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "True")
    import cv2
    from paddleocr import PaddleOCR

    (detection,) = (path.name for path in models.glob("*_det"))
    (recognition,) = (path.name for path in models.glob("*_rec"))
    limit = {} if system == "paddleocr_default" else {
        "text_det_limit_side_len": DETECTION_SIDE,
        "text_det_limit_type": "max",
    }  # fmt: skip
    pipeline = PaddleOCR(
        text_detection_model_name=detection,
        text_detection_model_dir=str(models / detection),
        text_recognition_model_name=recognition,
        text_recognition_model_dir=str(models / recognition),
        use_doc_orientation_classify=False,
        use_doc_unwarping=False,
        use_textline_orientation=False,
        device="cpu",
        engine="onnxruntime",
        engine_config={"intra_op_num_threads": threads, "inter_op_num_threads": 1},
        **limit,
    )

    def read(body: bytes) -> str:
        pixels = _decode(body)
        if system == "original_recipe":
            pixels = cv2.resize(pixels, SQUASHED)
        return "\n".join(text for result in pipeline.predict(pixels) for text in result["rec_texts"])

    return read


def _rapidocr(engine: str, threads: int) -> Read:
    from rapidocr import EngineType, RapidOCR
    from rapidocr.utils.output import RapidOCROutput

    kind = EngineType(engine)
    option = "inference_num_threads" if engine == "openvino" else "intra_op_num_threads"
    pipeline = RapidOCR(
        params={
            "Global.log_level": "critical",
            "Det.engine_type": kind,
            "Cls.engine_type": kind,
            "Rec.engine_type": kind,
            f"EngineConfig.{engine}.{option}": threads,
        }
    )

    def read(body: bytes) -> str:
        found = pipeline(_decode(body))
        assert isinstance(found, RapidOCROutput)  # it gives others when a stage of it is left out
        return "\n".join(found.txts or ())

    return read


def _faster_paddle(threads: int) -> Read:
    """The same models, PP-OCRv6 small, in Rust on ONNX Runtime."""
    from faster_paddle import OcrEngine

    engine = OcrEngine(model_size="small", threads=threads)

    def read(body: bytes) -> str:
        return str(engine.ocr(body)["text"])

    return read


def _indra(threads: int) -> Read:
    """Indra OCR: the package ``rapidocrlite``, whose module has RapidOCR's name, in an environment of its own."""
    from rapidocr import ModelType, RapidOCR

    pipeline = RapidOCR(
        params={
            "Global.log_level": "critical",
            "Det.model_type": ModelType("lite"),
            "Rec.model_type": ModelType("lite"),
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        }
    )

    def read(body: bytes) -> str:
        return "\n".join(getattr(pipeline(body), "txts", None) or ())

    return read


def _tesseract(threads: int) -> Read:
    environment = os.environ | {"OMP_THREAD_LIMIT": str(threads)}

    def read(body: bytes) -> str:
        command = ["tesseract", "stdin", "stdout", "-l", "eng"]
        done = subprocess.run(command, input=body, capture_output=True, env=environment, check=False)
        return done.stdout.decode(errors="replace")

    return read
