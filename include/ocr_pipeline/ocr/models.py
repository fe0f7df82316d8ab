"""Where the model files are."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from ocr_pipeline.errors import EngineError


@dataclass(frozen=True, slots=True)
class Model:
    """A pair of PP-OCR networks as ONNX files: one finds the text, the other reads it."""

    name: str
    detection: Path
    recognition: Path


def find_model(size: str) -> Model:
    """The PP-OCRv6 model of ``size``, from the files that come with the ``rapidocr`` package.

    The package is looked up, not imported: its import is slow and loads libraries that are not needed.

    :raises EngineError: when the package or the files are missing, with how to get them.
    """
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise EngineError(
            "the PP-OCR model files come with the package rapidocr, which is not installed: pip install rapidocr"
        )
    folder = Path(spec.origin).parent / "models"
    model = Model(f"PP-OCRv6_{size}", folder / f"PP-OCRv6_det_{size}.onnx", folder / f"PP-OCRv6_rec_{size}.onnx")
    for path in (model.detection, model.recognition):
        if not path.is_file():
            raise EngineError(
                f"model {model.name} is not staged: {path} does not exist; "
                "pip install --force-reinstall rapidocr puts the files that it carries back"
            )
    return model
