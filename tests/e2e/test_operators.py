"""What the tasks of a run rely on Airflow for: which of them run, and what reaches them as it was."""

from __future__ import annotations

import json
from pathlib import Path

from ocr_local.airflow import DAG_ID
from tests.e2e.conftest import LocalAirflow
from tests.e2e.servers import FileServer
from tests.e2e.test_runs import draw_word, results

BATCHES = (("read_batch", 0), ("read_batch", 1))


def states(airflow: LocalAirflow, run_id: str) -> dict[tuple[str, int], str]:
    return {(task["task_id"], task["map_index"]): task["state"] for task in airflow.tasks(run_id)}


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

    with server:
        airflow.api.clear(DAG_ID, "unread", "read_batch", 0, 1)
        assert airflow.wait("unread") == "success"
    assert [row["ocr_status"] for row in results(airflow.output / "unread" / "results.csv")] == ["ok"] * 24


def test_braces_in_the_name_of_an_output_folder_are_no_template(airflow: LocalAirflow, tmp_path: Path) -> None:
    draw_word(tmp_path / "ONE.png", "ONE")
    (tmp_path / "d.csv").write_text("image\nONE.png\n")
    airflow.allow(str(tmp_path))
    output = tmp_path / "{{ 7 * 7 }}"
    airflow.trigger("braces", tmp_path / "d.csv", output=str(output))
    assert airflow.wait("braces") == "success"
    assert [row["ocr_status"] for row in results(output / "braces" / "results.csv")] == ["ok"]
    assert airflow.task("braces", "read_batch", 0)["rendered_map_index"] == "batch 0 (rows 1 to 1)"
