"""What ``make retry`` refuses, before it clears anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from ocr_local.airflow import Running
from ocr_local.home import Home
from ocr_local.retry import RetryError, retry_run
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.run.retention import trim_run
from tests.conftest import MakePlan, WriteCsv
from tests.local.airflow_api import AirflowServer
from tests.viewing.runs import failed, stage

CLEAR = "dags/ocr_images/clearTaskInstances"


@pytest.fixture
def airflow() -> Iterator[AirflowServer]:
    with AirflowServer() as server:
        server.runs["r"] = "failed"
        yield server


def retry(airflow: AirflowServer, folder: Path) -> None:
    """``make retry`` on the run of the stand-in."""
    retry_run(Home(folder / "home"), Running(0, airflow.port), "ocr_images", "r", Console(quiet=True))


def test_a_trimmed_run_is_left_as_it_is(
    airflow: AirflowServer, tmp_path: Path, make_plan: MakePlan, write_csv: WriteCsv
) -> None:
    run, plan = make_plan(write_csv([["0", "a.png"]]), max_failures=1)
    stage(run, plan, {"a.png": failed()})
    merge_run(run)
    trim_run(run)
    airflow.xcoms["r", "run"] = run.uri
    airflow.tasks += [{"task_id": "read_batch", "map_index": 0, "state": "success", "try_number": 1}]
    with pytest.raises(RetryError, match=r"nothing is tried again: .* was trimmed at .*; start a new run"):
        retry(airflow, tmp_path)
    assert CLEAR not in airflow.asked("POST")


def test_a_run_that_was_told_what_cannot_be_is_not_planned_again(airflow: AirflowServer, tmp_path: Path) -> None:
    airflow.xcoms["r", "refused"] = "settings refused: device. Start a new run with that put right"
    with pytest.raises(RetryError, match=r"nothing is tried again: settings refused: device\. Start a new run"):
        retry(airflow, tmp_path)
    assert CLEAR not in airflow.asked("POST")
