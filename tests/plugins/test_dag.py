"""The DAG files as Airflow's parser sees it, with the environment of different deployments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocr_local.home import READ_SLOTS, Home

ROOT = Path(__file__).parents[2]

DESCRIBE = """
import json, sys
from airflow.models import DagBag
from airflow.sdk.exceptions import ParamValidationError

bag = DagBag(sys.argv[1], safe_mode=False)
if wrong := [*bag.import_errors.values(), *map(str, bag.captured_warnings.values())]:
    sys.exit("".join(wrong))
described = {}
for dag in bag.dags.values():
    try:
        dag.params.validate()
        needs_dataset = False
    except ParamValidationError as error:
        needs_dataset = "dataset" in str(error)
    read, merge = dag.get_task("read_batch"), dag.get_task("merge")
    described[dag.dag_id] = {
        "schedule": getattr(dag.schedule, "expression", None) or [asset.name for asset in dag.schedule or ()],
        "runs_at_once": dag.max_active_runs,
        "needs_dataset": needs_dataset,
        "edges": sorted([task.task_id, later] for task in dag.tasks for later in task.downstream_task_ids),
        "pool": read.partial_kwargs["pool"],
        "queue": read.partial_kwargs["queue"],
        "at_once": read.max_active_tis_per_dagrun,
        "merge": merge.trigger_rule.value,
        "backoff": [task.retry_exponential_backoff for task in (dag.get_task("plan"), read, merge)],
        "longest": [task.max_retry_delay.total_seconds() for task in (dag.get_task("plan"), read, merge)],
    }
print(json.dumps(described))
"""


def describe(home: Path, file: str, **environment: str) -> dict[str, dict[str, object]]:
    """The DAGs that a file of ``dags/`` makes, without an import error or a warning."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "OCR"))}
    path = os.pathsep.join(str(ROOT / part) for part in ("", "include", "plugins"))
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE, str(ROOT / "dags" / file)],
        env={**inherited, "AIRFLOW_HOME": str(home), "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    described: dict[str, dict[str, object]] = json.loads(done.stdout.splitlines()[-1])
    return described


def test_the_dag_plans_reads_and_merges(tmp_path: Path) -> None:
    dags = describe(tmp_path, "ocr_images.py")
    assert list(dags) == ["ocr_images"]
    dag = dags["ocr_images"]
    assert dag["edges"] == [["plan", "merge"], ["plan", "read_batch"], ["read_batch", "merge"]]
    assert (dag["pool"], dag["queue"], dag["merge"]) == ("ocr", "default", "all_done_min_one_success")
    assert (dag["schedule"], dag["needs_dataset"]) == ([], True)


def test_each_retry_of_every_task_waits_longer_up_to_an_hour(tmp_path: Path) -> None:
    dag = describe(tmp_path, "ocr_images.py")["ocr_images"]
    assert (dag["backoff"], dag["longest"]) == ([2.0] * 3, [3600.0] * 3)


def test_a_deployment_names_the_queue_of_the_batches(tmp_path: Path) -> None:
    assert describe(tmp_path, "ocr_images.py", OCR_QUEUE="gpu")["ocr_images"]["queue"] == "gpu"


def test_a_deployment_says_how_many_batches_of_a_run_are_read_at_once(tmp_path: Path) -> None:
    assert describe(tmp_path, "ocr_images.py", OCR_SLOTS="3")["ocr_images"]["at_once"] == 3
    assert describe(tmp_path, "ocr_images.py")["ocr_images"]["at_once"] is None
    local = Home(tmp_path / "home").environment(8080)["OCR_SLOTS"]
    assert describe(tmp_path, "ocr_images.py", OCR_SLOTS=local)["ocr_images"]["at_once"] == READ_SLOTS


def test_every_dataset_file_gets_a_dag_and_wrong_ones_only_an_error(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("source: /data/{{ ds }}.csv\nschedule: '@daily'\nstart_date: 2026-01-01\n")
    (tmp_path / "next.yaml").write_text("source: a\nschedule: [{asset: good.results}, {asset: x}]\nonly_new: true\n")
    (tmp_path / "bad.yaml").write_text("source: a\nretries: many\n")
    dags = describe(tmp_path, "ocr_datasets.py", OCR_DATASETS=str(tmp_path))
    assert sorted(dags) == ["good", "next"]
    assert (dags["good"]["schedule"], dags["good"]["needs_dataset"]) == ("0 0 * * *", False)
    assert (dags["next"]["schedule"], dags["next"]["needs_dataset"]) == (["good.results", "x"], False)
    assert [dags[name]["runs_at_once"] for name in ("good", "next")] == [16, 1]
    with pytest.raises(AssertionError, match=rf"{tmp_path}/bad\.yaml:2: retries: 'many' is not allowed"):
        describe(tmp_path, "refused_datasets.py", OCR_DATASETS=str(tmp_path))
    (tmp_path / "bad.yaml").unlink()
    assert describe(tmp_path, "refused_datasets.py", OCR_DATASETS=str(tmp_path)) == {}
