"""What the merge publishes, for the list of runs and whoever looks later."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from airflow.sdk import DAG, Context

from ocr_airflow.failing import TaskFailedForGood
from ocr_airflow.operators import MergeRunOperator
from tests.conftest import MakePlan, WriteCsv
from tests.viewing.runs import failed, read_page, stage


class TaskInstance:
    """Takes what the task pushes."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def test_a_merge_that_fails_for_its_failures_has_published_their_counts(
    tmp_path: Path, make_plan: MakePlan, write_csv: WriteCsv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCR_OUTPUT", str(tmp_path / "output"))
    run, planned = make_plan(write_csv([["0", "a.png"], ["1", "b.png"], ["2", "c.png"]]))
    stage(run, planned, {"a.png": [read_page()], "b.png": failed(), "c.png": failed()})
    instance = TaskInstance()
    merge = MergeRunOperator(task_id="merge", run=run.uri, dag=DAG("d"))
    with pytest.raises(TaskFailedForGood, match="more than max_failures") as error:
        merge.execute(cast(Context, {"ti": instance}))
    statuses = {"fetch_failed": 2, "ok": 1}
    assert instance.pushed == {
        "return_value": {"rows": 3, "result_rows": 3, "statuses": statuses},
        "error": str(error.value),
    }
