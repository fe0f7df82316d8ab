"""The local Airflow among others: commands that run at once, a port that another program takes, who listens where."""

from __future__ import annotations

import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import psutil

from ocr_local.home import Home
from ocr_local.ports import HOST
from tests.e2e.conftest import LocalAirflow, living, local, processes_of, task_process_of, wait_for
from tests.e2e.test_runs import draw_word, results


def chosen_port(home: Home) -> int:
    """The port on which an Airflow that is starting wants to listen; 0 when it has chosen none yet."""
    for process in processes_of(home)[1:]:
        with suppress(psutil.Error):
            if "api-server" in process.cmdline():
                return int(process.environ().get("AIRFLOW__API__PORT", 0))
    return 0


def listeners(home: Home) -> set[str]:
    """The addresses on which processes of the Airflow listen."""
    found = set()
    for process in processes_of(home):
        with suppress(psutil.Error):
            found |= {c.laddr.ip for c in process.net_connections() if c.status == psutil.CONN_LISTEN}
    return found


def test_whoever_writes_waits_for_the_one_who_does(airflow: LocalAirflow, tmp_path: Path) -> None:
    dataset = tmp_path / "d.csv"
    dataset.write_text("image\n")
    airflow.allow(str(tmp_path))
    with closing(sqlite3.connect(airflow.home / "airflow.db", isolation_level=None, timeout=20)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as threads:
            triggered = threads.submit(airflow.trigger, "waited", dataset)
            time.sleep(7.0)
            assert not triggered.done()
            other.execute("ROLLBACK")
            triggered.result()
    assert airflow.wait("waited") == "success"


def test_commands_at_once_share_an_airflow_whose_port_is_its_own(tmp_path: Path) -> None:
    home = Home(tmp_path / "airflow, 100%20")
    folder = tmp_path / "[2024], it's"
    folder.mkdir()
    for n in range(3):
        draw_word(folder / f"{n}.png", f"WORD{n}")
    dataset = folder / "d," / "links.csv"
    dataset.parent.mkdir()
    dataset.write_text("image\n" + "".join(f"{folder}/{n}.png\n" for n in range(3)))
    outputs = [tmp_path / f"out, {n}" for n in range(2)]
    allowed = ["--allow", str(folder), "--dataset", str(dataset)]
    commands = [local(home.path, "run", *allowed, "--output", str(output)) for output in outputs]

    taken = wait_for(lambda: chosen_port(home))
    with socket.create_server((HOST, taken)):
        wait_for(lambda: any(task_process_of(process) for process in processes_of(home)), 300)
    assert listeners(home) == {HOST}
    processes = processes_of(home)

    printed = [command.communicate(timeout=300)[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0], printed
    assert f"another program has taken port {taken} meanwhile" in "".join(printed)
    assert "waiting for another command that is starting Airflow" in "".join(printed)
    assert "http://" not in "".join(printed)  # it would lead nowhere by the time that somebody follows it
    for output in outputs:
        (run,) = output.iterdir()
        assert [row["ocr_status"] for row in results(run / "results.csv")] == ["ok"] * 3
    assert living(processes, 30) == []


def test_what_is_kept_outlives_a_run_and_is_all_healthy(airflow: LocalAirflow, tmp_path: Path) -> None:
    draw_word(tmp_path / "a.png", "WORD")
    (tmp_path / "d.csv").write_text("image\na.png\n")
    command = local(airflow.home, "run", "--dataset", str(tmp_path / "d.csv"))
    printed, _ = command.communicate(timeout=300)
    assert command.returncode == 0, printed
    assert f"{airflow.api.url}/dags/ocr_images/runs/run-" in printed
    assert airflow.api.is_up()
    health = airflow.api.request("GET", "monitor/health")
    assert {name: part["status"] for name, part in health.items()} == dict.fromkeys(
        ("metadatabase", "scheduler", "triggerer", "dag_processor"), "healthy"
    )
    assert listeners(Home(airflow.home)) == {HOST}
