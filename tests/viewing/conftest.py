"""Runs to ask: going on and merged, on a disk and in a bucket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.planning.planning import plan_run
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings
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


@pytest.fixture(params=["staged", "merged", "staged in a bucket", "merged in a bucket"])
def any_run(request: pytest.FixtureRequest, tmp_path: Path) -> MakeRun:
    """A run in each of the places, before its merge and after it."""
    output, allowed = str(tmp_path / "output"), [str(tmp_path)]
    connection = None
    if "bucket" in request.param:
        bucket = request.getfixturevalue("bucket")
        connection = request.getfixturevalue("s3_connection")
        output = f"s3://minio@{bucket}/output"
        allowed.append(f"s3://minio@{bucket}")
    allowances = Allowances.parse(allowed, lambda _: connection) if connection else Allowances.parse(allowed)

    def make(dataset: Path, readings: Readings, *, run_id: str = "run", **settings: Any) -> RunFolder:
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
