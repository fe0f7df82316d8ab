"""When a request must be over: in all, and sooner while nothing comes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self


class Deadline:
    """Ends what runs within it by a TimeoutError, ``seconds`` after it was entered at the latest.

    An asynchronous context manager, to be entered once.
    """

    def __init__(self, seconds: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._end = self._clock() + seconds
        self._timeout = asyncio.timeout_at(self._end)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._timeout.__aexit__(kind, error, trace)

    @property
    def passed(self) -> bool:
        """Whether all of the time is over, rather than the time for something to come."""
        return self._clock() >= self._end

    def expect_within(self, seconds: float) -> None:
        """End it unless this is called again within ``seconds``."""
        self._timeout.reschedule(min(self._end, self._clock() + seconds))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let no time pass within the block."""
        began, due = self._clock(), self._timeout.when()
        self._timeout.reschedule(None)
        yield
        waited = self._clock() - began
        self._end += waited
        self._timeout.reschedule(None if due is None else due + waited)
