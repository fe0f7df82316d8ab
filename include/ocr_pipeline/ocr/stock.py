"""The stock ``paddleocr.PaddleOCR`` pipeline as an engine, for comparison and for those who prefer it.

It runs ONNX files on its own ONNX Runtime backend, which does not import Paddle, and Paddle's own files on Paddle.
Nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ocr_pipeline.errors import EngineError, ErrorCategory, ImageError
from ocr_pipeline.ocr.devices import check_cuda
from ocr_pipeline.ocr.doubts import Doubts
from ocr_pipeline.ocr.extras import paddle_missing
from ocr_pipeline.ocr.geometry import as_quad, clockwise
from ocr_pipeline.ocr.models import Model, find_model
from ocr_pipeline.ocr.networks import dictionary
from ocr_pipeline.ocr.paddle import import_paddle
from ocr_pipeline.ocr.pipeline import STRETCHED, stretched
from ocr_pipeline.ocr.reading_order import reading_order
from ocr_pipeline.ocr.scales import SIZE
from ocr_pipeline.records import Page, PageText, TextLine, TextWord
from ocr_pipeline.settings.models import MODELS
from ocr_pipeline.settings.run import ReadSettings

_MAX_SIDE = 32_767
"""PaddleOCR keeps boxes as int16: on longer pages they wrap round and point elsewhere, without an error."""


class StockEngine:
    """``paddleocr.PaddleOCR``, one object a thread since it is not thread-safe. See :class:`ocr_pipeline.ocr.Engine`.

    Detection is limited in size as in our own pipeline; orientation and unwarping models, which are not
    part of the installation, are off.

    :raises EngineError: when PaddleOCR cannot be used as asked.
    """

    def __init__(self, settings: ReadSettings, threads: int) -> None:
        # Read on import: without it, PaddleX looks for its model hubs on the network.
        os.environ.setdefault("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "True")
        try:
            import paddleocr
        except ImportError as error:
            raise paddle_missing("engine paddleocr", "paddleocr", error) from error
        model = find_model(settings.model, "paddleocr")
        self.model = f"paddleocr/{model.name}"
        self.threads = threads
        self._settings = settings
        self._backend: dict[str, Any] = (
            {"engine": "onnxruntime", "engine_config": {"intra_op_num_threads": 1, "inter_op_num_threads": 1}}
            if model.onnx
            else {"engine": "paddle_static", "cpu_threads": 1}
        )
        if not model.onnx:
            import_paddle(settings.device)
        elif settings.device != "cpu":
            check_cuda(settings.device)
        self._doubts = Doubts(settings.model)
        self._min_confidence = settings.min_confidence
        self._stretch = settings.resize == "stretch"
        self._paddleocr = paddleocr
        self._temporary = tempfile.TemporaryDirectory(prefix="ocr-pipeline-paddleocr-")
        if model.official:
            names = MODELS[settings.model].detection, MODELS[settings.model].recognition
            folders = model.detection.parent, model.recognition.parent
        else:
            names = stage_official(model, Path(self._temporary.name))
            folders = Path(self._temporary.name, names[0]), Path(self._temporary.name, names[1])
        self._networks = names, folders
        self._local = threading.local()
        self._local.pipeline = self._load()  # so that what is wrong shows now, not on the first page

    def _load(self) -> Any:
        (detection, recognition), (detection_folder, recognition_folder) = self._networks
        try:
            return self._paddleocr.PaddleOCR(
                text_detection_model_name=detection,
                text_detection_model_dir=str(detection_folder),
                text_recognition_model_name=recognition,
                text_recognition_model_dir=str(recognition_folder),
                use_doc_orientation_classify=False,
                use_doc_unwarping=False,
                use_textline_orientation=False,
                text_det_limit_side_len=self._settings.detection_size,
                text_det_limit_type="max",
                return_word_box=self._settings.words,
                device=self._settings.device,
                **self._backend,
            )
        except Exception as error:  # PaddleX raises bare Exception, RuntimeError and its own types alike
            raise EngineError(f"PaddleOCR could not be loaded on {self._settings.device}: {error}") from error

    def read(self, page: Page) -> PageText:
        """Read one page. Thread-safe.

        :raises ImageError: when the page makes PaddleOCR fail, or is longer than it can handle.
        """
        if max(page.width, page.height) > _MAX_SIDE:
            raise ImageError(
                ErrorCategory.ENGINE_ERROR,
                f"page of {page.width}x{page.height} pixels: PaddleOCR handles {_MAX_SIDE} a side; "
                "engine auto reads longer pages",
            )
        if not hasattr(self._local, "pipeline"):
            self._local.pipeline = self._load()
        pixels = stretched(page.pixels) if self._stretch else page.pixels
        try:
            (result,) = self._local.pipeline.predict(pixels)
        except Exception as error:  # as above
            raise ImageError(
                ErrorCategory.ENGINE_ERROR, f"{self.model} failed on {page.width}x{page.height} pixels: {error}"
            ) from error
        scale = np.array([page.width, page.height]) / STRETCHED if self._stretch else np.ones(2)
        texts, scores = result["rec_texts"], [float(score) for score in result["rec_scores"]]
        words: list[tuple[TextWord, ...]] = [()] * len(texts)
        if self._settings.words:
            parts = zip(result["text_word"], result["text_word_region"], scores, strict=True)
            words = [_words(*line, scale) for line in parts]
        quads = np.array([corners * scale for corners in result["rec_polys"]], np.float32).reshape(-1, 4, 2)
        warnings = self._doubts.about(zip(texts, scores, quads, strict=True), page.pixels)
        kept = [i for i, text in enumerate(texts) if text.strip() and scores[i] >= self._min_confidence]
        quads = quads[kept]
        blocks = reading_order(quads, [texts[i] for i in kept])
        return PageText(
            tuple(
                TextLine(texts[kept[i]], scores[kept[i]], as_quad(quads[i]), words[kept[i]], number)
                for number, block in enumerate(blocks)
                for i in block
            ),
            warnings,
        )

    def close(self) -> None:
        """Remove what was laid out for PaddleOCR."""
        self._temporary.cleanup()


def _words(
    texts: Sequence[str], quads: Sequence[npt.ArrayLike], confidence: float, scale: npt.NDArray[np.floating]
) -> tuple[TextWord, ...]:
    """The words of a line as PaddleOCR parts them; it says how sure it is of lines only."""
    parts = zip(texts, quads, strict=True)
    # The quadrilaterals of lines that run downwards come in another order of corners.
    return tuple(
        TextWord(text.strip(), confidence, as_quad(clockwise(np.asarray(quad) * scale)))
        for text, quad in parts
        if text.strip()
    )


def stage_official(model: Model, folder: Path) -> tuple[str, str]:
    """Lay out ``model`` in ``folder`` as PaddleOCR expects official models; returns the names of the two folders.

    An official model is a folder with ``inference.onnx`` and ``inference.yml``, which says how to prepare the
    input and what the output means.
    """
    detection, recognition = f"{model.name}_det", f"{model.name}_rec"
    _stage(
        folder / detection,
        model.detection,
        {
            "Global": {"model_name": detection},
            "PreProcess": {
                "transform_ops": [
                    {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
                    {"DetResizeForTest": {"resize_long": SIZE}},
                    {
                        "NormalizeImage": {
                            "mean": [0.485, 0.456, 0.406],
                            "std": [0.229, 0.224, 0.225],
                            "scale": "1./255.",
                            "order": "hwc",
                        }
                    },
                    {"ToCHWImage": None},
                ]
            },
            "PostProcess": {
                "name": "DBPostProcess",
                "thresh": 0.3,
                "box_thresh": 0.6,
                "max_candidates": 1000,
                "unclip_ratio": 1.5,
            },
        },
    )
    _stage(
        folder / recognition,
        model.recognition,
        {
            "Global": {"model_name": recognition},
            "PreProcess": {
                "transform_ops": [
                    {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}},
                    {"RecResizeImg": {"image_shape": [3, 48, 320]}},
                ]
            },
            "PostProcess": {"name": "CTCLabelDecode", "character_dict": dictionary(model.recognition)},
        },
    )
    return detection, recognition


def _stage(folder: Path, network: Path, config: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    (folder / "inference.onnx").symlink_to(network)
    # JSON is YAML, too, and quotes every character of the dictionary safely.
    (folder / "inference.yml").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
