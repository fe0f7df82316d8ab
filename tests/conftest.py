"""What several tests share: settings, datasets on disk, and an engine for where reading is not the point."""

from __future__ import annotations

import asyncio
import csv
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
import pytest
from hypothesis import settings

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.planning.planning import plan_run
from ocr_pipeline.reading.meter import ReaderState
from ocr_pipeline.reading.pages import read_pages
from ocr_pipeline.reading.previews import PreviewWriter
from ocr_pipeline.records import BatchRef, FetchedImage, Page, PageText, ResultRow, TextLine
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.run.staging import load_staged
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.settings.run import ReadSettings, RunSettings
from ocr_pipeline.storage.disk import LocalFile, LocalFolder
from ocr_pipeline.storage.folders import Folder, StoredFile

# A busy machine is slow; that says nothing of what is tested.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

# Importing Airflow writes into its home: never into the one of whoever runs the tests.
# Processes that the tests start and kill use the same folder, which goes when pytest ends.
if "OCR_TESTS_FOLDER" not in os.environ:
    os.environ["OCR_TESTS_FOLDER"] = tempfile.mkdtemp(prefix="ocr-tests-")
_FOLDER = Path(os.environ["OCR_TESTS_FOLDER"])
os.environ["AIRFLOW_HOME"] = str(_FOLDER / "airflow")
os.environ["OCR_CACHE"] = str(_FOLDER / "cache")


# So that the Python processes that tests start find the project as pytest does.
os.environ["PYTHONPATH"] = os.pathsep.join(
    str(Path(__file__).parents[1] / part) for part in (".", "include", "plugins")
)


def bare_environment() -> dict[str, str]:
    """The environment of a process that is given nothing but the project, for tests that kill it."""
    root = Path(__file__).parents[1]
    path = os.pathsep.join([str(root / "include"), str(root)])
    return {"PYTHONPATH": path, "OCR_TESTS_FOLDER": str(_FOLDER), "TMPDIR": str(_FOLDER)}


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(_FOLDER, ignore_errors=True)


DrawImage = Callable[[int], str]
WriteCsv = Callable[..., Path]
MakePlan = Callable[..., tuple[RunFolder, Plan]]
"""What the fixtures of these names give."""


FOLDER_MARKS = {"e2e": "airflow", "metrics": "airflow", "plugins": "airflow", "pipeline": "slow"}
"""The mark of every test in a folder; others mark themselves."""

MARKS = ("slow", "airflow", "browser", "chaos")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder, and as ``unit`` those that have no mark."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in FOLDER_MARKS:
            item.add_marker(FOLDER_MARKS[folder])
        if not any(item.get_closest_marker(name) for name in MARKS):
            item.add_marker("unit")


class WidthEngine:
    """Reads a page as one line that says how wide it is; pages 13, 14 and 15 pixels wide break it."""

    model = "test/width"
    threads = 2

    def __init__(self, settings: ReadSettings | None = None) -> None:
        self.pages = 0
        self._lock = threading.Lock()

    def read(self, page: Page) -> PageText:
        with self._lock:
            self.pages += 1
        if page.width == 13:
            raise RuntimeError("unlucky width")
        if page.width == 14:
            raise ImageError(ErrorCategory.ENGINE_ERROR, "fourteen")
        if page.width == 15:
            raise MemoryError("no room")
        if page.width == 1:
            return PageText(())
        corners = ((0.0, 0.0), (page.width, 0.0), (page.width, page.height), (0.0, page.height))
        return PageText((TextLine(f"width {page.width}", 0.9, corners),))

    def close(self) -> None:
        """Nothing to release."""


class ThreadReader:
    """Reads with an engine in threads of this process, for tests in which the reader's own process is not the point."""

    def __init__(self, engine: WidthEngine, settings: ReadSettings, previews: PreviewWriter | None = None) -> None:
        self._engine = engine
        self._settings = settings

    async def __aenter__(self) -> Self:
        self._threads = ThreadPoolExecutor(self._engine.threads)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    @property
    def state(self) -> ReaderState:
        return ReaderState(memory=1 << 20, memory_limit=4 << 20)

    async def ready(self, compiling: Callable[[], None]) -> int:
        return self._engine.threads + 1

    async def read(self, image: FetchedImage) -> list[ResultRow]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._read, image)

    def _read(self, image: FetchedImage) -> list[ResultRow]:
        return [row for row, _ in read_pages(image, self._engine, self._settings, lambda page: None)]


def reading_with(engine: WidthEngine | None = None) -> Callable[[ReadSettings, PreviewWriter], ThreadReader]:
    """What a batch is given to read with ``engine`` in this process."""
    return partial(ThreadReader, engine or WidthEngine())


def local_path(place: StoredFile | Folder) -> Path:
    """Where a file or a folder lies that is on a disk."""
    assert isinstance(place, LocalFile | LocalFolder)
    return place.path


def stage_batch(run: RunFolder, plan: Plan, batch: BatchRef, readings: Mapping[int, list[ResultRow]]) -> None:
    """Stage a batch of which these are the rows, by image."""
    with BatchStore(run, batch, plan.digests[batch.index]) as store:
        store.resume(set())
        for pages in readings.values():
            store.add(pages)
        store.stage(readings, seconds=1.5, resumed=0)


def staged_rows(run: RunFolder, plan: Plan, index: int = 0) -> list[ResultRow]:
    """The rows of a batch that is done."""
    return load_staged(run, plan.batches[index], plan.digests[index])


@pytest.fixture
def allowances(tmp_path: Path) -> Allowances:
    return Allowances.parse(str(tmp_path))


@pytest.fixture
def draw_image(tmp_path: Path) -> Callable[[int], str]:
    """Makes a PNG of the given width in the dataset's folder; returns its path relative to it."""

    def draw(width: int) -> str:
        path = tmp_path / "images" / f"{width}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((8, width, 3), 200, np.uint8))
        return str(path.relative_to(tmp_path))

    return draw


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    """Writes a dataset as CSV; returns its path."""

    def write(rows: Iterable[Sequence[Any]], header: Sequence[str] = ("id", "image"), name: str = "data.csv") -> Path:
        path = tmp_path / name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(rows)
        return path

    return write


@pytest.fixture
def make_plan(tmp_path: Path, allowances: Allowances) -> Callable[..., tuple[RunFolder, Plan]]:
    """Plans a run of a dataset; keyword arguments are settings."""

    def make(dataset: Path, *, run_id: str = "run", max_batches: int = 1000, **settings: Any) -> tuple[RunFolder, Plan]:
        values = {"dataset": str(dataset), "output": str(tmp_path / "output"), "attempts": 1, **settings}
        parsed = RunSettings.parse(values)
        run = RunFolder.of(parsed.output, run_id, allowances)
        return run, plan_run(parsed, run, allowances, max_batches=max_batches)

    return make


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A server that speaks S3 on loopback; returns its URL."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def s3_connection(s3_endpoint: str) -> Connection:
    """The Airflow connection that opens the buckets of that server."""
    extra = {"endpoint_url": s3_endpoint, "region_name": "us-east-1"}
    return Connection("minio", "aws", login="key", password="secret", extra=extra)


@pytest.fixture
def bucket(s3_endpoint: str) -> str:
    """The name of a new, empty bucket on that server."""
    return make_bucket(s3_endpoint)


def make_bucket(endpoint: str) -> str:
    """Make an empty bucket on an S3 server; returns its name."""
    import requests

    name = f"bucket-{secrets.token_hex(6)}"
    requests.put(f"{endpoint}/{name}", timeout=10).raise_for_status()
    return name


@pytest.fixture
def s3_allowances(bucket: str, s3_connection: Connection) -> Allowances:
    """Lets runs use that bucket."""
    return Allowances.parse(f"s3://minio@{bucket}", lambda _: s3_connection)


@pytest.fixture
def dataset(draw_image: Callable[[int], str], write_csv: Callable[..., Path]) -> Path:
    """Images that can be read, repeated links, and one that is not there."""
    links = [draw_image(width) for width in range(20, 40)]
    return write_csv(enumerate([*links, links[3], "gone.png", links[3]]))


@pytest.fixture
def expected(dataset: Path, tmp_path: Path, allowances: Allowances) -> list[dict[str, str]]:
    """The results of an undisturbed run of that dataset on a disk."""
    from tests.pipeline.bucket_runs import plan, read_all, results

    run, planned = plan(dataset, str(tmp_path / "disk"), allowances)
    read_all(planned, allowances)
    assert merge_run(run).complete
    return results(run)
