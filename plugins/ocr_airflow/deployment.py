"""What the deployment decides, and no run can change."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk import Variable

from ocr_pipeline.config import ALLOW_VARIABLE, Allowances

READ_POOL = "ocr"
"""Airflow pool that bounds how many batches are read at once."""


def default_output() -> str:
    """Folder for results when a run names none: ``OCR_OUTPUT``, or ``output`` in Airflow's home."""
    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    return os.environ.get("OCR_OUTPUT") or str(home / "output")


def allowances() -> Allowances:
    """What runs may touch: the default output folder and the entries of the Airflow variable ``ocr_allow``.

    Call it inside a task: it asks Airflow.

    :raises SettingsError: when an entry is neither a folder nor a network.
    """
    return Allowances.parse(f"{default_output()},{Variable.get(ALLOW_VARIABLE, default='')}")
