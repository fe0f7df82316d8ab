"""How many bytes of images may be in memory at once, from the first byte received until the image is read.

A request is sent only when there is room for a body of the usual size; its lease then grows to what the host
announces or sends. So a reader slower than the network stalls the fetching, whatever the sizes of the images.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self

ITEM_BYTES = 2048
"""What an image costs beside its body, so that many empty ones are bounded as well."""

_FIRST_GUESS = 64 * 1024
_MEMORY = 16
"""The usual size follows the last so many bodies, roughly."""


@dataclass(slots=True, eq=False)
class _Waiter:
    lease: Lease
    size: int
    room: asyncio.Future[None]


class ByteBudget:
    """Bytes that may be held: those being received and those of images that wait to be read or are being read.

    Whoever takes an image over calls :meth:`release` when its bytes are no longer needed.

    ``limit`` is passed only when waiting would last for ever: when no whole image is held that could be released,
    one body at a time may grow beyond it. So an image larger than the limit gets through, alone.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._whole = 0
        self._overdrawn: Lease | None = None
        self._usual = min(_FIRST_GUESS, limit)
        self._growing: deque[_Waiter] = deque()
        self._starting: deque[_Waiter] = deque()

    @property
    def held(self) -> int:
        """Bytes held now, :data:`ITEM_BYTES` an image included."""
        return self._held

    async def lease(self) -> Lease:
        """Wait for room for a body of the usual size. :meth:`Lease.keep` or :meth:`Lease.drop` must follow.

        As a context manager, what is returned is dropped in the end unless it was kept.
        """
        lease = Lease(self)
        size = self._usual + ITEM_BYTES
        if self._starting or self._growing or not self._may_start(size):
            await self._wait(self._starting, lease, size)
        else:
            self._take(lease, size)
        return lease

    def release(self, size: int) -> None:
        """An image with a body of ``size`` bytes is held no longer."""
        self._whole -= 1
        self._held -= size + ITEM_BYTES
        self._admit()

    def _may_start(self, size: int) -> bool:
        return self._held + size <= self._limit or not self._held

    def _may_grow(self, lease: Lease, size: int) -> bool:
        if self._held - lease.size + size <= self._limit or self._overdrawn is lease:
            return True
        if self._whole or self._overdrawn is not None:
            return False
        self._overdrawn = lease
        return True

    def _take(self, lease: Lease, size: int) -> None:
        self._held += size - lease.size
        lease.size = size

    def _drop(self, lease: Lease) -> None:
        self._held -= lease.size
        lease.size = 0
        self._settle(lease)
        self._admit()

    def _keep(self, lease: Lease, size: int) -> None:
        self._usual += (min(size, self._limit) - self._usual) // _MEMORY
        self._held += size + ITEM_BYTES - lease.size
        self._whole += 1
        self._settle(lease)
        self._admit()

    def _settle(self, lease: Lease) -> None:
        if self._overdrawn is lease:
            self._overdrawn = None

    async def _wait(self, waiters: deque[_Waiter], lease: Lease, size: int) -> None:
        waiter = _Waiter(lease, size, asyncio.get_running_loop().create_future())
        waiters.append(waiter)
        try:
            await waiter.room
        except asyncio.CancelledError:
            if waiter in waiters:
                waiters.remove(waiter)
                self._admit()
            elif waiters is self._starting:
                self._drop(lease)
            raise

    def _admit(self) -> None:
        """Let those go on for whom there is room, each group in its order, bodies under way before new ones."""
        while self._growing and self._may_grow(self._growing[0].lease, self._growing[0].size):
            self._grant(self._growing.popleft())
        while self._starting and not self._growing and self._may_start(self._starting[0].size):
            self._grant(self._starting.popleft())

    def _grant(self, waiter: _Waiter) -> None:
        if not waiter.room.done():
            self._take(waiter.lease, waiter.size)
            waiter.room.set_result(None)


class Lease:
    """The bytes set aside for one body that is being received."""

    __slots__ = ("_budget", "_over", "size")

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._over = False
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._over:
            self.drop()

    def try_grow(self, size: int) -> bool:
        """Set aside room for a body of ``size`` bytes if there is any now; whether there is."""
        size += ITEM_BYTES
        if size <= self.size:
            return True
        # Those before this one go first, but may be waiting for the one that is beyond the limit.
        behind = self._budget._growing and self._budget._overdrawn is not self
        if behind or not self._budget._may_grow(self, size):
            return False
        self._budget._take(self, size)
        return True

    async def grow(self, size: int) -> None:
        """Wait for room for a body of ``size`` bytes."""
        if not self.try_grow(size):
            await self._budget._wait(self._budget._growing, self, size + ITEM_BYTES)

    def keep(self, size: int) -> None:
        """The body is whole and has ``size`` bytes; they are held until :meth:`ByteBudget.release`."""
        self._over = True
        self._budget._keep(self, size)

    def drop(self) -> None:
        """There is no body."""
        self._over = True
        self._budget._drop(self)
