"""What a fleet costs beside reading, and what it does when a worker goes: ``make bench-fleet [BATCHES=1000]``.

On a PostgreSQL and a Redis of its own, with the settings of ``docker-compose.yaml``:

- So many batches of one image of one pixel go through scheduler, API server and two workers, with a reader that has
  nothing to do. Printed is the processor time of each server a batch, and what the database grew by.
- A task is killed, a worker is killed, and a worker is told to stop, each while it reads. Printed is how long it takes
  until Airflow knows, and until the batch is read again.
- Drawn images are read by one worker and by two, with a thread each.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import psutil
from sqlalchemy import create_engine, text

from benchmarks.fleet.airflow import Fleet, Worker, running_fleet, wait_for
from benchmarks.goals import Goal, check
from benchmarks.memory import draw_mixed
from benchmarks.overhead.server import pixel_server
from benchmarks.processor import processor_seconds
from ocr_local.airflow import DAG_ID
from ocr_local.home import CHECKOUT

NULL_DAG_ID = "ocr_null"
WORKERS = 2
PLACES = 16
"""Batches read at once, by all workers: the scheduler looks at a run once for all that ended since it looked last."""

SERVER_SECONDS_A_BATCH = 1.5
DATABASE_KB_A_BATCH = 10.0
NOTICED_SECONDS = 90.0
TASK_NOTICED_SECONDS = 20.0
STOPPED_SECONDS = 30.0
EFFICIENCY = 0.85

_SECONDS = 6 * 3600.0
_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=1000)
    parser.add_argument("--images", type=int, default=240, help="that one and two workers read")
    parser.add_argument("--parts", default="batches,loss,efficiency", help="which of the three to measure")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    goals: list[Goal] = []
    with _fleet() as fleet:
        if "batches" in parts:
            goals += measure_batches(fleet, arguments.batches)
        if "loss" in parts:
            goals += measure_loss(fleet)
        if "efficiency" in parts:
            goals += measure_efficiency(fleet, arguments.images)
    return check(goals)


def measure_batches(fleet: Fleet, batches: int) -> list[Goal]:
    """Send a run of so many batches through, and print what each server took for one."""
    workers = [fleet.start_worker(f"batches-{n}", PLACES // WORKERS) for n in range(WORKERS)]
    watched = {name: [process] for name, process in fleet.servers.items()}
    watched["workers"] = [worker.process for worker in workers]
    dataset = fleet.folder / "pixels.csv"
    with pixel_server() as (port, _):
        dataset.write_text("image\n" + "".join(f"http://127.0.0.1:{port}/{n}.png\n" for n in range(batches)))
        before, size = _processor_seconds(watched), _database_bytes(fleet)
        started = time.perf_counter()
        _run(fleet, NULL_DAG_ID, "batches", {"dataset": str(dataset), "batch_size": 1})
        seconds = time.perf_counter() - started
        spent = {name: took - before[name] for name, took in _processor_seconds(watched).items()}
    grown = _database_bytes(fleet) - size
    _end(workers)
    print(f"{batches:,} batches in {seconds:,.0f} s, {seconds / batches:.2f} s each, of processor time:")
    for name, took in spent.items():
        print(f"  {name:14} {took:8.1f} s {1000 * took / batches:8.1f} ms a batch")
    print(f"  database       {grown / 1e6:8.1f} MB {grown / batches / 1e3:7.1f} kB a batch", flush=True)
    servers = sum(took for name, took in spent.items() if name != "workers")
    return [
        Goal("processor time of the servers, s a batch", servers / batches, most=SERVER_SECONDS_A_BATCH),
        Goal("growth of the database, kB a batch", grown / batches / 1e3, most=DATABASE_KB_A_BATCH),
    ]


def measure_loss(fleet: Fleet) -> list[Goal]:
    """Take a batch from a worker in three ways, and print how long it takes until it is read again."""
    figures = {}
    for name, act in (("task killed", _kill_task), ("worker killed", Worker.kill), ("worker stopped", Worker.stop)):
        with _silent_server() as address:
            run_id = name.replace(" ", "-")
            dataset = fleet.folder / f"{run_id}.csv"
            dataset.write_text(f"image\nhttp://{address}/never.png\n")
            worker = fleet.start_worker(run_id)
            settings = {"dataset": str(dataset), "total_timeout": 600, "read_timeout": 600}
            fleet.api.trigger(NULL_DAG_ID, run_id, settings)
            _wait_for_batch(fleet, run_id, lambda batch: batch["state"] == "running")
            time.sleep(10)  # it imports, connects, and has its second heartbeat
            started = time.perf_counter()
            act(worker)
            _wait_for_batch(fleet, run_id, lambda batch: batch["state"] != "running")
            noticed = time.perf_counter() - started
            other = fleet.start_worker(f"{run_id}-other")
            tries = _wait_for_batch(fleet, run_id, lambda batch: batch["state"] == "running")["try_number"]
            again = time.perf_counter() - started
            print(
                f"{name:15} noticed after {noticed:5.1f} s, read again after {again:5.1f} s, as try {tries}", flush=True
            )
            figures[name] = noticed
            fleet.api.fail_run(NULL_DAG_ID, run_id)
            _end([worker, other])
    return [
        Goal("a killed task is noticed after, s", figures["task killed"], most=TASK_NOTICED_SECONDS),
        Goal("a killed worker is noticed after, s", figures["worker killed"], most=NOTICED_SECONDS),
        Goal("a stopped worker hands its batch back after, s", figures["worker stopped"], most=STOPPED_SECONDS),
    ]


def measure_efficiency(fleet: Fleet, images: int) -> list[Goal]:
    """Read the same images with one worker and with two, of a thread each."""
    folder = fleet.folder / "images"
    folder.mkdir()
    for seed in range(images):
        cv2.imwrite(str(folder / f"{seed:06}.jpg"), draw_mixed(seed).pixels)
    seconds: dict[int, float] = {}
    for count in (1, 1, 2):  # the first time compiles networks, which a machine does once
        workers = [fleet.start_worker(f"reads-{len(seconds)}-{count}-{n}-{time.time_ns()}") for n in range(count)]
        run_id = f"read-{time.time_ns()}"
        _run(fleet, DAG_ID, run_id, {"dataset": str(folder), "batch_size": -(-images // 4), "threads": 1})
        tasks = [task for task in fleet.api.tasks(DAG_ID, run_id) if task["task_id"] == "read_batch"]
        begun = min(datetime.fromisoformat(task["start_date"]) for task in tasks)
        ended = max(datetime.fromisoformat(task["end_date"]) for task in tasks)
        seconds[count] = (ended - begun).total_seconds()
        spent = sum(processor_seconds(worker.process) for worker in workers)
        print(
            f"{count} workers: {images / seconds[count]:.2f} images/s, {spent / images:.3f} core-seconds an image",
            flush=True,
        )
        _end(workers)
    return [Goal("two workers, share of twice what one reads", seconds[1] / seconds[2] / 2, least=EFFICIENCY)]


@contextmanager
def _fleet() -> Iterator[Fleet]:
    folder = Path(tempfile.mkdtemp(prefix="bench-fleet-"))
    folder.chmod(0o755)  # PostgreSQL has a user of its own
    bundles = [
        {"name": name, "classpath": _BUNDLE, "kwargs": {"path": str(path)}}
        for name, path in (("dags", CHECKOUT / "dags"), ("fleet", CHECKOUT / "benchmarks" / "fleet" / "dags"))
    ]
    settings = {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        "AIRFLOW__CORE__MAX_MAP_LENGTH": "10000",
        "AIRFLOW__CORE__PARALLELISM": "64",
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
        "AIRFLOW_VAR_OCR_ALLOW": f"{folder},127.0.0.0/8",
        "OCR_OUTPUT": str(folder / "output"),
    }
    try:
        with running_fleet(folder, NULL_DAG_ID, settings, slots=PLACES) as fleet:
            wait_for(lambda: fleet.api.has_dag(DAG_ID), _SECONDS)
            yield fleet
    finally:
        shutil.rmtree(folder)


@contextmanager
def _silent_server() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def _run(fleet: Fleet, dag_id: str, run_id: str, settings: dict[str, Any]) -> None:
    fleet.api.trigger(dag_id, run_id, settings)
    while (state := fleet.api.run_state(dag_id, run_id)) not in ("success", "failed"):
        time.sleep(2.0)  # seldom, as the answers are in what is measured
    if state != "success":
        raise RuntimeError(f"the run {run_id} ended as {state}")


def _wait_for_batch(fleet: Fleet, run_id: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The task that reads the only batch of a run, once it is as it should be."""

    def found() -> list[dict[str, Any]]:
        tasks = fleet.api.tasks(NULL_DAG_ID, run_id)
        return [task for task in tasks if task["task_id"] == "read_batch" and condition(task)]

    return wait_for(found, _SECONDS)[0]


def _kill_task(worker: Worker) -> None:
    """Kill the process of the task that a worker runs, and nothing else."""
    tasks = [process for process in worker.process.children(recursive=True) if process.name() == "ocr-batch"]
    tasks[0].kill()


def _end(workers: list[Worker]) -> None:
    for worker in workers:
        if worker.process.is_running():
            worker.kill()


def _processor_seconds(watched: dict[str, list[psutil.Process]]) -> dict[str, float]:
    return {name: sum(map(processor_seconds, processes)) for name, processes in watched.items()}


def _database_bytes(fleet: Fleet) -> int:
    engine = create_engine(fleet.database.url)
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())


if __name__ == "__main__":
    sys.exit(main())
