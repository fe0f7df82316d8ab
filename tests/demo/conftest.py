"""The demo, drawn once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ocr_demo import DemoDataset, ImageServer, draw


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoDataset:
    return draw(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def demo_server(demo: DemoDataset) -> Iterator[ImageServer]:
    with ImageServer(demo.folder) as server:
        yield server


@pytest.fixture
def small_catalogue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for a demo of three pictures, which are quick to draw."""
    from ocr_demo import dataset

    monkeypatch.setattr(dataset, "PICTURES", dataset.PICTURES[-3:])
    return tmp_path
