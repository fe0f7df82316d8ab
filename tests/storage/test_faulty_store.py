"""Runs in a bucket of a store that fails: slower, or an error that says so, and never a row lost or doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ocr_pipeline.errors import StorageError, StorageRefusedError
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.storage.patience import Patience
from tests.conftest import WidthEngine, reading_with
from tests.pipeline.bucket_runs import plan, read_all, results
from tests.storage.faulty_store import Fault, FaultyStore, StoreRequest


@pytest.fixture
def store(s3_endpoint: str) -> Iterator[FaultyStore]:
    with FaultyStore(s3_endpoint) as store:
        yield store


@pytest.fixture
def through(tmp_path: Path, bucket: str, s3_connection: Connection, store: FaultyStore) -> Allowances:
    """Lets runs use the bucket through the proxy."""
    connection = replace(s3_connection, extra={**s3_connection.extra, "endpoint_url": store.url})
    return Allowances.parse(f"{tmp_path},s3://minio@{bucket}", lambda _: connection)


QUICK = Patience(request=1.0, pause=0.01, longest_pause=0.1)
BRIEF = Patience(outage=0.1, pause=0.05)


@pytest.mark.slow
def test_every_kind_of_fault_on_every_kind_of_request_costs_nothing_but_time(
    dataset: Path, expected: list[dict[str, str]], bucket: str, through: Allowances, store: FaultyStore
) -> None:
    kinds = [Fault.RESET, Fault.SERVER_ERROR, Fault.ANSWER_LOST, Fault.BUSY]
    seen: dict[tuple[str, str], int] = {}

    def judge(request: StoreRequest) -> Fault | None:
        # Every object's first request of a method fails, of every method in every way in turn.
        if request.count > 1:
            return None
        key = (request.method, request.path)
        order = seen.setdefault(key, len(seen))
        if request.method == "GET" and order % 5 == 4:
            return Fault.CUT_SHORT
        return Fault.SLOW if order % 23 == 22 else kinds[order % len(kinds)]

    store.judge = judge
    run, planned = plan(dataset, f"s3://{bucket}/out", through, QUICK)
    read_all(planned, through, QUICK)
    assert merge_run(run).complete
    assert results(run) == expected
    assert store.faults.keys() > {*kinds, Fault.CUT_SHORT}


@pytest.mark.slow
def test_a_store_that_stays_down_ends_the_batch_and_a_retry_goes_on(
    dataset: Path, expected: list[dict[str, str]], bucket: str, through: Allowances, store: FaultyStore
) -> None:
    run, planned = plan(dataset, f"s3://{bucket}/out", through)
    for part in ("part-", "progress.json", "batches/batch-00000.csv", "batches/batch-00000.json"):
        store.judge = failing(part, Fault.BUSY)
        with pytest.raises(StorageError, match="503") as caught:
            Batch(planned.batches[0], through, reading_with(), checkpoint_seconds=0.1, patience=BRIEF).run()
        assert caught.value.retryable
        assert not merge_run(run).complete
    store.judge = lambda _: None
    engine = WidthEngine()
    Batch(planned.batches[0], through, reading_with(engine)).run()
    assert engine.pages == 0
    Batch(planned.batches[1], through, reading_with(), checkpoint_seconds=0.1).run()
    Batch(planned.batches[2], through, reading_with(), checkpoint_seconds=0.1).run()
    assert merge_run(run).complete
    assert results(run) == expected


@pytest.mark.parametrize(
    ("part", "request_of"),
    [
        ("plan/batch", lambda run, batch, allowed: plan(batch, f"{run.uri}/new", allowed)),
        ("results.csv", lambda run, batch, allowed: merge_run(run)),
    ],
)
def test_a_refusal_says_what_to_do_and_is_not_retried(
    part: str, request_of: Callable[..., object], dataset: Path, bucket: str, through: Allowances, store: FaultyStore
) -> None:
    run, planned = plan(dataset, f"s3://{bucket}/out", through)
    read_all(planned, through)
    store.judge = failing(part, Fault.REFUSED)
    with pytest.raises(StorageRefusedError, match=r"cannot write s3://.*403.*give the credentials the right"):
        request_of(run, dataset, through)


def failing(part: str, fault: Fault) -> Callable[[StoreRequest], Fault | None]:
    """Fails every change of an object whose key has ``part`` in it."""
    return lambda request: fault if request.changes and part in request.path else None
