"""Starting the local Airflow, finding it when it runs, and ending it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from ocr_local.api import AirflowApi
from ocr_local.home import CHECKOUT, USER, Home, free_port

DAG_ID = "ocr_images"
_START_SECONDS = 180
_LOG_LINES = 15


class LocalAirflowError(Exception):
    """The local Airflow did not start or died; the message ends with what its services printed last."""


@dataclass(frozen=True, slots=True)
class Running:
    """A running supervisor."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        """Where the UI and the API are."""
        return f"http://127.0.0.1:{self.port}"


def find_running(home: Home) -> Running | None:
    """The local Airflow that runs from ``home``, or None."""
    try:
        running = Running(**json.loads(home.state.read_text()))
        command = psutil.Process(running.pid).cmdline()
    except (FileNotFoundError, ValueError, psutil.Error):
        return None
    # The number may belong to another process by now.
    return running if "ocr_local.supervisor" in command else None


def connect(home: Home, running: Running) -> AirflowApi:
    """The API of a running Airflow."""
    return AirflowApi(running.url, USER, home.secrets().password)


def start_detached(home: Home, waiting: Callable[[float], None]) -> Running:
    """Start Airflow so that it outlives this process, and wait until it is ready.

    :param waiting: called about once a second with the seconds since the start.
    :raises LocalAirflowError: when it does not get ready.
    """
    process = _spawn(home, attached=False)
    try:
        return _wait_until_ready(home, process, waiting)
    except BaseException:
        process.terminate()
        process.wait()
        raise


@contextmanager
def attached(home: Home, waiting: Callable[[float], None]) -> Iterator[Running]:
    """A running Airflow: the one there is, or one of our own that ends with the block or with this process.

    :raises LocalAirflowError: when it does not get ready.
    """
    if running := find_running(home):
        yield running
        return
    process = _spawn(home, attached=True)
    try:
        yield _wait_until_ready(home, process, waiting)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def stop(home: Home) -> bool:
    """End the Airflow that runs from ``home`` with all its processes; False when none runs."""
    running = find_running(home)
    if running is None:
        return False
    process = psutil.Process(running.pid)
    os.kill(running.pid, signal.SIGTERM)
    process.wait(60)
    return True


def service_logs(home: Home) -> str:
    """The last lines that the services printed."""
    parts = []
    for path in sorted(home.logs.glob("*.log")):
        lines = path.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        parts.append("\n".join([f"--- {path}", *lines]))
    return "\n".join(parts)


def _spawn(home: Home, *, attached: bool) -> subprocess.Popen[bytes]:
    home.logs.mkdir(exist_ok=True)
    arguments = [sys.executable, "-m", "ocr_local.supervisor", str(home.path), str(free_port())]
    with open(home.logs / "supervisor.log", "ab") as log:
        # A session of its own: Ctrl-C is for us, and we end it in our own time.
        return subprocess.Popen(
            [*arguments, "--attached"] if attached else arguments,
            stdin=subprocess.PIPE if attached else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=CHECKOUT,
            start_new_session=True,
        )


def _wait_until_ready(home: Home, process: subprocess.Popen[bytes], waiting: Callable[[float], None]) -> Running:
    started = time.monotonic()
    api: AirflowApi | None = None
    while (elapsed := time.monotonic() - started) < _START_SECONDS:
        waiting(elapsed)
        if process.poll() is not None:
            raise LocalAirflowError(f"Airflow ended while starting:\n{service_logs(home)}")
        running = find_running(home)
        if running is not None:
            api = api or connect(home, running)
            if api.is_up():
                if api.has_dag(DAG_ID):
                    return running
                if errors := api.import_errors():
                    raise LocalAirflowError("Airflow cannot load the DAG:\n" + "\n".join(errors))
        time.sleep(0.5)
    raise LocalAirflowError(f"Airflow was not ready after {_START_SECONDS} s:\n{service_logs(home)}")
