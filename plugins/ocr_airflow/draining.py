"""Draining a worker that is told to stop: the batches that it reads are handed back at once, from their checkpoints."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

import psutil

PROCESS_NAME = "ocr-batch"
"""What the process of a task is called while it reads a batch. Linux keeps 15 characters of it."""


def name_process() -> None:
    """Give this process the name by which :func:`drain` knows that it hands back its batch; on Linux alone."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(PROCESS_NAME)


def drain() -> None:
    """Have every batch that is read below this process handed back. Other tasks go on to their end."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.name() == PROCESS_NAME:
                process.send_signal(signal.SIGTERM)  # Airflow has a task's on_kill called by it
