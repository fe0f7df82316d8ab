"""The cost of everything that is not reading: ``make bench-scale [IMAGES=1000000]``.

A run goes through a real Airflow (scheduler, mapped tasks in processes of their own, merge) with the settings that a
run has by default and an engine that has nothing to do. Its images are PNGs of one pixel, no two alike, from a server
on loopback, so every one is requested, hashed, decoded, handed to and fro, checkpointed, staged and merged. Not in
it: what larger images cost to transfer and to decode.

Printed are the time from trigger to success, in which the server takes its share of the processors, and the
processor time of Airflow with all its tasks, without the server's.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.overhead.server import pixel_server
from benchmarks.processor import processor_seconds
from ocr_local.airflow import airflow_for, connect
from ocr_local.api import AirflowApi
from ocr_local.home import CHECKOUT, Home
from ocr_pipeline.settings.deployment import ALLOW_VARIABLE

DAG_ID = "ocr_overhead"
_RUN_ID = "overhead"
_ENDED = ("success", "failed")
_DAG_SECONDS = 60
_POLL_SECONDS = 2.0

_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
_CONFIG = """\
[core]
default_task_retries = 0
[dag_processor]
dag_bundle_config_list = {bundles}
"""


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory(prefix="bench-overhead-") as name, pixel_server() as (port, server):
        folder = Path(name)
        dataset = folder / "links.csv"
        with dataset.open("w") as file:
            file.write("image_url\n")
            file.writelines(f"http://127.0.0.1:{port}/{number}.png\n" for number in range(images))
        home = Home(folder / "airflow")
        _configure(home)
        with airflow_for(home, print) as running:
            api = connect(home, running)
            _wait_for_dag(api)
            api.set_variable(ALLOW_VARIABLE, f"{folder},127.0.0.1:{port}")
            supervisor = psutil.Process(running.pid)
            before, served_before = processor_seconds(supervisor), processor_seconds(server)
            started = time.perf_counter()
            api.trigger(DAG_ID, _RUN_ID, {"dataset": str(dataset), "output": str(folder / "out")})
            while (state := api.run_state(DAG_ID, _RUN_ID)) not in _ENDED:
                time.sleep(_POLL_SECONDS)  # seldom, as the answers are in what is measured
            seconds = time.perf_counter() - started
            spent = processor_seconds(supervisor) - before
            served = processor_seconds(server) - served_before
            tasks = api.tasks(DAG_ID, _RUN_ID)
        summary = json.loads((folder / "out" / _RUN_ID / "summary.json").read_bytes())
    if state != "success" or summary["statuses"] != {"ok": images}:
        print(f"the run ended as {state}, with {summary['statuses']}", file=sys.stderr)
        return 1
    print(f"{images:,} images in {summary['batches']} batches, on {psutil.cpu_count()} processors")
    for task in ("plan", "read_batch", "merge"):
        took = sum(_duration(item) for item in tasks if item["task_id"] == task)
        print(f"  {task:10} {took:8.1f} s in tasks   {1000 * took / images:7.3f} ms an image")
    print(f"  from trigger to success {seconds:.1f} s: {1000 * seconds / images:.3f} ms an image")
    print(f"  processor time {spent:.1f} s: {1000 * spent / images:.3f} ms an image")
    print(f"  (the server's own, not in that: {served:.1f} s, {1000 * served / images:.3f} ms an image)")
    return 0


def _configure(home: Home) -> None:
    """Let the local Airflow find the benchmark's DAG beside the project's own."""
    folders = {"dags-folder": None, "overhead": str(CHECKOUT / "benchmarks" / "overhead" / "dags")}
    bundles = [
        {"name": name, "classpath": _BUNDLE, "kwargs": {"path": path} if path else {}} for name, path in folders.items()
    ]
    (home.path / "airflow.cfg").write_text(_CONFIG.format(bundles=json.dumps(bundles)))


def _wait_for_dag(api: AirflowApi) -> None:
    deadline = time.monotonic() + _DAG_SECONDS
    while not api.has_dag(DAG_ID):
        if time.monotonic() > deadline:
            raise RuntimeError(f"Airflow has not found {DAG_ID}: {api.import_errors()}")
        time.sleep(0.5)


def _duration(task: dict[str, Any]) -> float:
    """Seconds that a task instance took."""
    return (datetime.fromisoformat(task["end_date"]) - datetime.fromisoformat(task["start_date"])).total_seconds()


if __name__ == "__main__":
    sys.exit(main())
