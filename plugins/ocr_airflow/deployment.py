"""What the deployment decides, and no run can change."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk import BaseHook, Variable
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowNotFoundException

from ocr_pipeline.errors import SettingsError
from ocr_pipeline.settings.deployment import ALLOW_VARIABLE, Allowances, Connection, split_allowed

READ_POOL = "ocr"
"""Airflow pool that bounds how many batches are read at once."""


def read_slots() -> int | None:
    """How many batches of a run may be read at once: ``OCR_SLOTS``, of which the pool is made as well; None if unset.

    Tasks cannot ask Airflow for the slots of their pool.

    :raises SettingsError: when it is no number above 0.
    """
    slots = os.environ.get("OCR_SLOTS", "")
    if slots and not (slots.isascii() and slots.isdigit() and int(slots)):
        raise SettingsError(f"the environment variable OCR_SLOTS must be a number above 0, not {slots!r}")
    return int(slots) if slots else None


def tasks_at_once(executor: str | None) -> int | None:
    """How many tasks Airflow runs at the same time in the container of this one; None where it does not say.

    :param executor: the task's own, if it names one.
    """
    if os.environ.get("AIRFLOW_IS_K8S_EXECUTOR_POD"):
        return 1
    if "CeleryExecutor" in (executor or conf.get("core", "executor").split(",")[0]):
        return int(conf.getint("celery", "worker_concurrency"))
    return None


def default_output() -> str:
    """Folder for results when a run names none: ``OCR_OUTPUT``, or ``output`` in Airflow's home."""
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return os.environ.get("OCR_OUTPUT") or str(home / "output")


def allowances() -> Allowances:
    """What runs may touch: the default output folder and the entries of the Airflow variable ``ocr_allow``.

    Call it inside a task: it asks Airflow, for the connections that entries name as well.

    :raises SettingsError: when an entry cannot be understood or its connection cannot be used.
    """
    entries = split_allowed(Variable.get(ALLOW_VARIABLE, default=""))
    return Allowances.parse([default_output(), *entries], _find_connection)


def _find_connection(name: str) -> Connection:
    try:
        found = BaseHook.get_connection(name)
    except AirflowNotFoundException:
        raise SettingsError(
            f"allowed entry names the connection {name!r}, which Airflow does not know: "
            "add it under Admin, Connections, or correct the Airflow variable ocr_allow"
        ) from None
    return Connection(
        id=name,
        kind=found.conn_type or "",
        host=found.host,
        port=found.port,
        schema=found.schema,
        login=found.login,
        password=found.password,
        extra=found.extra_dejson,
    )
