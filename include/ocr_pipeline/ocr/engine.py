"""The one interface through which the rest of the project reads text, and the choice of what is behind it."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Protocol

from ocr_pipeline.errors import EngineError
from ocr_pipeline.machine import usable_cores
from ocr_pipeline.ocr.allocator import return_large_blocks
from ocr_pipeline.records import Page, PageText
from ocr_pipeline.settings.models import MODELS
from ocr_pipeline.settings.run import ReadSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocr_pipeline.ocr.detection import Thresholds
    from ocr_pipeline.ocr.inference import LoadedModel, Runner
    from ocr_pipeline.ocr.models import Model


_READERS_AHEAD = 8
"""Readers that a GPU needs besides one a core: so many pages are in its hands while each core is busy with another.

It is what a run of detection takes. More would hold more pages in memory and only wait for the cores.
"""


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

    :raises EngineError: when it cannot be used: not installed, no such device, or a model is missing.
    """
    return_large_blocks()
    cores = usable_cores()
    name = _fastest(settings) if settings.engine == "auto" else settings.engine
    if name == "paddleocr":
        from ocr_pipeline.ocr.stock import StockEngine

        return StockEngine(settings, settings.threads or cores)
    return load_pipeline(name, settings, pipeline_threads(settings, cores))


def pipeline_threads(settings: ReadSettings, cores: int) -> int:
    """How many threads our own pipeline computes in on a machine with so many cores."""
    return settings.threads or cores + (_READERS_AHEAD if settings.device != "cpu" else 0)


def _fastest(settings: ReadSettings) -> str:
    """The fastest engine that is installed and can run the model on the device."""
    able = MODELS[settings.model].engines
    if "openvino" not in able:
        return able[0]
    installed = [name for name in ("openvino", "onnxruntime") if importlib.util.find_spec(name) is not None]
    if not installed:
        raise EngineError("engine auto found neither openvino nor onnxruntime: pip install openvino")
    if settings.device == "cpu":
        return installed[0]
    reasons = []
    for name in reversed(installed):
        try:
            _runner(name, 1, settings.device)
        except EngineError as error:
            reasons.append(str(error))
        else:
            return name
    raise EngineError("; ".join(reasons))


def _runner(name: str, threads: int, device: str, *, exact: bool = False, batching: bool | None = None) -> Runner:
    from ocr_pipeline.ocr.onnxruntime import OnnxRuntimeRunner
    from ocr_pipeline.ocr.openvino import OpenVinoRunner

    if name == "openvino":
        return OpenVinoRunner(threads, device, exact=exact, batching=batching)
    return OnnxRuntimeRunner(device, exact=exact, batching=batching)


def load_pipeline(
    name: str,
    settings: ReadSettings,
    threads: int,
    *,
    thresholds: Thresholds | None = None,
    least_width: int = 0,
    best_path: bool = False,
    batching: bool | None = None,
) -> Engine:
    """Load our own pipeline over the library with the ``name``.

    :param threads: how many will read pages; on a processor each computes in itself.
    :param thresholds: which boxes there are, for comparisons; ours without.
    :param least_width: the width in pixels to which lines are padded at least, for comparisons.
    :param best_path: take every class as the network says it, for comparisons: no spaces are found that are less likely
        than none, and no letters that are out of place read as others.
    :param batching: run the pages of several threads together; without saying, that is done on a GPU.
    :raises EngineError: as :func:`load_engine`.
    """
    import cv2

    from ocr_pipeline.ocr.detection import OURS
    from ocr_pipeline.ocr.doubts import Doubts
    from ocr_pipeline.ocr.models import find_model
    from ocr_pipeline.ocr.pipeline import PipelineEngine

    # Pages are read in parallel; OpenCV splitting each of its calls over all cores as well would only add contention.
    cv2.setNumThreads(1)
    model = find_model(settings.model, name)
    try:
        if name == "paddle":
            from ocr_pipeline.ocr.paddle import load_paddle

            loaded = load_paddle(model, settings.languages, settings.device, batching=batching)
        else:
            runner = _runner(name, threads, settings.device, exact=settings.precision == "float32", batching=batching)
            loaded = load_onnx(runner, model, settings.languages)
    except EngineError:
        raise
    except Exception as error:  # each library has its own types for a network that it cannot compile
        raise EngineError(f"{name} cannot load {model.name} from {model.detection.parent}: {error}") from error
    return PipelineEngine(
        loaded,
        threads=threads,
        min_confidence=settings.min_confidence,
        stretch=settings.resize == "stretch",
        doubts=Doubts(settings.model, settings.languages),
        words=settings.words,
        find_turns=settings.orientation == "auto",
        detection_size=settings.detection_size,
        thresholds=thresholds or OURS,
        least_width=least_width,
        best_path=best_path,
    )


def load_onnx(runner: Runner, model: Model, languages: Sequence[str]) -> LoadedModel:
    """Load ``model``, whose files are ONNX, with ``runner``.

    :param languages: those to be read; empty: every character.
    """
    from ocr_pipeline.ocr.detection import BATCH_PIXELS as DETECTION_PIXELS
    from ocr_pipeline.ocr.inference import LoadedModel
    from ocr_pipeline.ocr.networks import cached_detection_network, cached_recognition_network
    from ocr_pipeline.ocr.recognition import BATCH_PIXELS as RECOGNITION_PIXELS
    from ocr_pipeline.ocr.recognition import LINE_SHAPES

    detection = cached_detection_network(model.detection)
    recognition = cached_recognition_network(model.recognition, languages, exact=not runner.eight_bit)
    return LoadedModel(
        f"{runner.name}/{model.name}",
        runner.load(detection.graph, DETECTION_PIXELS),
        runner.load(recognition.graph, RECOGNITION_PIXELS, LINE_SHAPES),
        recognition.characters,
        runner.batching,
    )
