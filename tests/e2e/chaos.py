"""Runs of a real DAG while everything goes wrong, compared with a run that nothing disturbs: ``make chaos``.

Task processes (of plan, batches and merge), some together with the worker that runs them, are killed with SIGKILL at
random moments, the server of the images answers 503, hangs up, and heals in the same way in both runs, and what holds
the results goes away: a folder on a disk for a moment, a bucket for up to two minutes, in which it answers 503 or hangs
up. A bucket's outage is waited out, so it must cost no attempt at all; a kill costs its task one.

Airflow tries a task again as often as the shipped settings say, only sooner. A task that is at its last try is left
alone. When a vanished folder or a late notice takes that one all the same, the run fails, and what failed is cleared as
a person would clear it. How often that was needed is told.

A seed repeats what is drawn, not the moments: those depend on the machine as well.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import random
import secrets
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import requests
from moto.server import ThreadedMotoServer

from ocr_local.airflow import DAG_ID
from ocr_local.home import CONFIG as SHIPPED
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.storage.disk import LocalFolder
from tests.e2e.conftest import LocalAirflow, running_airflow
from tests.e2e.test_runs import draw_word
from tests.storage.faulty_store import Fault, FaultyStore


def config() -> str:
    """The shipped ``airflow.cfg`` for an Airflow in which tasks die: it notices soon, and tries again at once."""
    shipped = ConfigParser()
    shipped.read_string(SHIPPED)
    shipped["core"]["default_task_retry_delay"] = "1"
    shipped["scheduler"] = {
        "task_instance_heartbeat_timeout": "10",
        "task_instance_heartbeat_timeout_detection_interval": "3",
    }
    text = StringIO()
    shipped.write(text)
    return text.getvalue()


OWN_COLUMNS = ("ocr_attempts", "ocr_fetch_seconds", "ocr_read_seconds")
"""What may differ between two runs."""

RUN_SECONDS = 900.0
MOST_RETRIES = 3
"""How often a person may have to retry a run before something is wrong with more than its tries."""

_LONGEST_PAUSE = 3.0


class FlakyServer:
    """Serves images, each as its number says: at once, after a 503, after a broken connection, or never.

    What it answers depends on how often an image was asked for (``asked``, by number) since :meth:`heal_not`.
    """

    def __init__(self, folder: Path) -> None:
        self.failures = 0
        self.asked: Counter[int] = Counter()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                number = int(Path(self.path).stem)
                server.asked[number] += 1
                body = (folder / f"{number}.png").read_bytes()
                first = server.asked[number] == 1
                time.sleep(0.05)
                with suppress(ConnectionError):
                    if number % 7 == 3:
                        self.send_error(404)
                    elif first and number % 7 == 1:
                        server.failures += 1
                        self.send_error(503)
                    else:
                        self.send_response(200)
                        self.send_header("Content-Length", str(len(body)))
                        self.end_headers()
                        if first and number % 7 == 5:
                            server.failures += 1
                            body = body[: len(body) // 2]
                        self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"

    def heal_not(self) -> None:
        """Fail again from the start."""
        self.asked.clear()
        self.failures = 0

    def __enter__(self) -> FlakyServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Damage:
    """What was done to a run: tasks killed, its results away, and tasks killed with the worker that ran them."""

    kills: int = 0
    outages: int = 0
    workers: int = 0


@dataclass(frozen=True)
class Survived:
    """How a disturbed run ended: its rows, what was done to it, how often what failed was cleared by hand, and how many
    attempts were lost to something else than a kill."""

    rows: list[dict[str, str]]
    damage: Damage
    cleared: int
    lost: int


class Place(ABC):
    """Where a run's results go, and how that goes away for a while."""

    uri: str

    @abstractmethod
    def run(self, run_id: str) -> RunFolder:
        """The folder of a run, as it is also during an outage that the run sees."""

    @abstractmethod
    def outage(self, run_id: str, chance: random.Random) -> None:
        """Be away for a while."""

    def rows(self, run_id: str) -> list[dict[str, str]]:
        """The results of a run."""
        with self.run(run_id).results_csv.reading() as path, path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


class Disk(Place):
    """A folder, of which a run's own is sometimes not one.

    :param longest: seconds that it is away at most.
    """

    def __init__(self, path: Path, longest: float = 1.5) -> None:
        self.uri = str(path)
        self._path = path
        self._longest = longest

    def run(self, run_id: str) -> RunFolder:
        return RunFolder(LocalFolder(self._path / run_id))

    def outage(self, run_id: str, chance: random.Random) -> None:
        """Put a file where the run's folder was: nothing below it can be read or written."""
        run = self._path / run_id
        away = run.with_name(f"{run_id}.away")
        run.rename(away)
        run.touch()
        try:
            time.sleep(chance.uniform(0.2, self._longest))
        finally:
            run.unlink()
            away.rename(run)


class Bucket(Place):
    """A bucket, whose store sometimes answers 503 or hangs up, whatever it is asked.

    :param endpoint: a server that speaks S3.
    :param longest: seconds that it is away at most.
    """

    def __init__(self, airflow: LocalAirflow, endpoint: str, store: FaultyStore, longest: float) -> None:
        name = f"chaos-{secrets.token_hex(4)}"
        requests.put(f"{endpoint}/{name}", timeout=10).raise_for_status()
        self.uri = f"s3://store@{name}/out"
        self._store = store
        self._longest = longest
        extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
        connection = Connection("store", "aws", login="key", password="secret", extra=extra)
        self._allowances = Allowances.parse(f"s3://store@{name}", lambda _: connection)
        through = extra | {"endpoint_url": store.url}
        body = {"connection_id": "store", "conn_type": "aws", "login": "key", "password": "secret"}
        airflow.api.request("POST", "connections", body | {"extra": json.dumps(through)})
        airflow.allow(f"s3://store@{name}")

    def run(self, run_id: str) -> RunFolder:
        return RunFolder.of(self.uri, run_id, self._allowances)

    def outage(self, run_id: str, chance: random.Random) -> None:
        fault = chance.choice([Fault.BUSY, Fault.RESET])
        self._store.judge = lambda _: fault
        try:
            time.sleep(chance.uniform(0, self._longest))
        finally:
            self._store.judge = lambda _: None


@contextmanager
def bucket(airflow: LocalAirflow, longest: float) -> Iterator[Bucket]:
    """A bucket on a server of its own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        with FaultyStore(endpoint) as store:
            yield Bucket(airflow, endpoint, store, longest)
    finally:
        server.stop()


class Vandal:
    """Disturbs a run until it has done all the damage that it was asked for."""

    def __init__(self, airflow: LocalAirflow, place: Place, run_id: str, chance: random.Random, wanted: Damage) -> None:
        self._airflow = airflow
        self._place = place
        self._run_id = run_id
        self._chance = chance
        self._wanted = wanted
        self.done = Damage()

    def step(self) -> None:
        """One act, after a random pause."""
        time.sleep(self._chance.uniform(0, _LONGEST_PAUSE))
        wants_outage = self.done.outages < self._wanted.outages
        now = self.done.kills == self._wanted.kills or self._chance.random() < 0.3
        if wants_outage and now and self._place.run(self._run_id).plan.exists():
            self._place.outage(self._run_id, self._chance)
            self.done.outages += 1
        elif self.done.kills < self._kills_by_now() and (tasks := self._tasks()):
            with suppress(psutil.NoSuchProcess):
                self._kill(self._chance.choice(tasks))

    def _kill(self, task: psutil.Process) -> None:
        """End a task at once, as often as is wanted together with its worker, as when a machine goes down."""
        worker = task.parent() if self.done.workers < self._wanted.workers else None
        if worker is not None:
            # Stopped, it cannot end and leave its worker idle: an idle one holds the lock of the executor's queue.
            task.suspend()
            worker.kill()
            self.done.workers += 1
        task.kill()
        self.done.kills += 1

    @property
    def finished(self) -> bool:
        """Whether all the damage is done."""
        return self.done == self._wanted

    def _kills_by_now(self) -> int:
        """How many kills there may have been: a quarter while it is planned, and one is kept for the merge."""
        run = self._place.run(self._run_id)
        if not run.plan.exists():
            return self._wanted.kills // 4
        staged = all(run.marker(batch.index).exists() for batch in Plan.load(run).batches)
        return self._wanted.kills - (not staged)

    def _tasks(self) -> list[psutil.Process]:
        """The processes of the tasks that Airflow would try again."""
        running = self._airflow.task_processes(self._run_id)
        return [process for task, process in running if task["try_number"] <= task["max_tries"]]


class Playground:
    """Images, their server and a dataset, for runs that are to come out the same."""

    def __init__(self, airflow: LocalAirflow, folder: Path, images: int, place: Place | None = None) -> None:
        self._airflow = airflow
        self._place = place or Disk(airflow.output)
        self.server = FlakyServer(folder)
        for n in range(images):
            draw_word(folder / f"{n}.png", f"CHAOS{n}")
        self._dataset = folder / "dataset.csv"
        links = "".join(f"{n},http://{self.server.address}/{n}.png\n" for n in range(images))
        self._dataset.write_text(f"id,image\n{links}")
        self._batch_size = max(images // 4, 1)
        airflow.allow(str(folder), self.server.address)

    def run(self, run_id: str) -> list[dict[str, str]]:
        """A run that nobody disturbs; returns its rows without what may differ."""
        self._start(run_id)
        state = self._airflow.wait(run_id, RUN_SECONDS)
        assert state == "success", self._states(run_id)
        return self._compared(run_id)

    def run_disturbed(self, run_id: str, chance: random.Random, wanted: Damage) -> Survived:
        """A run with ``wanted`` done to it, or as much of it as there was time and tries for."""
        self._start(run_id)
        vandal = Vandal(self._airflow, self._place, run_id, chance, wanted)
        while not vandal.finished and self._airflow.api.run_state(DAG_ID, run_id) not in ("success", "failed"):
            vandal.step()
        state = self._airflow.wait(run_id, RUN_SECONDS)
        lost = sum(task["try_number"] - 1 for task in self._airflow.tasks(run_id)) - vandal.done.kills
        cleared = 0
        while state != "success":
            assert cleared < MOST_RETRIES, self._states(run_id)
            cleared += 1
            failed = [task for task in self._airflow.tasks(run_id) if task["state"] == "failed"]
            for name in ("plan", "read_batch", "merge"):
                if tasks := [task["map_index"] for task in failed if task["task_id"] == name]:
                    self._airflow.api.clear(DAG_ID, run_id, name, *(index for index in tasks if index >= 0))
                    break
            state = self._airflow.wait(run_id, RUN_SECONDS)
        assert not any(row["ocr_error"] == "engine_crashed" for row in self._place.rows(run_id))
        return Survived(self._compared(run_id), vandal.done, cleared, max(lost, 0))

    def start(self, run_id: str, **settings: Any) -> RunFolder:
        """Start a run, the server failing again from the start; returns its folder."""
        self.server.heal_not()
        self._airflow.trigger(run_id, self._dataset, output=self._place.uri, **settings)
        return self._place.run(run_id)

    def _start(self, run_id: str) -> None:
        # Slowly, so that a kill finds a batch half done.
        self.start(run_id, batch_size=self._batch_size, concurrency=2, threads=1)

    def _states(self, run_id: str) -> list[tuple[str, int, str]]:
        return [(task["task_id"], task["map_index"], task["state"]) for task in self._airflow.tasks(run_id)]

    def _compared(self, run_id: str) -> list[dict[str, str]]:
        rows = self._place.rows(run_id)
        return [{name: row[name] for name in row if name not in OWN_COLUMNS} for row in rows]


def differences(expected: list[dict[str, str]], found: list[dict[str, str]]) -> list[str]:
    """Every row that is not as expected."""
    pairs = enumerate(zip(expected, found, strict=False))
    lines = [f"row {n}: {old} became {new}" for n, (old, new) in pairs if old != new]
    if len(expected) != len(found):
        lines.append(f"{len(expected)} rows became {len(found)}")
    return lines


def main() -> int:
    """Run rounds, each with a seed of its own; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--outages", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="how many of the kills end the task's worker as well")
    parser.add_argument("--away", type=float, default=120, help="seconds that the bucket is away at most")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="of the first round")
    arguments = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the bucket's server logs every request
    wanted = Damage(arguments.kills, arguments.outages, arguments.workers)
    with tempfile.TemporaryDirectory(prefix="ocr-chaos-") as scratch:
        folder = Path(scratch).resolve()
        with running_airflow(folder, config()) as airflow, bucket(airflow, arguments.away) as store:
            for name, place in (("disk", Disk(airflow.output)), ("bucket", store)):
                images = folder / name
                images.mkdir()
                if not _rounds(Playground(airflow, images, arguments.images, place), name, wanted, arguments):
                    return 1
    return 0


def _rounds(playground: Playground, name: str, wanted: Damage, arguments: argparse.Namespace) -> bool:
    """Run the rounds on one place; whether all came out as they should."""
    with playground.server:
        expected = playground.run(f"undisturbed-{name}")
        for seed in range(arguments.seed, arguments.seed + arguments.rounds):
            print(f"{name}, seed {seed}: ", end="", flush=True)  # before anything of it can go wrong
            survived = playground.run_disturbed(f"chaos-{name}-{seed}", random.Random(seed), wanted)
            wrong = differences(expected, survived.rows)
            print(
                f"{survived.damage}, {playground.server.failures} HTTP failures, {survived.lost} attempts lost to "
                f"what was away, cleared by hand {survived.cleared} times, {len(wrong)} differences",
                flush=True,
            )
            if name == "bucket" and survived.lost:
                wrong.append("a bucket's outage cost an attempt")
            if wrong:
                print("\n".join(wrong))
                return False
    return True


if __name__ == "__main__":
    sys.exit(main())
