"""Keeping logs from growing without end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MOST_BYTES = 10_000_000
MOST_DAYS = 7


def limit_log(path: Path, most: int = MOST_BYTES) -> None:
    """Move what is in a log to ``<path>.1`` once it has more than ``most`` bytes.

    It is copied and then cut to nothing, as its writer keeps it open and appends: lines of that moment may be lost.
    """
    if path.stat().st_size > most:
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)


def drop_old_days(folder: Path, most: int = MOST_DAYS) -> None:
    """Remove folders of logs that are named by their day, but for the latest."""
    days = sorted(path for path in folder.glob("????-??-??") if path.is_dir())
    for day in days[:-most]:
        shutil.rmtree(day, ignore_errors=True)
