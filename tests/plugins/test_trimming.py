"""The DAG that trims finished runs: its form, and what its task does to an output folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from airflow.sdk import DAG, Context

from ocr_airflow.failing import TaskFailedForGood
from ocr_airflow.trimming import TrimRunsOperator
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.settings.deployment import Allowances
from tests.conftest import MakePlan
from tests.pipeline.bucket_runs import read_all

ROOT = Path(__file__).parents[2]


def trim(**params: Any) -> dict[str, int]:
    operator = TrimRunsOperator(task_id="trim", dag=DAG("d"))
    filled = {"output": None, "older_than_days": 0, "previews": False} | params
    return operator.execute(cast(Context, {"params": filled}))


@pytest.fixture
def runs(
    dataset: Path, tmp_path: Path, make_plan: MakePlan, allowances: Allowances, monkeypatch: pytest.MonkeyPatch
) -> dict[str, RunFolder]:
    """A finished run, one whose plan another version wrote, and one that is not merged."""
    monkeypatch.setenv("OCR_OUTPUT", str(tmp_path / "output"))
    made = {}
    for name in ("done", "foreign", "open"):
        made[name], planned = make_plan(dataset, run_id=name)
        if name != "open":
            read_all(planned, allowances)
            merge_run(made[name])
    plan = made["foreign"].plan
    plan.write_bytes(plan.read_bytes().replace(b'"version": 6', b'"version": 5'))
    return made


def test_finished_runs_are_trimmed_and_no_other(runs: dict[str, RunFolder]) -> None:
    assert trim() == {"trimmed": 1, "kept": 2}
    assert Plan.load(runs["done"]).trimmed_at
    staged = {name: run.batches.file("batch-00000.csv").exists() for name, run in runs.items() if name != "open"}
    assert staged == {"foreign": True, "done": False}


def test_young_runs_are_kept(runs: dict[str, RunFolder]) -> None:
    assert trim(older_than_days=1) == {"trimmed": 0, "kept": 3}
    assert not Plan.load(runs["done"]).trimmed_at


def test_only_an_allowed_output_is_trimmed(runs: dict[str, RunFolder], tmp_path: Path) -> None:
    with pytest.raises(TaskFailedForGood, match="not allowed"):
        trim(output=str(tmp_path.parent))


def test_airflow_loads_the_dag(tmp_path: Path) -> None:
    code = (
        "import sys; from airflow.models import DagBag; bag = DagBag(sys.argv[1], safe_mode=False)\n"
        "assert not bag.import_errors, bag.import_errors\n"
        "bag.dags['ocr_trim'].params.validate(); print(bag.dags['ocr_trim'].task_ids)"
    )
    path = os.pathsep.join(str(ROOT / part) for part in ("", "include", "plugins"))
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "dags/ocr_trim.py")],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['trim']"
