"""A run on a fleet: PostgreSQL, Redis, Celery workers that are processes of their own, and results in a bucket."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fleet.airflow import Fleet, Worker, running_fleet, wait_for
from benchmarks.fleet.servers import missing_servers
from ocr_local.airflow import DAG_ID
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.deployment import Allowances, Connection
from tests.conftest import make_bucket
from tests.e2e.chaos import OWN_COLUMNS, differences
from tests.e2e.conftest import task_process_of
from tests.e2e.test_runs import draw_word

IMAGES = 32
BATCH_SIZE = 8
OPEN = 4
"""Of each batch, how many images are answered while the server's gate is closed. One of them is not there."""

SECONDS = 240.0


class GatedServer:
    """Serves images. While its gate is closed, only the first of each batch are answered, the others wait.

    :ivar asked: how often each was asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.asked: Counter[int] = Counter()
        self.gate = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                number = int(Path(self.path).stem)
                server.asked[number] += 1
                if number % BATCH_SIZE >= OPEN:
                    server.gate.wait(SECONDS)
                with suppress(ConnectionError):
                    if number % BATCH_SIZE == 1:
                        self.send_error(404)
                        return
                    body = (folder / f"{number}.png").read_bytes()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> GatedServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


class Runs:
    """Runs of one dataset on the fleet."""

    def __init__(self, fleet: Fleet, dataset: Path, output: str, allowances: Allowances) -> None:
        self._fleet = fleet
        self._dataset = dataset
        self._output = output
        self._allowances = allowances

    def start(self, run_id: str) -> None:
        """Start a run in which no image waits for another."""
        settings = {"batch_size": BATCH_SIZE, "per_host": 2 * BATCH_SIZE, "threads": 1, "total_timeout": SECONDS}
        self._fleet.api.trigger(DAG_ID, run_id, {"dataset": str(self._dataset), **settings})

    def ended(self, run_id: str) -> str:
        """The state in which a run ends."""
        wait_for(lambda: self._fleet.api.run_state(DAG_ID, run_id) in ("success", "failed"), SECONDS)
        return self._fleet.api.run_state(DAG_ID, run_id)

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """The tasks that read the batches of a run."""
        return [task for task in self._fleet.api.tasks(DAG_ID, run_id) if task["task_id"] == "read_batch"]

    def rows(self, run_id: str) -> list[dict[str, str]]:
        """The results of a run without what may differ between two."""
        run = RunFolder.of(self._output, run_id, self._allowances)
        with run.results_csv.reading() as path, path.open(newline="", encoding="utf-8") as file:
            return [{name: row[name] for name in row if name not in OWN_COLUMNS} for row in csv.DictReader(file)]

    def read_on(self, run_id: str, worker: Worker) -> int:
        """Wait until ``worker`` has checkpointed all that the closed gate lets through; gives its batch."""

        run = RunFolder.of(self._output, run_id, self._allowances)

        def batch() -> list[int]:
            running = {task_process_of(process) for process in worker.process.children(recursive=True)}
            found = [task["map_index"] for task in self.tasks(run_id) if task["id"] in running]
            return [index for index in found if _done(run, index) == OPEN]

        return wait_for(batch, SECONDS)[0]


def _done(run: RunFolder, batch: int) -> int:
    with suppress(FileNotFoundError):
        done: int = json.loads(run.progress(batch).read_bytes())["done"]
        return done
    return 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user can enter, as it cannot enter those of pytest.

    Where the servers are not installed the test is skipped; in continuous integration (``CI``) it fails.
    """
    if missing := missing_servers():
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    path = Path(tempfile.mkdtemp(prefix="ocr-fleet-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_a_killed_and_a_stopped_worker_change_no_row(folder: Path, s3_endpoint: str, tmp_path: Path) -> None:
    bucket = make_bucket(s3_endpoint)
    extra = {"endpoint_url": s3_endpoint, "region_name": "us-east-1"}
    store = Connection("store", "aws", login="key", password="secret", extra=extra)
    output = f"s3://store@{bucket}/out"
    for number in range(IMAGES):
        draw_word(folder / f"{number}.png", f"FLEET{number}")
    with GatedServer(folder) as server:
        dataset = folder / "links.csv"
        links = "".join(f"{n},http://{server.address}/{n}.png\n" for n in range(IMAGES))
        dataset.write_text(f"id,image\n{links}")
        settings = {
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW_CONN_STORE": json.dumps(
                {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
            ),
            "AIRFLOW_VAR_OCR_ALLOW": f"{folder},{server.address},s3://store@{bucket}",
            "OCR_OUTPUT": output,
        }
        with running_fleet(folder, DAG_ID, settings) as fleet:
            runs = Runs(fleet, dataset, output, Allowances.parse(f"s3://store@{bucket}", lambda _: store))
            first, second = fleet.start_worker("first"), fleet.start_worker("second")
            server.gate.set()
            runs.start("undisturbed")
            assert runs.ended("undisturbed") == "success"
            server.gate.clear()
            server.asked.clear()

            runs.start("disturbed")
            killed, stopped = runs.read_on("disturbed", first), runs.read_on("disturbed", second)
            first.kill()
            second.stop()
            # The gate is closed, so the batch cannot get done: the worker ends only as it hands the batch back.
            seconds = second.wait(SECONDS)
            server.gate.set()
            fleet.start_worker("first again")
            fleet.start_worker("second again")
            assert runs.ended("disturbed") == "success"
            print(f"the worker that was told to stop ended after {seconds:.1f} s")

            expected = runs.rows("undisturbed")
            assert [row["ocr_status"] for row in expected].count("ok") == IMAGES - IMAGES // BATCH_SIZE
            assert differences(expected, runs.rows("disturbed")) == []
            tries = {task["map_index"]: task["try_number"] for task in runs.tasks("disturbed")}
            # Being handed back is no failure and costs no try.
            assert tries == {index: 1 + (index == killed) for index in range(IMAGES // BATCH_SIZE)}
            # What was finished before is not asked for again, also where it is not there.
            finished = [index * BATCH_SIZE + n for index in (killed, stopped) for n in range(OPEN)]
            assert [server.asked[number] for number in finished] == [1] * len(finished)
