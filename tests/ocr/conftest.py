from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ocr_pipeline.ocr import Engine, load_engine
from ocr_pipeline.settings.run import ReadSettings

LoadEngine = Callable[..., Engine]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what engines cache out of the home folder, and begin with nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def engines() -> Iterator[LoadEngine]:
    """Loads engines by their settings, each only once."""
    loaded: dict[ReadSettings, Engine] = {}

    def load(**settings: object) -> Engine:
        key = ReadSettings.model_validate({"threads": 2, **settings})
        if key not in loaded:
            loaded[key] = load_engine(key)
        return loaded[key]

    yield load
    for engine in loaded.values():
        engine.close()
