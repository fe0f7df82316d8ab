"""What this process may use of its machine: cores and memory, as its container is limited to.

Docker and Kubernetes set limits through control groups. A limit of a CPU is a quota of time and shows nowhere else: a
container with two of 64 cores is still told of 64.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ControlGroups:
    """Where the kernel says what the control groups of a process are limited to.

    :param mounted: where they are mounted, of version 2 or 1, or both.
    :param membership: the file that says which groups are the process's own.
    """

    mounted: Path = Path("/sys/fs/cgroup")
    membership: Path = Path("/proc/self/cgroup")

    def cores(self) -> float:
        """How many cores' time it may take; infinity without a limit."""
        quotas = [math.inf]
        for folder in self._folders("cpu"):
            match _words(folder / "cpu.max"):
                case [quota, period]:
                    quotas.append(_number(quota) / _number(period))
            match _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us"):
                case [quota], [period]:
                    quotas.append(_number(quota) / _number(period))
        return min(quotas)

    def memory(self) -> float:
        """How many bytes it may take; infinity without a limit."""
        limits = [math.inf]
        for folder in self._folders("memory"):
            for name in ("memory.max", "memory.limit_in_bytes"):
                limits += map(_number, _words(folder / name))
        return min(limits)

    def _folders(self, controller: str) -> Iterator[Path]:
        """The folders of the groups that may limit it: its own and all above, which count for it as well."""
        try:
            lines = self.membership.read_text().splitlines()
        except OSError:
            return
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            # Inside a container the path may be the host's, and what is mounted the container's own group.
            top = self.mounted / controller if controllers else self.mounted
            own = top / path.lstrip("/")
            yield from [own, *(folder for folder in own.parents if folder.is_relative_to(top))]


def usable_cores(groups: ControlGroups = ControlGroups()) -> int:
    """How many cores this process may keep busy; a part of a core counts as one."""
    return max(1, min(len(os.sched_getaffinity(0)), math.ceil(min(groups.cores(), 1 << 16))))


def usable_memory(groups: ControlGroups = ControlGroups()) -> int:
    """How many bytes of memory this process and those beside it in its container may take."""
    return int(min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), groups.memory()))


def _words(file: Path) -> list[str]:
    """What a file of the kernel says; nothing where it is not there."""
    try:
        return file.read_text().split()
    except OSError:
        return []


def _number(word: str) -> float:
    """A limit; infinity for what stands for none: ``max``, or -1 in version 1."""
    return float(word) if word.isdigit() else math.inf
