"""The local Airflow: started by the first command that needs it, shared, and ended after the last."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from ocr_local.api import AirflowApi
from ocr_local.home import CHECKOUT, USER, Home
from ocr_local.locks import exclusive, exclusive_at_once, shared
from ocr_local.ports import HOST

DAG_ID = "ocr_images"
_START_SECONDS = 180
_STOP_SECONDS = 60
_LOG_LINES = 15
_LOOK_SECONDS = 0.5

COMMAND_SETTINGS = Path(__file__).resolve().parent / "airflow_settings"
"""Where Airflow's commands find their ``airflow_local_settings``."""

Say = Callable[[str], None]
"""Told of each step, a line."""


class LocalAirflowError(Exception):
    """The local Airflow cannot do what it is to do; where it did not start or died, its last lines follow."""


@dataclass(frozen=True, slots=True)
class Running:
    """A running supervisor; ``port`` is 0 until its API is served."""

    pid: int
    port: int = 0

    @property
    def url(self) -> str:
        """Where the UI and the API are."""
        return f"http://{HOST}:{self.port}"


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


@contextmanager
def airflow_for(home: Home, say: Say, *, keep: bool = False) -> Iterator[Running]:
    """A running Airflow for the time of a block: the one there is, or a new one.

    It ends with the last block of all commands that use it, however they end, unless one of them has it kept.

    :param keep: whether it is to run on until :func:`stop`.
    :raises LocalAirflowError: when it does not get ready, or cannot run in this folder.
    """
    _check_paths(home)
    pid: int | None = None
    try:
        with shared(home.used, lambda: say("waiting for the Airflow of an earlier command to end")):
            with exclusive(home.starting, lambda: say("waiting for another command that is starting Airflow")):
                said = _Lines(home.logs / "supervisor.log")
                found = find_running(home)
                pid = found.pid if found else _spawn(home)
                running = _wait_until_ready(home, pid, said, say)
            if keep:
                home.kept.touch()
            yield running
    finally:
        if pid is not None:
            _end_if_unused(home, pid)


def stop(home: Home) -> bool:
    """End the Airflow that runs from ``home`` with all its processes; False when none runs."""
    running = find_running(home)
    if running is None:
        return False
    _end(running.pid)
    return True


def run_airflow(home: Home, args: str) -> int:
    """Give the Airflow that runs a command of its own command line; returns the exit code.

    :param args: what follows ``airflow``, quoted as in a shell.
    :raises LocalAirflowError: when no Airflow runs, or ``args`` is no command.
    """
    try:
        arguments = shlex.split(args)
    except ValueError as error:
        raise LocalAirflowError(f"ARGS: {error}; quote it as in a shell") from None
    if not arguments:
        raise LocalAirflowError('what is Airflow to do? For example: make airflow ARGS="dags list"')
    running = find_running(home)
    if running is None:
        raise LocalAirflowError("Airflow is not running; start it with: make up")
    command = [sys.executable, "-m", "airflow", *arguments]
    environment = home.environment(running.port)
    environment["PYTHONPATH"] += f":{COMMAND_SETTINGS}"
    return subprocess.run(command, env=environment, cwd=CHECKOUT, check=False).returncode


def service_logs(home: Home) -> str:
    """The last lines that the services printed."""
    parts = []
    for path in sorted(home.logs.glob("*.log")):
        lines = path.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        parts.append("\n".join([f"--- {path}", *lines]))
    return "\n".join(parts)


def _check_paths(home: Home) -> None:
    for path in map(str, (CHECKOUT, home.path)):
        if os.path.expandvars(path) != path:
            raise LocalAirflowError(f"{path} contains a variable, for which Airflow takes its value: rename the folder")


def _end_if_unused(home: Home, pid: int) -> None:
    """End the Airflow of the supervisor ``pid`` when no command uses it any more and it is not to be kept."""
    with exclusive_at_once(home.used) as unused:
        if unused and not home.kept.exists():
            _end(pid)


def _end(pid: int) -> None:
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        process = psutil.Process(pid)
        os.kill(pid, signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except psutil.TimeoutExpired:
            raise LocalAirflowError(f"Airflow (process {pid}) has not ended within {_STOP_SECONDS} s") from None


def _spawn(home: Home) -> int:
    """Start a supervisor; gives its number."""
    with open(home.logs / "supervisor.log", "ab") as log:
        # A session of its own: Ctrl-C is for us, and it ends when nobody uses it.
        process = subprocess.Popen(
            [sys.executable, "-m", "ocr_local.supervisor", str(home.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=CHECKOUT,
            start_new_session=True,
        )
    return process.pid


def _wait_until_ready(home: Home, pid: int, said: _Lines, say: Say) -> Running:
    started = time.monotonic()
    api: AirflowApi | None = None
    while time.monotonic() - started < _START_SECONDS:
        for line in said.new():
            say(line)
        running = find_running(home)
        if running is not None and running.port:
            api = api or connect(home, running)
            if api.is_up():
                if api.has_dag(DAG_ID):
                    return running
                if errors := api.import_errors():
                    raise LocalAirflowError("Airflow cannot load the DAG:\n" + "\n".join(errors))
        elif not _runs(pid):
            raise LocalAirflowError(f"Airflow ended while starting:\n{service_logs(home)}")
        time.sleep(_LOOK_SECONDS)
    raise LocalAirflowError(f"Airflow was not ready after {_START_SECONDS} s:\n{service_logs(home)}")


class _Lines:
    """The lines that are added to a file from now on; it is made when it is not there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            self._offset = file.tell()

    def new(self) -> list[str]:
        """Those that have been added since the last call."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.decode(errors="replace").splitlines()


def _runs(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
