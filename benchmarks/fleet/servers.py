"""PostgreSQL and Redis, each a process of its own on a free port of 127.0.0.1, with its files in a folder that goes.

They are Debian's packages ``postgresql`` and ``redis-server``.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from ocr_local.ports import HOST

_UNPRIVILEGED = "postgres"
"""Who runs the servers where we are root, which PostgreSQL refuses; Debian's package makes that user."""

_START_SECONDS = 60
_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
"""Where Debian puts the programs, which are not on the path."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; ``url`` has its password."""

    process: psutil.Process
    url: str


def missing_servers() -> str:
    """What to install before the servers can be started; empty when all are there."""
    try:
        for program in ("initdb", "postgres", "pg_isready", "redis-server", "redis-cli"):
            _find(program)
    except FileNotFoundError as error:
        return str(error)
    return ""


def any_port() -> int:
    """A port on which nothing listens. Another program may take it at once."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgres(folder: Path) -> Iterator[Server]:
    """A PostgreSQL with Debian's settings and an empty database, its files in ``folder``, which others can enter.

    :raises FileNotFoundError: when it is not installed.
    """
    user, password, port = _user(), secrets.token_hex(16), any_port()
    data = _folder_of(folder / "postgres", user)
    given = data / "password"
    given.write_text(password)
    if user:
        shutil.chown(given, user)
    initdb = [_find("initdb"), "-D", str(data / "data"), "-U", "airflow", "-A", "scram-sha-256"]
    initdb += [f"--pwfile={given}", "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, user=user, check=True, capture_output=True)
    command = [_find("postgres"), "-D", str(data / "data"), "-h", HOST, "-p", str(port), "-k", str(data)]
    ready = [_find("pg_isready"), "-q", "-h", HOST, "-p", str(port)]
    # The database that every user may reach: it is nobody else's here.
    with _running(command, data, user, ready) as process:
        yield Server(process, f"postgresql+psycopg2://airflow:{password}@{HOST}:{port}/postgres")


@contextmanager
def redis(folder: Path) -> Iterator[Server]:
    """A Redis that keeps everything in memory.

    :raises FileNotFoundError: when it is not installed.
    """
    user, password, port = _user(), secrets.token_hex(16), any_port()
    data = _folder_of(folder / "redis", user)
    settings = {"bind": HOST, "port": port, "dir": data, "requirepass": password, "save": "", "appendonly": "no"}
    options = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    command = [_find("redis-server"), *options]
    ready = [_find("redis-cli"), "-h", HOST, "-p", str(port), "-a", password, "--no-auth-warning", "-e", "ping"]
    with _running(command, data, user, ready) as process:
        yield Server(process, f"redis://:{password}@{HOST}:{port}/0")


@contextmanager
def _running(command: Sequence[str], folder: Path, user: str | None, ready: Sequence[str]) -> Iterator[psutil.Process]:
    """A server, from when the command ``ready`` succeeds to the end of the block."""
    log = folder / "log"
    with log.open("ab") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=folder, user=user, start_new_session=True
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run(ready, capture_output=True).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _user() -> str | None:
    return _UNPRIVILEGED if getpass.getuser() == "root" else None


def _folder_of(path: Path, user: str | None) -> Path:
    path.mkdir()
    if user:
        shutil.chown(path, user)
    return path


def _find(program: str) -> str:
    path = os.pathsep.join([*map(str, reversed(_POSTGRES)), os.environ.get("PATH", "")])
    if found := shutil.which(program, path=path):
        return found
    raise FileNotFoundError(f"no {program}: apt-get install postgresql redis-server")
