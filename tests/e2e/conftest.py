"""A real Airflow for the end-to-end tests, started and stopped by the commands that people use."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from ocr_local.airflow import DAG_ID, connect, find_running
from ocr_local.allow import allow
from ocr_local.api import AirflowApi
from ocr_local.home import CHECKOUT, Home
from ocr_local.supervisor import SERVICES
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.deployment import ALLOW_VARIABLE, split_allowed
from ocr_pipeline.storage.disk import LocalFile, LocalFolder
from ocr_pipeline.storage.folders import Folder, StoredFile

ANOTHER_DAG = """
from airflow.sdk import DAG, get_current_context, task

with DAG("another_project", params={"folder": "/etc"}):

    @task
    def plan():
        context = get_current_context()
        context["ti"].xcom_push(key="run", value=context["params"]["folder"])
        return [1, 2]

    @task
    def read_batch(number):
        return number

    read_batch.expand(number=plan())
"""
"""A DAG of somebody else, whose tasks have the very names of ours."""

_TASK_TITLE = re.compile(r"airflow worker -- ([0-9a-f-]{36})")


def local(home: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start ``python -m ocr_local …`` on ``home``."""
    return subprocess.Popen(
        [sys.executable, "-m", "ocr_local", *arguments],
        env=local_environment(home),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def local_environment(home: Path) -> dict[str, str]:
    """The environment of a local command on ``home``."""
    paths = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "include"), str(CHECKOUT / "plugins")])
    own = {"OCR_LOCAL_HOME": home, "OCR_OUTPUT": home.parent / "output", "OCR_DATASETS": home.parent / "datasets"}
    return os.environ | {name: str(path) for name, path in own.items()} | {"PYTHONPATH": paths, "COLUMNS": "160"}


def processes_of(home: Home) -> list[psutil.Process]:
    """Every process of the Airflow that runs from ``home``, its supervisor first; none when none runs.

    They are found by their parents: Airflow gives some of them a title, which takes the place of their environment.
    """
    running = find_running(home)
    if running is None:
        return []
    supervisor = psutil.Process(running.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def task_process_of(process: psutil.Process) -> str:
    """The number of the task instance that the process runs; empty when it runs none.

    Airflow puts it into the process's title, and there only for as long as the task runs.
    """
    with suppress(psutil.Error):
        if found := _TASK_TITLE.fullmatch(" ".join(process.cmdline()).strip()):
            return found[1]
    return ""


def living(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those of ``processes`` that are still there after at most so many seconds."""
    _, left = psutil.wait_procs(processes, seconds)
    # One that has ended stays in the table until its parent, whoever that is by now, asks.
    return [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> Any:
    """Wait until ``condition`` gives something true, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {condition}")


def path_of(stored: StoredFile | Folder) -> Path:
    """Where a file or folder of a run lies on this machine."""
    assert isinstance(stored, LocalFile | LocalFolder)
    return stored.path


@dataclass(frozen=True)
class LocalAirflow:
    """The running Airflow of the tests."""

    home: Path
    api: AirflowApi
    output: Path
    datasets: Path

    def trigger(self, run_id: str, dataset: Path, **settings: Any) -> RunFolder:
        """Start a run; returns its folder."""
        self.api.trigger(DAG_ID, run_id, {"dataset": str(dataset), **settings})
        return RunFolder(LocalFolder(self.output / run_id))

    def allow(self, *entries: str) -> None:
        """Let runs touch more."""
        allow(Home(self.home), self.api, entries)

    def wait(self, run_id: str, seconds: float = 240) -> str:
        """Wait for a run to end; returns its state."""
        ended = ("success", "failed")
        wait_for(lambda: self.api.run_state(DAG_ID, run_id) in ended, seconds)
        return self.api.run_state(DAG_ID, run_id)

    def task(self, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """One task instance of a run."""
        (found,) = [t for t in self.tasks(run_id) if (t["task_id"], t["map_index"]) == (task_id, map_index)]
        return found

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        return self.api.tasks(DAG_ID, run_id)

    def task_processes(self, run_id: str) -> list[tuple[dict[str, Any], psutil.Process]]:
        """The task instances of a run that are running now, each with its process."""
        instances = {task["id"]: task for task in self.tasks(run_id)}
        found: dict[str, tuple[dict[str, Any], psutil.Process]] = {}
        for process in processes_of(Home(self.home)):
            if (number := task_process_of(process)) in instances:
                found.setdefault(number, (instances[number], process))  # what a task starts may keep its title
        return list(found.values())


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    folder = tmp_path_factory.mktemp("local")
    others = folder / "others"
    others.mkdir()
    (others / "others.py").write_text(ANOTHER_DAG)
    bundle = "airflow.dag_processing.bundles.local.LocalDagBundle"
    bundles = [
        {"name": "dags-folder", "classpath": bundle, "kwargs": {}},
        {"name": "others", "classpath": bundle, "kwargs": {"path": str(others)}},
    ]
    # No retries: tests of a failed batch would wait for them.
    config = f"[core]\ndefault_task_retries = 0\n[dag_processor]\ndag_bundle_config_list = {json.dumps(bundles)}\n"
    with running_airflow(folder, config) as running:
        yield running


@contextmanager
def running_airflow(folder: Path, config: str) -> Iterator[LocalAirflow]:
    """An Airflow in ``folder`` with ``config`` as its airflow.cfg, ended with the block."""
    home = folder / "airflow"
    home.mkdir()
    (home / "airflow.cfg").write_text(config)
    datasets = home.parent / "datasets"
    datasets.mkdir()
    up = local(home, "up", "--allow", "192.0.2.1,192.0.2.2")
    printed, _ = up.communicate(timeout=300)
    assert up.returncode == 0, printed
    running = find_running(Home(home))
    assert running is not None
    assert running.url in printed
    assert Home(home).secrets().password in printed
    api = connect(Home(home), running)
    assert split_allowed(api.variable(ALLOW_VARIABLE)) == ["192.0.2.1", "192.0.2.2"]
    yield LocalAirflow(home, api, home.parent / "output", datasets)
    processes = processes_of(Home(home))
    assert len(processes) > len(SERVICES)
    down = local(home, "down")
    down.communicate(timeout=120)
    assert down.returncode == 0
    assert living(processes, 30) == []
