"""Scheduled datasets on a real Airflow: from a YAML file to the results of two days."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from tests.e2e.conftest import LocalAirflow, wait_for
from tests.e2e.test_runs import draw_word
from tests.plugins.notifier import FileNotifier

DAG = "drops"


def notify(file: Path, occasion: str) -> str:
    """Lines of a dataset's file that have the names of runs written to ``file``."""
    arguments = f"{{file: {file}, text: '{{{{ run_id }}}}'}}"
    return (
        f"notify: [{{notifier: {FileNotifier.__module__}.FileNotifier, arguments: {arguments}, when: [{occasion}]}}]\n"
    )


def statuses(airflow: LocalAirflow, run_id: str) -> dict[str, str]:
    """Link and status of every row of a run's results."""
    (found,) = [path for path in (airflow.output / DAG).glob("*/results.csv") if run_id in path.parent.name]
    with found.open(newline="", encoding="utf-8") as file:
        return {row["image"]: row["ocr_status"] for row in csv.DictReader(file)}


def test_a_dataset_file_becomes_a_dag_that_reads_each_day_what_is_new(airflow: LocalAirflow, tmp_path: Path) -> None:
    for word in ("ONE", "TWO", "THREE"):
        draw_word(tmp_path / f"{word}.png", word)
    (tmp_path / "2026-01-01.csv").write_text("image\nONE.png\nTWO.png\n")
    (tmp_path / "2026-01-02.csv").write_text("image\nTWO.png\nTHREE.png\n")
    airflow.allow(str(tmp_path))
    (airflow.datasets / "broken.yaml").write_text("source: a\nretries: many\n")
    (airflow.datasets / f"{DAG}.yaml").write_text(
        f"source: {tmp_path}/{{{{ day }}}}.csv\nschedule: '@daily'\nstart_date: 2026-01-01\nonly_new: true\n"
        "wait: {timeout: 1s, every: 10s, otherwise: skip}\n" + notify(tmp_path / "missing", "missing")
    )
    wait_for(lambda: airflow.api.has_dag(DAG))
    (error,) = wait_for(airflow.api.import_errors)
    assert "refused_datasets.py" in error
    assert f"{airflow.datasets}/broken.yaml:2: retries: 'many' is not allowed" in error

    ended = {}
    for day in (1, 2, 3):
        run_id = f"day-{day}"
        # By hand, in the morning after: the data is that of the last whole day.
        body = {"dag_run_id": run_id, "logical_date": f"2026-01-0{day + 1}T08:00:00Z"}
        airflow.api.request("POST", f"dags/{DAG}/dagRuns", body)
        wait_for(lambda: airflow.api.run_state(DAG, run_id) in ("success", "failed"), 240)  # noqa: B023 (called here)
        ended[day] = airflow.api.run_state(DAG, run_id)
    assert ended == {1: "success", 2: "success", 3: "success"}
    assert statuses(airflow, "day-1") == {"ONE.png": "ok", "TWO.png": "ok"}
    assert statuses(airflow, "day-2") == {"TWO.png": "known", "THREE.png": "ok"}
    states = {task["task_id"]: task["state"] for task in airflow.api.tasks(DAG, "day-3")}
    assert states == dict.fromkeys(("wait", "plan", "read_batch", "merge"), "skipped")

    entries = f"dags/{DAG}/dagRuns/{{}}/taskInstances/{{}}/xcomEntries/{{}}"
    missing = airflow.api.request("GET", entries.format("day-3", "wait", "missing"))["value"]
    assert missing == f"waited 0:00:01 for {tmp_path}/2026-01-03.csv, and it is not there"
    told = (tmp_path / "missing").read_text().splitlines()
    assert told.count("day-3") == 1  # besides it, the scheduler starts a run of its own, whose day has not come either
    assert not {"day-1", "day-2"} & set(told)
    assert (
        airflow.api.request("GET", entries.format("day-2", "plan", "dataset"))["value"] == f"{tmp_path}/2026-01-02.csv"
    )

    events = airflow.api.request("GET", "assets/events")["asset_events"]
    folders = [event["extra"]["run"] for event in events if event["source_dag_id"] == DAG]
    assert [Path(folder).name for folder in sorted(folders)] == ["2026-01-01_day-1", "2026-01-02_day-2"]


def test_a_dataset_is_read_after_an_asset(airflow: LocalAirflow, tmp_path: Path) -> None:
    draw_word(tmp_path / "ONE.png", "ONE")
    (tmp_path / "d.csv").write_text(f"image\n{tmp_path}/ONE.png\n")
    airflow.allow(str(tmp_path))
    (airflow.datasets / "first.yaml").write_text(f"source: {tmp_path}/d.csv\n")
    (airflow.datasets / "second.yaml").write_text(
        "source: '{{ (triggering_asset_events.values() | first | last).extra.run }}/results.csv'\n"
        "schedule: {asset: first.results}\nsettings: {image_column: image}\n"
    )
    (airflow.datasets / "dated.yaml").write_text(
        "source: /data/{{ day }}.csv\nschedule: {asset: first.results}\n" + notify(tmp_path / "failed", "failure")
    )
    wait_for(lambda: all(airflow.api.has_dag(dag) for dag in ("first", "second", "dated")))

    airflow.api.trigger("first", "one", {})
    ended = {}
    for dag in ("second", "dated"):
        (run,) = wait_for(lambda: ended_runs(airflow, dag), 240)  # noqa: B023 (called here)
        ended[dag] = run
    assert {dag: run["state"] for dag, run in ended.items()} == {"second": "success", "dated": "failed"}
    (found,) = (airflow.output / "second").glob("*/results.csv")
    with found.open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["image"], row["ocr_status"], row["dataset_ocr_text"]) == (f"{tmp_path}/ONE.png", "ok", row["ocr_text"])

    run_id = ended["dated"]["dag_run_id"]
    (plan,) = [task for task in airflow.api.tasks("dated", run_id) if task["task_id"] == "plan"]
    wait_for((tmp_path / "failed").exists)  # the callback of a run comes after its end
    assert (tmp_path / "failed").read_text() == f"{run_id}\n"
    assert "this run has no logical date" in "\n".join(airflow.api.task_log("dated", run_id, plan))


def ended_runs(airflow: LocalAirflow, dag: str) -> list[dict[str, Any]]:
    runs = airflow.api.request("GET", f"dags/{dag}/dagRuns")["dag_runs"]
    return [run for run in runs if run["state"] in ("success", "failed")]
