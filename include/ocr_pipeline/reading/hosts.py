"""What each host took to give its images, in bounded memory, as there may be a host for every image."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

MOST_HOSTS = 1000
"""So many hosts are kept; when there are more, those go that fail least and answer fastest."""

_NAMED = 3


@dataclass(slots=True)
class _Host:
    images: int = 0
    failed: int = 0
    timed: int = 0
    seconds: float = 0.0

    @property
    def mean(self) -> float:
        return self.seconds / max(1, self.timed)


class HostStatistics:
    """Counts images and seconds by host."""

    def __init__(self) -> None:
        self._hosts: dict[str, _Host] = {}

    def __len__(self) -> int:
        """The hosts that are kept."""
        return len(self._hosts)

    def add(self, host: str, seconds: float | None, *, failed: bool = False) -> None:
        """Count an image of ``host``.

        :param seconds: that it took; None where it was not asked for.
        :param failed: whether it did not come, and may later.
        """
        found = self._hosts.setdefault(host, _Host())
        found.images += 1
        found.failed += failed
        if seconds is not None:
            found.timed += 1
            found.seconds += seconds
        if len(self._hosts) > MOST_HOSTS:
            kept = heapq.nlargest(MOST_HOSTS // 2, self._hosts.items(), key=lambda item: (item[1].failed, item[1].mean))
            self._hosts = dict(kept)

    def slowest(self, count: int) -> list[tuple[str, float]]:
        """The ``count`` hosts whose images took longest, with the mean seconds of one."""
        timed = [item for item in self._hosts.items() if item[1].timed]
        slowest = heapq.nlargest(count, timed, key=lambda item: item[1].mean)
        return [(name, host.mean) for name, host in slowest]

    def most_failed(self) -> str:
        """Where most failed, as what follows a statement; empty where nothing did."""
        failing = heapq.nlargest(_NAMED, self._hosts.items(), key=lambda item: item[1].failed)
        named = [f"{host.failed:,} of {host.images:,} at {name}" for name, host in failing if host.failed]
        return f", most of all {', '.join(named)}" if named else ""
