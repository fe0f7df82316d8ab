"""An Airflow as ``docker-compose.yaml`` has it, its services and Celery workers as processes of this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
import yaml

from benchmarks.fleet.servers import Server, any_port, postgres, redis
from ocr_local.api import AirflowApi, ApiError
from ocr_local.home import CHECKOUT, USER, Home

SERVICES = ("api-server", "scheduler", "dag-processor")
T = TypeVar("T")

_READY_SECONDS = 180
_STOP_SECONDS = 60


def shipped_settings() -> dict[str, str]:
    """What ``docker-compose.yaml`` sets, without what it takes from ``.env`` or from its own network and folders."""
    services = yaml.safe_load((CHECKOUT / "docker-compose.yaml").read_text())
    shipped: dict[str, str] = services["x-environment"]
    return {
        name: value
        for name, value in shipped.items()
        if name.startswith("AIRFLOW__") and "$" not in value and "://" not in value and "AUTH_MANAGER" not in name
    }


class Worker:
    """A Celery worker, in a process group of its own, as on a machine of its own.

    :ivar process: its main process.
    """

    def __init__(self, name: str, environment: Mapping[str, str], log: Path, concurrency: int) -> None:
        self.name = name
        options = ["--celery-hostname", name, "--concurrency", str(concurrency), "--skip-serve-logs"]
        self.process = _start(["celery", "worker", *options], environment, log)

    def kill(self) -> None:
        """End all of it at once, as when its machine goes down."""
        processes = [self.process, *self.process.children(recursive=True)]
        for process in processes:  # what is stopped can neither tell anyone nor start something
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, _STOP_SECONDS)

    def stop(self) -> None:
        """Tell it to stop, as Docker and Kubernetes do."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> float:
        """Wait for its end; returns how many seconds that took.

        :raises psutil.TimeoutExpired: when it takes longer than ``seconds``.
        """
        started = time.monotonic()
        self.process.wait(seconds)
        return time.monotonic() - started


@dataclass
class Fleet:
    """A running Airflow without workers, until some are started.

    :ivar servers: PostgreSQL and Redis, and Airflow's services, by name.
    """

    folder: Path
    environment: dict[str, str]
    api: AirflowApi
    database: Server
    servers: dict[str, psutil.Process]
    workers: list[Worker] = field(default_factory=list)

    def start_worker(self, name: str, concurrency: int = 1) -> Worker:
        """Start a worker for so many tasks at once; it may be told to stop at any time."""
        worker = Worker(name, self.environment, self.folder / f"{name}.log", concurrency)
        self.workers.append(worker)
        return worker

    def run(self, *arguments: str) -> None:
        """Give Airflow's command line a command.

        :raises RuntimeError: when it fails, with what it printed.
        """
        _airflow(self.environment, *arguments)

    def logs(self) -> str:
        """The last lines of everybody's log."""
        paths = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in paths)


@contextmanager
def running_fleet(folder: Path, dag_id: str, settings: Mapping[str, str], *, slots: int = 2) -> Iterator[Fleet]:
    """An Airflow on a PostgreSQL and a Redis of its own, ended with the block, workers included.

    :param folder: an empty one that other users can enter.
    :param dag_id: one that it must have found before the block begins.
    :param settings: of its environment, over those that are shipped.
    :param slots: of the pool ``ocr``.
    """
    port = any_port()
    home = Home(folder / "airflow")
    with postgres(folder) as database, redis(folder) as broker:
        own = {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.url,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database.url}",
            "AIRFLOW__CELERY__BROKER_URL": broker.url,
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "OCR_SLOTS": str(slots),
        }
        environment = {**home.environment(port), **shipped_settings(), **own, **settings}
        _airflow(environment, "db", "migrate")
        _airflow(environment, "pools", "set", "ocr", str(slots), "Batches read at the same time")
        servers = {"postgres": database.process, "redis": broker.process}
        servers |= {name: _start([name], environment, folder / f"{name}.log") for name in SERVICES}
        api = AirflowApi(f"http://127.0.0.1:{port}", USER, home.secrets().password)
        fleet = Fleet(folder, environment, api, database, servers)
        try:
            wait_for(lambda: _has_dag(fleet, dag_id), _READY_SECONDS)
            yield fleet
        except BaseException:
            print(fleet.logs(), file=sys.stderr)
            raise
        finally:
            _end([*(worker.process for worker in fleet.workers), *(servers[name] for name in SERVICES)])


def wait_for(condition: Callable[[], T], seconds: float) -> T:
    """Wait until ``condition`` gives something true, and return it.

    :raises TimeoutError: when it does not within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {condition}")
        time.sleep(0.2)
    return found


def _has_dag(fleet: Fleet, dag_id: str) -> bool:
    try:
        return fleet.api.has_dag(dag_id)
    except ApiError:
        gone = [name for name in SERVICES if fleet.servers[name].status() == psutil.STATUS_ZOMBIE]
        if gone:
            raise RuntimeError(f"ended while starting: {', '.join(gone)}") from None
        return False


def _start(arguments: list[str], environment: Mapping[str, str], log: Path) -> psutil.Process:
    with log.open("ab") as said:
        return psutil.Popen(
            [sys.executable, "-m", "airflow", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd=CHECKOUT,
            start_new_session=True,
        )


def _airflow(environment: Mapping[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments], env=environment, capture_output=True, text=True, cwd=CHECKOUT
    )
    if done.returncode:
        raise RuntimeError(f"airflow {' '.join(arguments)} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def _end(processes: list[psutil.Process]) -> None:
    """End processes and all below them: first asked, then killed."""
    everything: list[psutil.Process] = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            everything += [process, *process.children(recursive=True)]
            process.terminate()
    _, left = psutil.wait_procs(everything, _STOP_SECONDS / 4)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, _STOP_SECONDS)
