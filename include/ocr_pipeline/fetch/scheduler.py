"""Whose turn it is: a queue for each host, and a clock for those that have to wait.

An image occupies one of the fetcher's slots only while it is being requested. One whose host may have no further
request now, or that waits before it is tried again, waits here, so that a slow, rate-limited or broken host takes
no slot that another could use. Of the hosts that may be asked, the one with the fewest requests under way is next.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from ocr_pipeline.fetch.politeness import Host
from ocr_pipeline.fetch.retries import RetryPolicy

Job = TypeVar("Job")


class HostQueue(Generic[Job]):
    """A host and the jobs that wait for it."""

    __slots__ = ("asleep", "host", "jobs", "key", "level")

    def __init__(self, key: Hashable, host: Host) -> None:
        self.key = key
        self.host = host
        self.jobs: deque[Job] = deque()
        self.level: int | None = None  # of the ready ones among which it stands
        self.asleep = False  # until the host may be asked again


class Turn(NamedTuple, Generic[Job]):
    """The turn of ``job``, which waited in ``queue``; ``unavailable`` says why its host must not be asked, if so."""

    queue: HostQueue[Job]
    job: Job
    unavailable: str | None


class Scheduler(Generic[Job]):
    """The jobs that wait, by host, in the running event loop. Only hosts with jobs, traffic or trouble are kept.

    :param per_host: the most requests to one host at once.
    :param rate: the most requests to one host a second.
    :param limits: the most requests at once for keys that are treated unlike other hosts.
    """

    def __init__(
        self, per_host: int, rate: float | None, policy: RetryPolicy, limits: dict[Hashable, int] | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()  # to ask for it, and that for every request, is a system call
        self._per_host = per_host
        self._rate = rate
        self._policy = policy
        self._limits = limits or {}
        self._queues: dict[Hashable, HostQueue[Job]] = {}
        levels = max([per_host, *self._limits.values()])
        self._ready: list[dict[HostQueue[Job], None]] = [{} for _ in range(levels + 1)]
        self._lowest = 0  # no queue is ready on a lower level
        self._later: list[tuple[float, int, HostQueue[Job] | tuple[Hashable, Job]]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._idle: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """The hosts that are kept."""
        return len(self._queues)

    def close(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()

    def add(self, key: Hashable, job: Job, *, first: bool = False) -> None:
        """Let ``job`` wait for the host ``key``, in front of the others if ``first``."""
        queue = self._queues.get(key)
        if queue is None:
            host = Host(
                self._limits.get(key, self._per_host), None if key in self._limits else self._rate, self._policy
            )
            queue = self._queues[key] = HostQueue(key, host)
        if first:
            queue.jobs.appendleft(job)
        else:
            queue.jobs.append(job)
        self._place(queue)

    def add_later(self, key: Hashable, job: Job, at: float) -> None:
        """As :meth:`add`, in front, when the loop's clock shows ``at``."""
        self._sleep(at, (key, job))

    async def next(self) -> Turn[Job]:
        """The next job whose host may be asked, and which is begun with this. :meth:`leave` must follow.

        A job whose host is left alone comes as well, with the reason, and must not be sent.
        """
        while (queue := self._pop()) is None:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._idle.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # the call is for another then
                raise
        job = queue.jobs.popleft()
        now = self._loop.time()
        reason = queue.host.unavailable(now)
        if reason is None:
            queue.host.begin(now)
        else:
            queue.host.in_flight += 1
        self._place(queue)
        return Turn(queue, job, reason)

    def leave(self, queue: HostQueue[Job]) -> None:
        """The request to the host of ``queue`` is over."""
        queue.host.leave()
        self._place(queue)

    def _pop(self) -> HostQueue[Job] | None:
        while self._lowest < len(self._ready):
            ready = self._ready[self._lowest]
            if ready:
                queue = next(iter(ready))
                del ready[queue]
                queue.level = None
                return queue
            self._lowest += 1
        return None

    def _place(self, queue: HostQueue[Job]) -> None:
        """Put ``queue`` where the state of its host belongs: among the ready, asleep, full, or nowhere."""
        host = queue.host
        if queue.level is not None:
            del self._ready[queue.level][queue]
            queue.level = None
        if not queue.jobs:
            if host.like_new and self._queues.get(queue.key) is queue:
                del self._queues[queue.key]
            return
        now = self._loop.time()
        if host.unavailable(now) is None:
            if host.full:
                return
            if host.not_before > now:
                if not queue.asleep:
                    queue.asleep = True
                    self._sleep(host.not_before, queue)
                return
        queue.level = level = min(host.in_flight, len(self._ready) - 1)
        self._ready[level][queue] = None
        self._lowest = min(self._lowest, level)
        self._wake()

    def _sleep(self, at: float, what: HostQueue[Job] | tuple[Hashable, Job]) -> None:
        heapq.heappush(self._later, (at, next(self._order), what))
        if self._timer is None or at < self._timer.when():
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._later:
            self._timer = self._loop.call_at(self._later[0][0], self._on_time)

    def _on_time(self) -> None:
        """Move on what has waited long enough."""
        self._timer = None
        now = self._loop.time()
        while self._later and self._later[0][0] <= now:
            _, _, what = heapq.heappop(self._later)
            if isinstance(what, HostQueue):
                what.asleep = False
                self._place(what)
            else:
                self.add(*what, first=True)
        self._set_timer()

    def _wake(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
