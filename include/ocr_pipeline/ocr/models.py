"""Where the model files are.

A model is looked for in the files that come with the ``rapidocr`` package, which has the default one, and in
the models folder. That is laid out as PaddleX lays out its cache, which it is unless the deployment says
otherwise: a folder for each network, ``NAME_onnx`` with ``inference.onnx`` or ``NAME`` in Paddle's own format,
each with an ``inference.yml`` that says what goes in and out. Nothing is downloaded here; see
:mod:`ocr_pipeline.ocr.hub`.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from ocr_pipeline.errors import EngineError
from ocr_pipeline.settings.models import MODELS, ModelName

FOLDER_VARIABLE = "OCR_MODELS"
"""Environment variable of the deployment with the models folder."""

_BUNDLED = "PP-OCRv6_small"


@dataclass(frozen=True, slots=True)
class Model:
    """A pair of PP-OCR networks: one finds the text, the other reads it.

    The files are ``.onnx``, or ``.json`` or ``.pdmodel`` in Paddle's own format, with ``.pdiparams`` beside them.
    """

    name: str
    detection: Path
    recognition: Path

    @property
    def official(self) -> bool:
        """Whether each file lies in a folder as PaddleOCR expects it, with an ``inference.yml``."""
        return all(path.with_name("inference.yml").is_file() for path in (self.detection, self.recognition))

    @property
    def onnx(self) -> bool:
        """Whether both networks are ONNX."""
        return self.detection.suffix == self.recognition.suffix == ".onnx"


def models_folder() -> Path:
    """The folder with downloaded models: ``OCR_MODELS``, or PaddleX's cache, ``~/.paddlex/official_models``.

    :raises EngineError: when it is in a home folder that there is not, or a bucket.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and "://" in folder:
        raise EngineError(
            f"{FOLDER_VARIABLE} must be a folder, not {folder!r}: build the image with the models in it, or name a "
            "folder that all workers share"
        )
    cache = os.environ.get("PADDLE_PDX_CACHE_HOME") or "~/.paddlex"
    path = Path(folder) if folder else Path(cache, "official_models")
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise EngineError(
            f"there is no place for models, {path}: {error}; {FOLDER_VARIABLE} in the environment names another"
        ) from error


def find_model(name: str, engine: str = "auto") -> Model:
    """The files of the model with the valid ``name`` that ``engine`` runs.

    :raises EngineError: when there are none, with where they were looked for and how to get them.
    """
    official = MODELS[name]
    onnx = official.onnx_for(engine)
    if official.name == _BUNDLED and onnx:
        return _bundled(official)
    folder = models_folder()
    detection, recognition = (
        staged_network(folder, network, onnx=onnx) for network in (official.detection, official.recognition)
    )
    if detection is None or recognition is None:
        missing = [
            folder_name(network, onnx=onnx)
            for network, path in ((official.detection, detection), (official.recognition, recognition))
            if path is None
        ]
        raise EngineError(
            f"model {name} is not staged: {folder} has no complete {' and no complete '.join(missing)}; "
            f"{staging_command(official, onnx=onnx)} downloads it (the folder is {FOLDER_VARIABLE} in the environment, "
            "and every worker must see it)"
        )
    return Model(official.name, detection, recognition)


def staging_command(official: ModelName, *, onnx: bool) -> str:
    """The command that downloads a model, as ONNX or in Paddle's own format."""
    return f"make models MODEL={official.name}" + ("" if onnx == official.onnx else " ENGINE=paddle")


def folder_name(network: str, *, onnx: bool) -> str:
    """The name of the folder in which PaddleX keeps the official network ``network``."""
    return f"{network}_onnx" if onnx else network


def staged_network(folder: Path, network: str, *, onnx: bool) -> Path | None:
    """The file of an official network inside ``folder``, or None unless everything it needs is there."""
    home = folder / folder_name(network, onnx=onnx)
    if not (home / "inference.yml").is_file():
        return None
    if onnx:
        path = home / "inference.onnx"
        return path if path.is_file() else None
    for path in (home / "inference.json", home / "inference.pdmodel"):
        if path.is_file() and path.with_suffix(".pdiparams").is_file():
            return path
    return None


def official_dictionary(path: Path) -> list[str]:
    """The characters in the ``inference.yml`` at ``path``, in the order of the classes, without blank and space.

    :raises EngineError: when it is not that of a PP-OCR recogniser.
    """
    import yaml

    # Its base loader leaves everything as it is written: others turn characters such as = or ~ into values.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        characters = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)["PostProcess"]["character_dict"]
    except (OSError, UnicodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise EngineError(f"{path} has no dictionary (PostProcess: character_dict): {error!r}") from error
    return [str(character) for character in characters]


def _bundled(official: ModelName) -> Model:
    # The package is looked up, not imported: its import is slow and loads libraries that are not needed.
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise EngineError(
            "the PP-OCR model files come with the package rapidocr, which is not installed: pip install rapidocr"
        )
    folder = Path(spec.origin).parent / "models"
    model = Model(official.name, folder / "PP-OCRv6_det_small.onnx", folder / "PP-OCRv6_rec_small.onnx")
    for path in (model.detection, model.recognition):
        if not path.is_file():
            raise EngineError(
                f"model {model.name} is not staged: {path} does not exist; "
                "pip install --force-reinstall rapidocr puts the files that it carries back"
            )
    return model
