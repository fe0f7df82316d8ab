"""Runs to ask: going on and merged, on a disk and in a bucket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.planning.planning import plan_run
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.settings.run import RunSettings
from tests.conftest import make_bucket
from tests.viewing.runs import Readings, stage

MakeRun = Callable[..., RunFolder]
"""What the fixtures below give: it makes a run of a dataset and the readings of its links; the rest is settings."""


@pytest.fixture
def make_run(tmp_path: Path, allowances: Allowances) -> MakeRun:
    """A merged run on a disk."""

    def make(dataset: Path, readings: Readings, *, run_id: str = "run", **settings: Any) -> RunFolder:
        run = _stage(dataset, readings, str(tmp_path / "output"), run_id, allowances, settings)
        merge_run(run)
        return run

    return make


@pytest.fixture(scope="module", params=["staged", "merged", "staged in a bucket", "merged in a bucket"])
def any_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Runs in each of the places, before their merge and after it, each in an output of its own."""

    def connect(_: str) -> Connection:
        connection: Connection = request.getfixturevalue("s3_connection")
        return connection

    def make(dataset: Path, readings: Readings, *, run_id: str = "run", **settings: Any) -> RunFolder:
        output = str(tmp_path_factory.mktemp("output"))
        if "bucket" in request.param:
            output = f"s3://minio@{make_bucket(request.getfixturevalue('s3_endpoint'))}"
        allowances = Allowances.parse([str(dataset.parent), output], connect)
        run = _stage(dataset, readings, output, run_id, allowances, settings)
        if "merged" in request.param:
            merge_run(run)
        return run

    return make


def _stage(
    dataset: Path, readings: Readings, output: str, run_id: str, allowances: Allowances, settings: dict[str, Any]
) -> RunFolder:
    parsed = RunSettings.parse({"dataset": str(dataset), "output": output, "batch_size": 3, **settings})
    run = RunFolder.of(output, run_id, allowances)
    stage(run, plan_run(parsed, run, allowances, max_batches=1000), readings)
    return run
