"""Runs on a real Airflow: scheduler, mapped tasks, merge, REST API, real models."""

from __future__ import annotations

import csv
import re
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocr_demo import word_f1, write_dataset
from ocr_local.airflow import DAG_ID
from ocr_local.api import ApiError
from ocr_local.home import CHECKOUT, Home
from ocr_pipeline.settings.deployment import ALLOW_VARIABLE
from tests.e2e.conftest import LocalAirflow, living, local, path_of, processes_of, task_process_of, wait_for
from tests.e2e.servers import FileServer


def results(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def draw_word(path: Path, word: str) -> None:
    image = np.full((80, 60 + 40 * len(word), 3), 255, np.uint8)
    cv2.putText(image, word, (20, 55), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.imwrite(str(path), image)


def test_the_demo_runs_from_the_shell_and_says_what_it_did(airflow: LocalAirflow, tmp_path: Path) -> None:
    allowed = airflow.api.variable(ALLOW_VARIABLE)
    command = local(airflow.home, "run", "--limit", "48", "--batch-size", "16")
    printed, _ = command.communicate(timeout=400)
    assert command.returncode == 0, printed
    (run,) = airflow.output.glob("demo-*")
    rows = results(run / "results.csv")
    write_dataset(CHECKOUT / ".demo", "http://127.0.0.1", tmp_path / "dataset.csv")
    dataset = results(tmp_path / "dataset.csv")[:48]
    assert [row["id"] for row in rows] == [row["id"] for row in dataset]
    for row in rows:
        expected = (row["expected_status"], row["expected_error"])
        assert (row["ocr_status"], row["ocr_error"]) == expected, row
    assert word_f1((row["ocr_text"], row["true_text"]) for row in rows if row["true_text"]) >= 0.97
    assert len(list((run / "batches").glob("*.json"))) == 3
    link = f"{airflow.api.url}/dags/ocr_images/runs/{run.name}"
    for part in ("batches 3/3", "images/s", "Word accuracy", "results.csv", link):
        assert part in printed
    # What the demo's server was allowed for the run is taken back.
    assert re.findall(r"127\.0\.0\.1:\d+", airflow.api.variable(ALLOW_VARIABLE)) == re.findall(
        r"127\.0\.0\.1:\d+", allowed
    )


def test_one_failed_batch_is_cleared_alone(airflow: LocalAirflow, tmp_path: Path) -> None:
    words = [f"WORD{n}" for n in range(36)]
    for word in words:
        draw_word(tmp_path / f"{word}.png", word)
    server = FileServer(tmp_path)
    links = [f"{word}.png" if n < 12 or n >= 24 else f"{server.url}/{word}.png" for n, word in enumerate(words)]
    dataset = tmp_path / "words.csv"
    dataset.write_text("word,image\n" + "".join(f"{w},{link}\n" for w, link in zip(words, links, strict=True)))
    airflow.allow(str(tmp_path), server.address)

    run = airflow.trigger("outage", dataset, batch_size=12, attempts=1)
    assert airflow.wait("outage") == "failed"
    states = {(t["task_id"], t["map_index"]): t["state"] for t in airflow.tasks("outage")}
    assert states == {
        ("plan", -1): "success",
        ("read_batch", 0): "success",
        ("read_batch", 1): "failed",
        ("read_batch", 2): "success",
        ("merge", -1): "failed",
    }
    said = airflow.api.task_error(DAG_ID, "outage", airflow.task("outage", "read_batch", 1)) or ""
    assert said.startswith("12 of 12 images failed for transient reasons")
    assert "batch 1 (rows 13 to 24) is not finished" in "\n".join(
        airflow.api.task_log(DAG_ID, "outage", airflow.task("outage", "merge"))
    )
    rows = results(path_of(run.results_csv))
    assert [row["word"] for row in rows] == words
    assert [row["ocr_error"] for row in rows] == [""] * 12 + ["connect_failed"] * 12 + [""] * 12
    assert b'"complete": false' in run.summary.read_bytes()
    assert airflow.task("outage", "read_batch", 2)["rendered_map_index"] == "rows 25–36 · 12 read"

    untouched = [path_of(run.staged(index)).stat().st_mtime_ns for index in (0, 2)]
    with server:
        cleared = airflow.api.clear(DAG_ID, "outage", "read_batch", 1)
        assert {(t["task_id"], t["map_index"]) for t in cleared} == {("read_batch", 1), ("merge", -1)}
        assert airflow.wait("outage") == "success"
    assert [path_of(run.staged(index)).stat().st_mtime_ns for index in (0, 2)] == untouched
    tries = {(t["task_id"], t["map_index"]): t["try_number"] for t in airflow.tasks("outage")}
    assert tries == {
        ("plan", -1): 1,
        ("read_batch", 0): 1,
        ("read_batch", 1): 2,
        ("read_batch", 2): 1,
        ("merge", -1): 2,
    }
    rows = results(path_of(run.results_csv))
    assert [row["word"] for row in rows] == words
    assert word_f1((row["ocr_text"], row["word"]) for row in rows) >= 0.9
    assert b'"complete": true' in run.summary.read_bytes()


def test_a_killed_task_stops_promptly_and_a_retry_goes_on(airflow: LocalAirflow, tmp_path: Path) -> None:
    for n in range(6):
        draw_word(tmp_path / f"{n}.png", f"NUMBER{n}")
    server = FileServer(tmp_path, hanging="slow")
    dataset = tmp_path / "d.csv"
    dataset.write_text("image\n" + "".join(f"{n}.png\n" for n in range(5)) + f"{server.url}/slow/5.png\n")
    airflow.allow(str(tmp_path), server.address)
    with server:
        run = airflow.trigger("killed", dataset, read_timeout=300, total_timeout=300)
        wait_for(lambda: list(path_of(run.checkpoints(0)).glob("part-*.csv")))
        ((task, process),) = [found for found in airflow.task_processes("killed") if found[0]["task_id"] != "plan"]
        assert task["task_id"] == "read_batch"
        processes = [process, *process.children(recursive=True)]
        airflow.api.request(
            "PATCH", f"dags/{DAG_ID}/dagRuns/killed/taskInstances/read_batch/0", {"new_state": "failed"}
        )
        started = time.monotonic()
        wait_for(lambda: "was stopped" in _log(airflow, "killed"), 60)
        assert living(processes, 30) == []
        assert time.monotonic() - started < 60
        assert airflow.wait("killed") == "failed"
        assert len(list(path_of(run.checkpoints(0)).glob("part-*.csv"))) >= 1
        server.release()
        airflow.api.clear(DAG_ID, "killed", "read_batch", 0)
        assert airflow.wait("killed") == "success"
    assert b'"resumed": 5' in run.marker(0).read_bytes()
    assert [row["ocr_status"] for row in results(path_of(run.results_csv))] == ["ok"] * 6


def test_wrong_params_are_refused_with_what_is_allowed(airflow: LocalAirflow, tmp_path: Path) -> None:
    dataset = tmp_path / "d.csv"
    for settings, said in (
        ({"batch_size": 0}, "minimum of 1"),
        ({"engine": "tesseract"}, "'openvino'"),
        ({"resize": "crop"}, "'stretch'"),
    ):
        with pytest.raises(ApiError) as refused:
            airflow.trigger("wrong", dataset, **settings)
        assert said in str(refused.value)


def test_a_dataset_outside_the_allowed_folders_is_refused(airflow: LocalAirflow, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("image\n")
    airflow.trigger("outside", tmp_path / "secret.csv")
    assert airflow.wait("outside") == "failed"
    log = "\n".join(airflow.api.task_log(DAG_ID, "outside", airflow.task("outside", "plan")))
    assert f"ALLOW={tmp_path}" in log


def test_killing_the_command_leaves_no_process(tmp_path: Path) -> None:
    home = Home(tmp_path / "airflow")
    command = local(home.path, "run", "--limit", "5")
    wait_for(lambda: any(task_process_of(process) for process in processes_of(home)), 300)
    processes = processes_of(home)
    command.kill()
    command.communicate()
    assert living(processes, 60) == []


def _log(airflow: LocalAirflow, run_id: str) -> str:
    return "\n".join(airflow.api.task_log(DAG_ID, run_id, airflow.task(run_id, "read_batch", 0)))


def test_what_is_wrong_with_a_request_is_said_before_airflow_starts(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("price\n1\n")
    home = tmp_path / "airflow"
    for arguments, said in (
        (["--dataset", str(tmp_path / "none.csv")], "there is no such file"),
        (["--dataset", str(tmp_path / "d.csv")], "The columns are price"),
        (["--batch-size", "0"], "batch_size: 0 is not allowed"),
        (["--allow", "nowhere/at/all"], "is none of these: an absolute folder"),
    ):
        command = local(home, "run", *arguments)
        printed, _ = command.communicate(timeout=60)
        assert command.returncode == 1
        assert said in printed.replace("\n", " ")
    assert not (home / "services").exists()
