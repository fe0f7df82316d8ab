"""What the tasks of a run rely on Airflow for: which of them run, and what reaches them as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ocr_local.airflow import DAG_ID
from tests.e2e.conftest import LocalAirflow
from tests.e2e.servers import FileServer
from tests.e2e.test_retry import retry
from tests.e2e.test_runs import draw_word, results

BATCHES = (("read_batch", 0), ("read_batch", 1))


def states(airflow: LocalAirflow, run_id: str) -> dict[tuple[str, int], str]:
    return {(task["task_id"], task["map_index"]): task["state"] for task in airflow.tasks(run_id)}


def stack_traces(airflow: LocalAirflow, run_id: str, task_id: str, map_index: int = -1) -> list[str]:
    """The exceptions that a task's log shows with where they came from."""
    task = airflow.task(run_id, task_id, map_index)
    path = f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{task['try_number']}?map_index={map_index}"
    return [
        str(line["error_detail"]) for line in airflow.api.request("GET", path)["content"] if line.get("error_detail")
    ]


def task_store(airflow: LocalAirflow, run_id: str, task_id: str, map_index: int) -> dict[str, Any]:
    """What a task stores for people to see."""
    path = f"dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{task_id}/state-store?map_index={map_index}"
    return {entry["key"]: entry["value"] for entry in airflow.api.request("GET", path)["task_state_store"]}


def asset_events(airflow: LocalAirflow, run_id: str) -> int:
    """How often other DAGs were told that the results of a run are there."""
    found: int = airflow.api.request("GET", f"assets/events?source_run_id={run_id}")["total_entries"]
    return found


def test_where_no_batch_was_read_every_row_says_so_and_the_run_fails(airflow: LocalAirflow, tmp_path: Path) -> None:
    draw_word(tmp_path / "ONE.png", "ONE")
    server = FileServer(tmp_path)
    dataset = tmp_path / "d.csv"
    dataset.write_text("image\n" + "".join(f"{server.url}/ONE.png?{n}\n" for n in range(24)))
    airflow.allow(str(tmp_path), server.address)
    none_read = {("plan", -1): "success", **dict.fromkeys(BATCHES, "failed"), ("merge", -1): "failed"}

    run = airflow.trigger("unread", dataset, batch_size=12, attempts=1)
    assert airflow.wait("unread") == "failed"
    assert states(airflow, "unread") == none_read
    rows = results(airflow.output / "unread" / "results.csv")
    assert [row["ocr_status"] for row in rows] == ["fetch_failed"] * 24
    assert json.loads(run.summary.read_bytes())["complete"] is False
    assert airflow.task("unread", "read_batch", 0)["rendered_map_index"] == "rows 1–12 · 0 read, 12 failed"
    said = airflow.api.task_error(DAG_ID, "unread", airflow.task("unread", "read_batch", 0)) or ""
    assert "12 of 12 images failed for transient reasons (100 %)" in said
    assert f"most of all 12 of 12 at {server.address}: 12 connect_failed, such as " in said
    assert stack_traces(airflow, "unread", "read_batch", 0) == stack_traces(airflow, "unread", "merge") == []

    with server:
        airflow.api.clear(DAG_ID, "unread", "read_batch", 0, 1)
        assert airflow.wait("unread") == "success"
    assert [row["ocr_status"] for row in results(airflow.output / "unread" / "results.csv")] == ["ok"] * 24


def test_a_run_that_read_next_to_nothing_is_no_success_whatever_its_size(airflow: LocalAirflow, tmp_path: Path) -> None:
    draw_word(tmp_path / "ONE.png", "ONE")
    server = FileServer(tmp_path)
    dataset = tmp_path / "d.csv"
    dataset.write_text("image\nONE.png\n" + "".join(f"{server.url}/ONE.png?{n}\n" for n in range(7)))
    airflow.allow(str(tmp_path), server.address)
    run = airflow.trigger("small", dataset, batch_size=4, attempts=1)
    assert airflow.wait("small") == "failed"
    assert states(airflow, "small") == {
        ("plan", -1): "success",
        **dict.fromkeys(BATCHES, "success"),
        ("merge", -1): "failed",
    }
    names = [airflow.task("small", *batch)["rendered_map_index"] for batch in BATCHES]
    assert names == ["rows 1–4 · 1 read, 3 failed", "rows 5–8 · 0 read, 4 failed"]
    said = airflow.api.task_error(DAG_ID, "small", airflow.task("small", "merge")) or ""
    assert "7 of 8 images failed (87.5 %), more than max_failures (0.5) allows: 7 connect_fai" in said
    assert "What to do: " in said
    assert stack_traces(airflow, "small", "merge") == []
    assert "7 connect_failed, such as " in "\n".join(
        airflow.api.task_log(DAG_ID, "small", airflow.task("small", "merge"))
    )
    assert json.loads(run.summary.read_bytes())["succeeded"] is False
    assert asset_events(airflow, "small") == 0
    progress = task_store(airflow, "small", "read_batch", 1)["progress"]
    assert (progress["done"], progress["failed"], progress["total"], progress["staged"]) == (4, 4, 4, True)
    assert list(progress["slowest_hosts"]) == [server.address]
    code, printed = retry(airflow, "small")
    assert code == 1
    assert "7 of 8 images failed (87.5 %)" in " ".join(printed.split())

    with server:
        airflow.api.clear(DAG_ID, "small", "read_batch", 0, 1)
        assert airflow.wait("small") == "success"
    assert [row["ocr_status"] for row in results(airflow.output / "small" / "results.csv")] == ["ok"] * 8
    assert asset_events(airflow, "small") == 1


def test_braces_in_the_name_of_an_output_folder_are_no_template(airflow: LocalAirflow, tmp_path: Path) -> None:
    draw_word(tmp_path / "ONE.png", "ONE")
    (tmp_path / "d.csv").write_text("image\nONE.png\n")
    airflow.allow(str(tmp_path))
    output = tmp_path / "{{ 7 * 7 }}"
    airflow.trigger("braces", tmp_path / "d.csv", output=str(output))
    assert airflow.wait("braces") == "success"
    assert [row["ocr_status"] for row in results(output / "braces" / "results.csv")] == ["ok"]
    assert airflow.task("braces", "read_batch", 0)["rendered_map_index"] == "row 1 · 1 read"
