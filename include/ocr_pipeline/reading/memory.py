"""How much memory a reader process may take."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ocr_pipeline.machine import usable_memory

_SHARE = 0.8
"""Of the memory there is, what a reader process may take; the rest is for the batch and for Airflow."""


def reader_memory() -> int:
    """Bytes that a reader process may take: most of what its container, or else the machine, has."""
    return int(_SHARE * usable_memory())


def data_bytes() -> int:
    """Bytes of addresses that this process has set aside for data; 0 where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmData:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def resident_bytes(process: int) -> int:
    """Bytes of memory that the process with this number holds now; 0 where the system does not say."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
