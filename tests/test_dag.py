"""The DAG file as Airflow's parser sees it, with the environment of different deployments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

DESCRIBE = """
import json, runpy, sys
from airflow.sdk.exceptions import ParamValidationError
dag = runpy.run_path(sys.argv[1])["plan"].dag
dag.validate()
try:
    dag.params.validate()
    needs_dataset = False
except ParamValidationError as error:
    needs_dataset = "dataset" in str(error)
read, merge = dag.get_task("read_batch"), dag.get_task("merge")
print(json.dumps({
    "dag_id": dag.dag_id,
    "schedule": dag.schedule if isinstance(dag.schedule, str) else None,
    "needs_dataset": needs_dataset,
    "edges": sorted([task.task_id, later] for task in dag.tasks for later in task.downstream_task_ids),
    "pool": read.partial_kwargs["pool"],
    "queue": read.partial_kwargs["queue"],
    "merge": merge.trigger_rule.value,
    "doc": dag.doc_md,
}))
"""


def describe(home: Path, **environment: str) -> dict[str, object]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "OCR"))}
    path = os.pathsep.join(str(ROOT / part) for part in ("", "include", "plugins"))
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE, str(ROOT / "dags" / "ocr_images.py")],
        env={**inherited, "AIRFLOW_HOME": str(home), "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    described: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return described


def test_the_dag_plans_reads_and_merges(tmp_path: Path) -> None:
    dag = describe(tmp_path)
    assert dag["dag_id"] == "ocr_images"
    assert dag["edges"] == [["plan", "read_batch"], ["read_batch", "merge"]]
    assert (dag["pool"], dag["queue"], dag["merge"]) == ("ocr", "default", "all_done_min_one_success")
    assert (dag["schedule"], dag["needs_dataset"]) == (None, True)


def test_a_deployment_gives_it_a_schedule_a_dataset_and_a_queue(tmp_path: Path) -> None:
    dag = describe(tmp_path, OCR_SCHEDULE="@daily", OCR_DATASET="/data/{{ ds }}.csv", OCR_QUEUE="gpu")
    assert (dag["schedule"], dag["needs_dataset"], dag["queue"]) == ("@daily", False, "gpu")
