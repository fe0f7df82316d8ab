"""What is asked of the fetcher: calls, and a job for each image of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from yarl import URL

from ocr_pipeline.fetch.failures import RequestFailedError
from ocr_pipeline.fetch.links import FileLink, ObjectLink, WebLink
from ocr_pipeline.records import Failure, FetchedImage, ImageRef

OnOutcome = Callable[[FetchedImage | Failure], None]
"""Takes over an image, or why there is none."""

FILES: Hashable = "files"
"""What files wait for, as images of the web wait for their host."""


@dataclass(slots=True, eq=False)
class Call:
    """Somebody's call for images: who takes the outcomes, and how many images are still to come (``left``).

    ``error`` is what went wrong where an outcome was taken, which ends the call; ``abandoned`` is set when nobody
    waits for the rest any more.
    """

    on_outcome: OnOutcome
    left: int = 0
    error: BaseException | None = None
    abandoned: bool = False
    _awaited: int = -1
    _reached: asyncio.Event = field(default_factory=asyncio.Event)

    def deliver(self, outcome: FetchedImage | Failure) -> None:
        """Hand over an outcome."""
        self.left -= 1
        try:
            self.on_outcome(outcome)
        except BaseException as error:
            self.error = self.error or error
        if self.left <= self._awaited or self.error is not None:
            self._reached.set()

    async def until_left(self, count: int) -> None:
        """Wait until no more than ``count`` images are to come.

        :raises BaseException: what went wrong where an outcome was taken.
        """
        if self.error is None and self.left > count:
            self._awaited = count
            self._reached.clear()
            await self._reached.wait()
        if self.error is not None:
            raise self.error


@dataclass(slots=True, eq=False)
class Job:
    """An image on its way: what is to be requested next, and what it has cost so far.

    ``attempts`` counts how often it was asked for, from its link on; a request that the HTTP client sends again on a
    new connection, as the old one had gone stale, counts once. ``started`` is the loop's time when the first request
    was sent, ``failure`` why the last attempt failed. ``hops``, ``left`` (seconds) and ``status`` belong to the
    attempt under way, which started at ``link`` and may have been redirected to ``url``.
    """

    call: Call
    ref: ImageRef
    link: WebLink | ObjectLink | FileLink
    url: URL = URL()
    attempts: int = 0
    started: float | None = None
    failure: RequestFailedError | None = None
    hops: int = 0
    left: float = 0.0
    status: int | None = None

    def begin_attempt(self, seconds: float) -> Hashable:
        """Start at the link, with ``seconds`` for all requests; what to wait for, its host or what is like one."""
        match self.link:
            case WebLink(url):
                self.url, self.hops, self.status, self.left = url, 0, None, seconds
                return host_of(url)
            case ObjectLink(uri):
                return uri.scheme, uri.bucket
        return FILES

    @property
    def host_name(self) -> str:
        """What people call that."""
        match self.link:
            case ObjectLink(uri):
                return f"{uri.scheme}://{uri.bucket}"
        return self.url.host_port_subcomponent or ""

    def begin(self, now: float) -> None:
        """Note that a request is sent ``now``."""
        if self.started is None:
            self.started = now

    def seconds(self, now: float) -> float:
        """How long it has taken, from the first request on."""
        return now - self.started if self.started is not None else 0.0


def host_of(url: URL) -> Hashable:
    """What requests of ``url`` wait for: a host in lower case and a port."""
    return url.raw_host, url.port
