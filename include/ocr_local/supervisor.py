"""Runs the Airflow services and everything they start, and ends all of it for certain.

``python -m ocr_local.supervisor HOME PORT [--attached]`` migrates the database when needed, starts the
services and waits. It ends on SIGTERM, when a service dies, or, when attached, when its standard input
closes, which happens however its parent ends. Services and tasks whose own parents die are adopted by the
supervisor, so none escapes.
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
import time
from importlib.metadata import version
from pathlib import Path

import psutil

from ocr_local.home import CHECKOUT, READ_SLOTS, Home

SERVICES = ("api-server", "scheduler", "dag-processor")
_STOP_SECONDS = 10
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def main() -> int:
    """Run until told to end; the exit code says whether every service lived that long."""
    home, port, attached = Home(Path(sys.argv[1])), int(sys.argv[2]), "--attached" in sys.argv
    stop_read, stop_write = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os.write(stop_write, b"."))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    environment = home.environment(port)
    home.logs.mkdir(exist_ok=True)
    try:
        _migrate(home, environment)
        services = [_start(home, service, environment) for service in SERVICES]
        home.state.write_text(json.dumps({"pid": os.getpid(), "port": port}))
        return _wait(services, [stop_read, sys.stdin.fileno()] if attached else [stop_read])
    finally:
        end_descendants()
        home.state.unlink(missing_ok=True)


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


def _migrate(home: Home, environment: dict[str, str]) -> None:
    """Bring the database to this version of Airflow and make the pool, once a version."""
    wanted = f"{version('apache-airflow-core')} {READ_SLOTS}"
    if home.migrated.exists() and home.migrated.read_text() == wanted:
        return
    commands = (
        ["db", "migrate"],
        ["pools", "set", "ocr", str(READ_SLOTS), "Batches read at once"],
    )
    with open(home.logs / "migrate.log", "ab") as log:
        for command in commands:
            arguments = [sys.executable, "-m", "airflow", *command]
            subprocess.run(arguments, env=environment, stdout=log, stderr=log, check=True, cwd=CHECKOUT)
    home.migrated.write_text(wanted)


def _start(home: Home, service: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with open(home.logs / f"{service}.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "airflow", service],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=CHECKOUT,
        )


def _wait(services: list[subprocess.Popen[bytes]], ends: list[int]) -> int:
    while True:
        ready, _, _ = select.select(ends, [], [], 1)
        if ready:
            return 0
        for name, service in zip(SERVICES, services, strict=True):
            if service.poll() is not None:
                print(f"the Airflow {name} ended with {service.returncode}", file=sys.stderr)
                return 1


if __name__ == "__main__":
    sys.exit(main())
