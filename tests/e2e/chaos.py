"""Runs of a real DAG while everything goes wrong, compared with a run that nothing disturbs: ``make chaos``.

Task processes (of plan, batches and merge), some together with the worker that runs them, are killed with SIGKILL at
random moments, the run's folder vanishes for a moment, and the server of the images answers 503, hangs up, and heals
in the same way in both runs.

Airflow tries a task again as often as the shipped settings say, only sooner. A kill costs its task one try, so a task
that is at its last one is left alone. When a vanished folder or a late notice takes the last one all the same, the run
fails, and is cleared as a person would clear it: by ``make retry``. How often that was needed is told.

A seed repeats what is drawn, not the moments: those depend on the machine as well.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from configparser import ConfigParser
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import psutil

from ocr_local.airflow import DAG_ID
from ocr_local.home import CONFIG as SHIPPED
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.settings.deployment import ALLOW_VARIABLE
from ocr_pipeline.storage.disk import LocalFolder
from tests.e2e.conftest import LocalAirflow, local, running_airflow
from tests.e2e.test_runs import draw_word


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

RUN_SECONDS = 420.0
MOST_RETRIES = 3
"""How often a person may have to retry a run before something is wrong with more than its tries."""

_LONGEST_PAUSE = 3.0
_LONGEST_OUTAGE = 1.5


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
    """What was done to a run: tasks killed, its folder taken away, and tasks killed with the worker that ran them."""

    kills: int = 0
    outages: int = 0
    workers: int = 0


@dataclass(frozen=True)
class Survived:
    """How a disturbed run ended: its rows, what was done to it, and how often a person had to retry it."""

    rows: list[dict[str, str]]
    damage: Damage
    retried: int


class Vandal:
    """Disturbs a run until it has done all the damage that it was asked for."""

    def __init__(self, airflow: LocalAirflow, run_id: str, chance: random.Random, wanted: Damage) -> None:
        self._airflow = airflow
        self._run_id = run_id
        self._run = airflow.output / run_id
        self._chance = chance
        self._wanted = wanted
        self.done = Damage()

    def step(self) -> None:
        """One act, after a random pause."""
        time.sleep(self._chance.uniform(0, _LONGEST_PAUSE))
        if self.done.outages < self._wanted.outages and self._run.exists() and self._chance.random() < 0.3:
            self._take_folder_away()
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
        run = RunFolder(LocalFolder(self._run))
        if not run.plan.exists():
            return self._wanted.kills // 4
        staged = all(run.marker(batch.index).exists() for batch in Plan.load(run).batches)
        return self._wanted.kills - (not staged)

    def _tasks(self) -> list[psutil.Process]:
        """The processes of the tasks that Airflow would try again."""
        running = self._airflow.task_processes(self._run_id)
        return [process for task, process in running if task["try_number"] <= task["max_tries"]]

    def _take_folder_away(self) -> None:
        """Put a file where the run's folder was, for a moment: nothing below it can be read or written."""
        away = self._run.with_name(f"{self._run.name}.away")
        self._run.rename(away)
        self._run.touch()
        try:
            time.sleep(self._chance.uniform(0.2, _LONGEST_OUTAGE))
        finally:
            self._run.unlink()
            away.rename(self._run)
        self.done.outages += 1


class Playground:
    """Images, their server and a dataset, for runs that are to come out the same."""

    def __init__(self, airflow: LocalAirflow, folder: Path, images: int) -> None:
        self._airflow = airflow
        self.server = FlakyServer(folder)
        for n in range(images):
            draw_word(folder / f"{n}.png", f"CHAOS{n}")
        self._dataset = folder / "dataset.csv"
        links = "".join(f"{n},http://{self.server.address}/{n}.png\n" for n in range(images))
        self._dataset.write_text(f"id,image\n{links}")
        self._batch_size = max(images // 4, 1)
        known = airflow.api.variable(ALLOW_VARIABLE)
        airflow.api.set_variable(ALLOW_VARIABLE, ",".join([known, str(folder), self.server.address]))

    def run(self, run_id: str) -> list[dict[str, str]]:
        """A run that nobody disturbs; returns its rows without what may differ."""
        self._start(run_id)
        state = self._airflow.wait(run_id, RUN_SECONDS)
        assert state == "success", self._states(run_id)
        return self._compared(run_id)

    def run_disturbed(self, run_id: str, chance: random.Random, wanted: Damage) -> Survived:
        """A run with ``wanted`` done to it, or as much of it as there was time and tries for."""
        self._start(run_id)
        vandal = Vandal(self._airflow, run_id, chance, wanted)
        while not vandal.finished and self._airflow.api.run_state(DAG_ID, run_id) not in ("success", "failed"):
            vandal.step()
        state = self._airflow.wait(run_id, RUN_SECONDS)
        retried = 0
        # A kill while an image is read alone looks as if the image had crashed the reader.
        while state != "success" or any(row["ocr_error"] == "engine_crashed" for row in self._rows(run_id)):
            assert retried < MOST_RETRIES, self._states(run_id)
            retried += 1
            command = local(self._airflow.home, "retry", "--run", run_id)
            printed, _ = command.communicate(timeout=RUN_SECONDS)
            state = self._airflow.api.run_state(DAG_ID, run_id)
            assert state in ("success", "failed"), printed
        return Survived(self._compared(run_id), vandal.done, retried)

    def start(self, run_id: str, **settings: Any) -> RunFolder:
        """Start a run, the server failing again from the start; returns its folder."""
        self.server.heal_not()
        return self._airflow.trigger(run_id, self._dataset, **settings)

    def _start(self, run_id: str) -> None:
        # Slowly, so that a kill finds a batch half done.
        self.start(run_id, batch_size=self._batch_size, concurrency=2, threads=1)

    def _states(self, run_id: str) -> list[tuple[str, int, str]]:
        return [(task["task_id"], task["map_index"], task["state"]) for task in self._airflow.tasks(run_id)]

    def _compared(self, run_id: str) -> list[dict[str, str]]:
        return [{name: row[name] for name in row if name not in OWN_COLUMNS} for row in self._rows(run_id)]

    def _rows(self, run_id: str) -> list[dict[str, str]]:
        with (self._airflow.output / run_id / "results.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


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
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="of the first round")
    arguments = parser.parse_args()
    wanted = Damage(arguments.kills, arguments.outages, arguments.workers)
    with tempfile.TemporaryDirectory(prefix="ocr-chaos-") as scratch:
        images = Path(scratch).resolve() / "images"
        images.mkdir()
        with running_airflow(Path(scratch).resolve(), config()) as airflow:
            playground = Playground(airflow, images, arguments.images)
            with playground.server:
                expected = playground.run("undisturbed")
                for seed in range(arguments.seed, arguments.seed + arguments.rounds):
                    print(f"seed {seed}: ", end="", flush=True)  # before anything of it can go wrong
                    survived = playground.run_disturbed(f"chaos-{seed}", random.Random(seed), wanted)
                    wrong = differences(expected, survived.rows)
                    print(
                        f"{survived.damage}, {playground.server.failures} HTTP failures, "
                        f"retried by hand {survived.retried} times, {len(wrong)} differences"
                    )
                    if wrong:
                        print("\n".join(wrong))
                        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
