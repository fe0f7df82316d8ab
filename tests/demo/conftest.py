"""The demo, drawn once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ocr_demo import DemoDataset, ImageServer, draw


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoDataset:
    return draw(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def demo_server(demo: DemoDataset) -> Iterator[ImageServer]:
    with ImageServer(demo.folder) as server:
        yield server
