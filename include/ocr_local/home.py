"""The folder of the local Airflow, and the environment that its processes run in."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from base64 import urlsafe_b64encode
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from ocr_local.ports import HOST

CHECKOUT = Path(__file__).resolve().parents[2]
USER = "admin"
READ_SLOTS = 2
"""Batches read at once: while one starts up or waits for the network, the other keeps the cores busy."""

_LOCK_SECONDS = 20
"""How long whoever writes to the database waits for the one who does; less than the API's clients wait for it."""

_QUIET = "ignore:GitWildMatchPattern:DeprecationWarning"
"""Airflow reads ``.airflowignore`` by a class that is about to go, and every process and task would say so."""

CONFIG = """\
# Settings of the local Airflow that are yours to change; the rest is set by its environment.
[core]
default_task_retries = 2
default_task_retry_delay = 30
[scheduler]
# How long a task may be unheard of before it counts as lost; it reports every 5 seconds.
task_instance_heartbeat_timeout = 60
"""
"""What ``airflow.cfg`` is at first."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Generated once a home; they never leave it."""

    password: str
    jwt: str
    session: str
    fernet: str


class Home:
    """``AIRFLOW_HOME`` of the local Airflow.

    :param path: the folder; made when it is missing, readable by its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def output(self) -> str:
        """Folder for results when a run names none: a path or the URI of a prefix in a bucket."""
        return os.environ.get("OCR_OUTPUT") or str(CHECKOUT / "output")

    @property
    def logs(self) -> Path:
        """What the Airflow services print, a file each."""
        return self.path / "services"

    @property
    def parsing_logs(self) -> Path:
        """What was printed by the files of DAGs, a folder a day."""
        return self.path / "logs" / "dag_processor"

    @property
    def state(self) -> Path:
        """The running supervisor: its process, and its port once the API is served."""
        return self.path / "running.json"

    @property
    def supervised(self) -> Path:
        """Locked by the supervisor for as long as it lives."""
        return self.path / "supervised.lock"

    @property
    def starting(self) -> Path:
        """Locked by the command that starts Airflow, or looks whether it has to."""
        return self.path / "starting.lock"

    @property
    def used(self) -> Path:
        """Locked, together, by the commands that use the running Airflow."""
        return self.path / "used.lock"

    @property
    def kept(self) -> Path:
        """Is there when Airflow is to run on although no command uses it."""
        return self.path / "kept"

    @property
    def migrated(self) -> Path:
        """Holds the version of Airflow that the database was made for."""
        return self.path / "migrated"

    def secrets(self) -> Secrets:
        """This home's secrets, generated at the first call."""
        path = self.path / "secrets.json"
        if not path.exists():
            made = Secrets(
                password=secrets.token_urlsafe(12),
                jwt=secrets.token_urlsafe(48),
                session=secrets.token_urlsafe(48),
                fernet=urlsafe_b64encode(os.urandom(32)).decode(),
            )
            _write_private(path, json.dumps(asdict(made)))
        return Secrets(**json.loads(path.read_text()))

    def environment(self, port: int) -> dict[str, str]:
        """Environment for every Airflow process of this home, its API served on ``port``."""
        known = self.secrets()
        config = self.path / "airflow.cfg"
        if not config.exists():
            config.write_text(CONFIG)
        passwords = self.path / "passwords.json"
        if not passwords.exists():
            _write_private(passwords, json.dumps({USER: known.password}))
        own = {
            "AIRFLOW_HOME": self.path,
            "AIRFLOW__CORE__DAGS_FOLDER": CHECKOUT / "dags",
            "AIRFLOW__CORE__PLUGINS_FOLDER": CHECKOUT / "plugins",
            "AIRFLOW__CORE__LOAD_EXAMPLES": False,
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            # A place for each batch read at once, one for plan and merge of another run, and as many again, because a
            # finished task keeps its place until its next heartbeat. Having that more often than the 5 s of Airflow's
            # default costs processor time that the batches need: about 30 ms each.
            "AIRFLOW__CORE__PARALLELISM": 2 * (READ_SLOTS + 1),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{port}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": known.fernet,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": passwords,
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": port,
            "AIRFLOW__API__BASE_URL": f"http://{HOST}:{port}",
            "AIRFLOW__API__WORKERS": 1,
            "AIRFLOW__API__SECRET_KEY": known.session,
            "AIRFLOW__API_AUTH__JWT_SECRET": known.jwt,
            # A % in a URL is an escape, and a % in Airflow's home spoils each of its own defaults with that in it.
            # One writes at a time; after the 5 s for which others wait by default, services and commands would end.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": (
                f"sqlite:///{quote(str(self.path / 'airflow.db'))}?timeout={_LOCK_SECONDS}"
            ),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": self.path / "logs",
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": self.parsing_logs,
            "PYTHONWARNINGS": ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), _QUIET])),
            "OCR_OUTPUT": self.output,
            "OCR_SLOTS": READ_SLOTS,
            "OCR_CACHE": self.path / "ocr-cache",
            "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'include'}:{CHECKOUT / 'plugins'}",
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        return inherited | {name: str(value) for name, value in own.items()}


def _write_private(path: Path, text: str) -> None:
    """Make ``path``, readable by its owner alone, whole or not at all; one that another command has made stays."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(descriptor, "w") as file:
            file.write(text)
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
