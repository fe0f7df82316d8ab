"""Whole runs in a bucket: the same results as on a disk, whatever the store and the process go through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.staging import read_progress
from ocr_pipeline.settings.deployment import Allowances, Connection
from tests.conftest import WidthEngine, bare_environment, reading_with
from tests.pipeline.bucket_runs import plan, results


@pytest.fixture
def both(tmp_path: Path, bucket: str, s3_connection: Connection) -> Allowances:
    """Lets runs read the dataset's folder and use the bucket."""
    return Allowances.parse(f"{tmp_path},s3://minio@{bucket}", lambda _: s3_connection)


def test_a_run_in_a_bucket_gives_what_it_gives_on_a_disk(
    dataset: Path, expected: list[dict[str, str]], bucket: str, both: Allowances
) -> None:
    run, planned = plan(dataset, f"s3://{bucket}/out", both)
    assert plan(dataset, f"s3://{bucket}/out", both)[1] == planned
    for batch in planned.batches:
        Batch(batch, both, reading_with()).run()
        state = read_progress(run, batch)
        assert (state.staged, state.done) == (True, batch.images)
        assert run.checkpoints(batch.index).files() == []
    assert merge_run(run).complete
    assert results(run) == expected
    with run.results_parquet.reading() as path:
        assert pyarrow.parquet.read_table(path)["ocr_text"].to_pylist() == [row["ocr_text"] for row in expected]


ATTEMPT = """
import sys, time
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.run.folder import RunFolder
from tests.conftest import WidthEngine, reading_with

uri, entries, endpoint, width = sys.argv[1:]
extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
allowances = Allowances.parse(entries, lambda _: Connection("minio", "aws", None, None, None, "key", "secret", extra))

class StoppingEngine(WidthEngine):
    def read(self, page):
        if page.width == int(width):
            time.sleep(0.3)
            print("there", flush=True)
            time.sleep(60)
        return super().read(page)

(first, *_) = Plan.load(RunFolder.open(uri, allowances)).batches
Batch(first, allowances, reading_with(StoppingEngine()), checkpoint_seconds=0.05).run()
"""


def killed_at(width: int, run: RunFolder, entries: str, endpoint: str) -> None:
    """Run the first batch in a process that is killed while it reads the image of that width."""
    command = [sys.executable, "-c", ATTEMPT, run.uri, entries, endpoint, str(width)]
    with subprocess.Popen(command, env=bare_environment(), stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"there\n"
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL


def test_a_killed_batch_goes_on(
    tmp_path: Path, dataset: Path, expected: list[dict[str, str]], bucket: str, both: Allowances, s3_endpoint: str
) -> None:
    run, planned = plan(dataset, f"s3://{bucket}/out", both)
    entries = f"{tmp_path},s3://minio@{bucket}"
    killed_at(27, run, entries, s3_endpoint)
    assert any(file.name.startswith("part-") for file in run.checkpoints(0).files())
    first, *others = planned.batches
    engine = WidthEngine()
    assert 0 < Batch(first, both, reading_with(engine)).run().resumed == first.images - engine.pages
    for batch in others:
        Batch(batch, both, reading_with()).run()
    assert merge_run(run).complete
    assert results(run) == expected
