"""Processor time of processes, which says more than the clock where others use the same processors."""

from __future__ import annotations

import psutil


def processor_seconds(root: psutil.Process) -> float:
    """Processor time of a process and everything below it, living or ended."""
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
