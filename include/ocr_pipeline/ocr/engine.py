"""The one interface through which the rest of the project reads text, and the choice of what is behind it."""

from __future__ import annotations

import importlib.util
import os
from typing import Protocol

from ocr_pipeline.config import ReadSettings
from ocr_pipeline.errors import EngineError
from ocr_pipeline.languages import alphabet
from ocr_pipeline.records import Page, PageText


class Engine(Protocol):
    """Reads pages.

    ``model`` names the engine and the model that really run, such as ``openvino/PP-OCRv6_small``; ``threads``
    is how many threads should call :meth:`read` at once to keep the hardware busy.
    """

    model: str
    threads: int

    def read(self, page: Page) -> PageText:
        """Read one page. Thread-safe.

        :raises ImageError: with category ``engine_error``, when the page itself makes the engine fail.
        """
        ...

    def close(self) -> None:
        """Release what the engine holds. No thread may be reading."""
        ...


def load_engine(settings: ReadSettings) -> Engine:
    """Load the engine that ``settings`` ask for, models included, ready to read.

    Libraries are imported here and not before: some take seconds to import or install signal handlers.

    :raises EngineError: when it cannot be used: not installed, or a model is missing.
    """
    threads = settings.threads or len(os.sched_getaffinity(0))
    name = _fastest_installed() if settings.engine == "auto" else settings.engine
    if name == "paddleocr":
        from ocr_pipeline.ocr.stock import StockEngine

        return StockEngine(settings, threads)
    return _load_pipeline(name, settings, threads)


def _fastest_installed() -> str:
    for name in ("openvino", "onnxruntime"):
        if importlib.util.find_spec(name) is not None:
            return name
    raise EngineError("engine auto found neither openvino nor onnxruntime: pip install openvino")


def _load_pipeline(name: str, settings: ReadSettings, threads: int) -> Engine:
    import cv2

    from ocr_pipeline.ocr.models import find_model
    from ocr_pipeline.ocr.networks import detection_network, recognition_network
    from ocr_pipeline.ocr.pipeline import PipelineEngine
    from ocr_pipeline.ocr.runners import OnnxRuntimeRunner, OpenVinoRunner

    # Pages are read in parallel; OpenCV splitting each of its calls over all cores as well would only add contention.
    cv2.setNumThreads(1)
    model = find_model(settings.model)
    runner = OpenVinoRunner(threads) if name == "openvino" else OnnxRuntimeRunner()
    return PipelineEngine(
        runner,
        model,
        detection_network(model.detection),
        recognition_network(model.recognition, alphabet(settings.languages) if settings.languages else None),
        threads=threads,
        min_confidence=settings.min_confidence,
        stretch=settings.resize == "stretch",
    )
