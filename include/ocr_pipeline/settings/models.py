"""The models that a run may name, and what each of them reads.

A model is a pair of official PP-OCR networks: one finds the lines, the other reads them. It is named as they
are, without ``_det`` and ``_rec``: ``PP-OCRv5_server`` is ``PP-OCRv5_server_det`` and ``PP-OCRv5_server_rec``,
and ``korean_PP-OCRv5_mobile`` reads with ``korean_PP-OCRv5_mobile_rec`` what ``PP-OCRv5_mobile_det`` finds.
``tiny``, ``small`` and ``medium`` are short for those of PP-OCRv6. The networks that exist, and those that are
published as ONNX, are listed in ``paddlex.inference.utils.official_models`` (PaddleX 3.7.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ocr_pipeline.settings.languages import script_of

DEFAULT_MODEL = "small"
"""The model that comes with the installation."""

ENGINES = ("openvino", "onnxruntime", "paddle", "paddleocr")
"""The engines that read, our own first."""

_CHINESE_AND_JAPANESE = ("han", "kana")


@dataclass(frozen=True, slots=True)
class ModelName:
    """An official model.

    ``detection`` and ``recognition`` are the names of its networks. All are published in Paddle's own format, which
    nothing but Paddle reads; ``onnx`` says whether they are as ONNX, too. ``scripts`` are those that the recogniser
    knows beside Latin.
    """

    name: str
    detection: str
    recognition: str
    onnx: bool
    scripts: tuple[str, ...]

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that can run it, our own first."""
        # Recognisers give text as it looks; PaddleOCR puts what runs from right to left in order.
        if "arabic" in self.scripts:
            return ("paddleocr",)
        return ENGINES if self.onnx else ("paddle", "paddleocr")

    @property
    def limits(self) -> str:
        """Why other engines than :attr:`engines` cannot run it; empty when all can."""
        if "arabic" in self.scripts:
            return "reads text that runs from right to left"
        return "" if self.onnx else "is published in Paddle's own format only"

    def onnx_for(self, engine: str) -> bool:
        """Whether ``engine``, which may be ``auto``, runs it from ONNX files, not from those in Paddle's format."""
        return self.onnx and engine != "paddle"

    def reads(self, code: str) -> bool:
        """Whether the language with this valid code can be read."""
        return script_of(code) in ("latin", *self.scripts)


_V5_LANGUAGES: dict[str, tuple[str, ...]] = {
    "en": (),
    "latin": (),
    "cyrillic": ("cyrillic",),
    "eslav": ("cyrillic",),
    "korean": ("hangul",),
    "arabic": ("arabic",),
    "devanagari": ("devanagari",),
    "el": ("greek",),
    "th": ("thai",),
    "ta": ("tamil",),
    "te": ("telugu",),
}
_V3_LANGUAGES: dict[str, tuple[str, ...]] = {
    "en": (),
    "latin": (),
    "cyrillic": ("cyrillic",),
    "korean": ("hangul",),
    "japan": _CHINESE_AND_JAPANESE,
    "chinese_cht": ("han",),
    "arabic": ("arabic",),
    "devanagari": ("devanagari",),
    "ka": ("kannada",),
    "ta": ("tamil",),
    "te": ("telugu",),
}


def _models() -> Iterator[ModelName]:
    for size in ("tiny", "small", "medium"):
        yield _pair(f"PP-OCRv6_{size}", onnx=True)
    for size in ("server", "mobile"):
        yield _pair(f"PP-OCRv5_{size}", onnx=True)
    for language, scripts in _V5_LANGUAGES.items():
        yield _of_language(language, "PP-OCRv5_mobile", scripts, onnx=True)
    for size in ("server", "mobile"):
        yield _pair(f"PP-OCRv4_{size}", onnx=False)
    yield ModelName(
        "PP-OCRv4_server_doc", "PP-OCRv4_server_det", "PP-OCRv4_server_rec_doc", False, _CHINESE_AND_JAPANESE
    )
    yield _of_language("en", "PP-OCRv4_mobile", (), onnx=False)
    yield _pair("PP-OCRv3_mobile", onnx=False)
    for language, scripts in _V3_LANGUAGES.items():
        yield _of_language(language, "PP-OCRv3_mobile", scripts, onnx=False)


def _pair(name: str, *, onnx: bool) -> ModelName:
    return ModelName(name, f"{name}_det", f"{name}_rec", onnx, _CHINESE_AND_JAPANESE)


def _of_language(language: str, family: str, scripts: tuple[str, ...], *, onnx: bool) -> ModelName:
    return ModelName(f"{language}_{family}", f"{family}_det", f"{language}_{family}_rec", onnx, scripts)


_BY_NAME = {model.name: model for model in _models()}
_SHORT = {size: _BY_NAME[f"PP-OCRv6_{size}"] for size in ("tiny", "small", "medium")}

MODELS: dict[str, ModelName] = _SHORT | _BY_NAME
"""Every name that is valid, and the model it means."""


def model_by_script() -> dict[str, str]:
    """For each script beside Latin, the model to read it: the default one where that does, else the newest of all."""
    models = (MODELS[DEFAULT_MODEL], *_BY_NAME.values())  # newer ones come first
    return {script: model.name for model in reversed(models) for script in model.scripts}
