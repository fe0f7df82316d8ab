from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ocr_pipeline.ocr import Engine, load_engine
from ocr_pipeline.settings.run import ReadSettings

LoadEngine = Callable[..., Engine]

KEPT = 4
"""Engines that a test may use at once."""


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what engines cache out of the home folder, and begin with nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="package")
def engines() -> Iterator[LoadEngine]:
    """Loads engines by their settings, and keeps the last few: each holds hundreds of megabytes."""
    loaded: dict[ReadSettings, Engine] = {}

    def load(**settings: object) -> Engine:
        key = ReadSettings.model_validate({"threads": 2, **settings})
        engine = loaded.pop(key, None) or load_engine(key)
        while len(loaded) >= KEPT:
            loaded.pop(next(iter(loaded))).close()
        loaded[key] = engine
        return engine

    yield load
    for engine in loaded.values():
        engine.close()
