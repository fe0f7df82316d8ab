"""Batches whose store is away for a while: they go on reading, wait for it, and lose nothing; times are scaled down."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from ocr_pipeline.errors import DeadlineError, StorageError
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.records import Page, PageText
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.storage import objects
from ocr_pipeline.storage.folders import Folder
from ocr_pipeline.storage.opening import open_folder
from ocr_pipeline.storage.patience import PATIENCE, Patience
from tests.conftest import WidthEngine, reading_with
from tests.misbehaving_server import MisbehavingServer
from tests.pipeline.bucket_runs import plan, read_all, results
from tests.storage.faulty_store import Fault, FaultyStore, StoreRequest

pytestmark = pytest.mark.slow  # waits for outages to end

PATIENT = Patience(request=0.5, outage=15, pause=0.05, longest_pause=0.3)
OUTAGE = 2.5


class SlowEngine(WidthEngine):
    """Takes a moment for each page and notes when it is done."""

    def __init__(self, seconds: float = 0.2) -> None:
        super().__init__()
        self.times: list[float] = []
        self._seconds = seconds

    def read(self, page: Page) -> PageText:
        time.sleep(self._seconds)
        self.times.append(time.monotonic())
        return super().read(page)


class Outage:
    """The store is away for ``seconds`` from the second change of checkpoints on; ``since`` says since when."""

    def __init__(self, fault: Fault, seconds: float) -> None:
        self.since: float | None = None
        self._fault = fault
        self._seconds = seconds
        self._parts = 0

    def judge(self, request: StoreRequest) -> Fault | None:
        if request.changes and "/part-" in request.path and self.since is None:
            self._parts += 1
            if self._parts == 2:
                self.since = time.monotonic()
        away = self.since is not None and time.monotonic() < self.since + self._seconds
        return self._fault if away else None


@pytest.fixture
def store(s3_endpoint: str) -> Iterator[FaultyStore]:
    with FaultyStore(s3_endpoint) as store:
        yield store


def through(store: FaultyStore, tmp_path: Path, bucket: str, s3_connection: Connection) -> Allowances:
    """Lets runs use the bucket through the proxy."""
    connection = replace(s3_connection, extra={**s3_connection.extra, "endpoint_url": store.url})
    return Allowances.parse(f"{tmp_path},s3://minio@{bucket}", lambda _: connection)


def test_the_shipped_patience_outlasts_two_minutes_of_any_kind_of_outage() -> None:
    # The request that is under way as the outage ends may be one that is never answered.
    assert PATIENCE.outage - PATIENCE.request - PATIENCE.longest_pause >= 120


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.RESET, Fault.SLOW])
def test_an_outage_costs_a_batch_nothing_but_time(
    dataset: Path, expected: list[dict[str, str]], bucket: str, tmp_path: Path, s3_connection: Connection,
    store: FaultyStore, fault: Fault, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)
    allowed = through(store, tmp_path, bucket, s3_connection)
    run, planned = plan(dataset, f"s3://{bucket}/out", allowed, PATIENT)
    outage = Outage(fault, OUTAGE)
    store.judge = outage.judge
    engine = SlowEngine()
    batch = Batch(
        planned.batches[0], allowed, reading_with(engine), checkpoint_seconds=0.1, idle_seconds=1, patience=PATIENT
    )
    batch.run()
    assert outage.since is not None
    assert time.monotonic() > outage.since + OUTAGE
    during = [moment for moment in engine.times if outage.since < moment < outage.since + OUTAGE]
    assert len(during) >= 4  # it went on reading meanwhile
    assert max(engine.times) < outage.since + OUTAGE
    assert "waiting for the store: cannot write s3://" in caplog.text
    assert "the store answers again after" in caplog.text
    for other in planned.batches[1:]:
        Batch(other, allowed, reading_with(), patience=PATIENT).run()
    assert merge_run(run).complete
    assert results(run) == expected


def test_a_store_that_takes_its_time_to_put_parts_together_is_waited_for(
    bucket: str, tmp_path: Path, s3_connection: Connection, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(2 * objects.PART_BYTES)
    monkeypatch.setattr(objects, "_ASSEMBLED", len(content) / 30)
    patience = replace(PATIENT, request=1.0, outage=3.0)
    allowed = through(store, tmp_path, bucket, s3_connection)
    store.judge = lambda request: Fault.LATE if request.method == "POST" and "uploadId" in request.path else None
    file = open_folder(f"s3://{bucket}", allowed, patience).file("large")
    with file.writing() as path:
        path.write_bytes(content)
    assert store.faults == {Fault.LATE: 1}
    assert file.version().size == len(content)


def test_a_store_that_is_started_anew_is_waited_for_whatever_is_asked_of_it(
    dataset: Path, expected: list[dict[str, str]], bucket: str, tmp_path: Path, s3_connection: Connection,
    s3_endpoint: str,
) -> None:  # fmt: skip
    with ExitStack() as stores:
        store = FaultyStore(s3_endpoint)
        allowed = through(store, tmp_path, bucket, s3_connection)

        def restart() -> None:
            """Serve once, break off, refuse connections for a while, and serve again."""
            nonlocal store
            port = int(store.url.rpartition(":")[2])
            store.judge = lambda _: Fault.RESET
            store.__exit__(None, None, None)
            time.sleep(1.0)
            store = stores.enter_context(FaultyStore(s3_endpoint, port=port))

        store.__enter__()
        for step in ("plan", "read", "merge"):
            restarting = threading.Thread(target=restart)
            restarting.start()
            if step == "plan":
                run, planned = plan(dataset, f"s3://{bucket}/out", allowed, PATIENT)
            elif step == "read":
                read_all(planned, allowed, PATIENT)
            else:
                assert merge_run(run).complete
            restarting.join()
        assert results(run) == expected


def test_a_store_that_stays_away_is_waited_for_once(
    dataset: Path, bucket: str, tmp_path: Path, s3_connection: Connection, store: FaultyStore
) -> None:
    allowed = through(store, tmp_path, bucket, s3_connection)
    _, planned = plan(dataset, f"s3://{bucket}/out", allowed)
    outage = Outage(Fault.BUSY, 1000)
    store.judge = outage.judge
    patience = replace(PATIENT, outage=3)
    with pytest.raises(StorageError, match=r"cannot write s3://.*503.*a retry goes on from here") as caught:
        Batch(planned.batches[0], allowed, reading_with(SlowEngine()), checkpoint_seconds=0.1, patience=patience).run()
    assert caught.value.retryable
    assert outage.since is not None
    # Writing down what is left and what ended the batch is tried as well, but not waited for anew.
    assert 3 <= time.monotonic() - outage.since < 3 + 5


def test_what_ended_a_batch_is_said_also_while_the_store_is_away(
    dataset: Path, bucket: str, tmp_path: Path, s3_connection: Connection, store: FaultyStore
) -> None:
    allowed = through(store, tmp_path, bucket, s3_connection)
    _, planned = plan(dataset, f"s3://{bucket}/out", allowed)
    store.judge = lambda request: Fault.BUSY if request.changes else None
    patience = replace(PATIENT, outage=2.5)
    with pytest.raises(DeadlineError):
        Batch(planned.batches[0], allowed, reading_with(SlowEngine(0.6)), seconds=0.5, patience=patience).run()


@pytest.mark.parametrize("code", [400, 409, 501])
def test_a_failure_that_is_no_outage_is_not_waited_for(s3_connection: Connection, code: int) -> None:
    with MisbehavingServer() as server:
        connection = replace(s3_connection, extra={"endpoint_url": server.origin, "region_name": "us-east-1"})
        folder = open_folder("s3://status", Allowances.parse("s3://minio@status", lambda _: connection))
        started = time.monotonic()
        with pytest.raises(StorageError, match=f"HTTP {code}"):
            folder.file(f"code={code}").read_bytes()
    assert time.monotonic() - started < 10


def test_of_several_who_create_a_file_one_does(bucket: str, s3_allowances: Allowances, tmp_path: Path) -> None:
    folders: list[Folder] = [
        open_folder(f"s3://{bucket}/out", s3_allowances),
        open_folder(str(tmp_path / "out"), Allowances.parse(str(tmp_path))),
    ]
    for folder in folders:
        folder.create()
        file = folder.file("deep/first")
        contents = [bytes([number]) * 100_000 for number in range(8)]
        with ThreadPoolExecutor(len(contents)) as threads:
            created = list(threads.map(file.create_bytes, contents))
        assert [content for content, done in zip(contents, created, strict=True) if done] == [file.read_bytes()]
        assert [stored.name for stored in folder.folder("deep").files()] == ["first"]
        assert not file.create_bytes(b"late")
        file.delete()
        assert file.create_bytes(b"again")
