"""Runs the Airflow services and everything they start, and ends all of it for certain.

``python -m ocr_local.supervisor HOME`` migrates the database when needed, starts the services and waits. It ends on
SIGTERM, when a service dies, or when no command uses it any more and it is not to be kept. Services and tasks whose own
parents die are adopted by the supervisor, so none escapes. What it prints is shown to who waits for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import psutil

from ocr_local.home import CHECKOUT, READ_SLOTS, Home
from ocr_local.locks import exclusive, exclusive_at_once
from ocr_local.logs import drop_old_days, limit_log
from ocr_local.ports import free_port, is_free, listen_below

# Each with what keeps it from listening: logs are read from the disk, so nothing but the API needs a port.
SERVICES = {
    "api-server": [],
    "scheduler": ["--skip-serve-logs"],
    "dag-processor": [],
    "triggerer": ["--skip-serve-logs"],
}
_PORTS = 5
_STOP_SECONDS = 10
_LOOK_SECONDS = 1.0
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main() -> int:
    """Run until told to end; the exit code says whether every service lived that long."""
    home = Home(Path(sys.argv[1]))
    stop_read, stop_write = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os.write(stop_write, b"."))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with exclusive(home.supervised, lambda: _say("waiting for an Airflow that is ending")):
        home.kept.unlink(missing_ok=True)  # left by one that was killed
        _publish(home, 0)
        try:
            return _Airflow(home, stop_read).run() if _migrate(home) else 1
        finally:
            home.state.unlink(missing_ok=True)
            home.kept.unlink(missing_ok=True)
            end_descendants()


class _Airflow:
    """The services of a home, from their start to their end.

    :param stop: descriptor from which can be read once all is to end.
    """

    def __init__(self, home: Home, stop: int) -> None:
        self._home = home
        self._stop = stop
        self._services: dict[str, subprocess.Popen[bytes]] = {}

    def run(self) -> int:
        """Start them on a port that is ours, and wait until they are to end or one has."""
        for _ in range(_PORTS):
            if self._is_to_end(0):
                return 0
            port = free_port()
            _say(f"starting {', '.join(SERVICES)}")
            environment = self._home.environment(port)
            self._services = {name: _start(self._home, name, environment) for name in SERVICES}
            while not listen_below(psutil.Process(), port):
                if self._is_to_end():
                    return 0
                if self._has_ended():
                    break
            else:
                return self._serve(port)
            end_descendants()
            if is_free(port):
                return 1
            _say(f"another program has taken port {port} meanwhile: trying another one")
        return 1

    def _serve(self, port: int) -> int:
        _publish(self._home, port)
        _say("waiting for the API and the DAGs")
        while not self._is_to_end():
            if self._has_ended():
                return 1
            self._limit_logs()
        return 0

    def _limit_logs(self) -> None:
        for path in self._home.logs.glob("*.log"):
            limit_log(path)
        drop_old_days(self._home.parsing_logs)

    def _is_to_end(self, seconds: float = _LOOK_SECONDS) -> bool:
        """Whether it was told to within so many seconds, or nothing uses it any more."""
        if select.select([self._stop], [], [], seconds)[0]:
            return True
        if self._home.kept.exists():
            return False
        with exclusive_at_once(self._home.used) as unused:
            ends = unused and not self._home.kept.exists()
            if ends:  # before others may use it again: none is to take it for one that runs
                self._home.state.unlink(missing_ok=True)
            return ends

    def _has_ended(self) -> bool:
        """Whether a service has, by itself."""
        ended = [(name, service.poll()) for name, service in self._services.items() if service.poll() is not None]
        for name, code in ended:
            _say(f"the Airflow {name} ended with {code}")
        return bool(ended)


def end_descendants() -> None:
    """End every process below this one: first asked, then killed."""
    deadline = time.monotonic() + _STOP_SECONDS
    while descendants := psutil.Process().children(recursive=True):
        late = time.monotonic() > deadline
        for process in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.status() == psutil.STATUS_ZOMBIE:
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(process.pid, os.WNOHANG)
                elif late:
                    process.kill()
                else:
                    process.terminate()
        psutil.wait_procs(descendants, timeout=1)


def _publish(home: Home, port: int) -> None:
    """Say who runs, and at which port the API is served, whole or not at all."""
    temporary = home.state.with_suffix(".new")
    temporary.write_text(json.dumps({"pid": os.getpid(), "port": port}))
    temporary.replace(home.state)


def _migrate(home: Home) -> bool:
    """Bring the database to this version of Airflow and make the pool, once a version; says whether that succeeded."""
    wanted = f"{version('apache-airflow-core')} {READ_SLOTS}"
    if home.migrated.exists() and home.migrated.read_text() == wanted:
        return True
    _say("making the database, once")
    commands = (
        ["db", "migrate"],
        ["pools", "set", "ocr", str(READ_SLOTS), "Batches read at once"],
    )
    with open(home.logs / "migrate.log", "ab") as log, tempfile.TemporaryDirectory(prefix="ocr-") as folder:
        # Alembic, which migrates, cannot have a % in the path of its files, and they are in the environment.
        environment = Path(folder) / "environment"
        environment.symlink_to(sys.prefix)
        for command in commands:
            arguments = [str(environment / "bin" / "python"), "-m", "airflow", *command]
            done = subprocess.run(arguments, env=home.environment(0), stdout=log, stderr=log, check=False, cwd=CHECKOUT)
            if done.returncode:
                _say(f"airflow {' '.join(command)} ended with {done.returncode}")
                return False
    home.migrated.write_text(wanted)
    return True


def _start(home: Home, service: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with open(home.logs / f"{service}.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "airflow", service, *SERVICES[service]],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=CHECKOUT,
        )


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
