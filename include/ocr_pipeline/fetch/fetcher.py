"""From links to their bytes: every image takes its turns, and every outcome is handed over."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import ssl
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Self

from aiohttp.abc import AbstractResolver

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.fetch.addresses import AddressGuard
from ocr_pipeline.fetch.attempt import NextRequest, Requester
from ocr_pipeline.fetch.budget import ByteBudget
from ocr_pipeline.fetch.files import FILES_AT_ONCE
from ocr_pipeline.fetch.http import HttpClient
from ocr_pipeline.fetch.jobs import FILES, Call, Job, OnOutcome
from ocr_pipeline.fetch.links import Base, parse_link
from ocr_pipeline.fetch.proxies import Proxies
from ocr_pipeline.fetch.retries import RetryPolicy
from ocr_pipeline.fetch.scheduler import Scheduler, Turn
from ocr_pipeline.records import Failure, FetchedImage, ImageRef
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings
from ocr_pipeline.storage.folders import Folder

logger = logging.getLogger(__name__)

_LOOKAHEAD = 10_000
_FEED = 100
# How many new objects there must be before Python looks for garbage that refers to itself, instead of 700. Some hundred
# requests under way are enough to have it look all the time, a tenth of it, and what it finds is small.
_COLLECT_AFTER = 10_000


class Fetcher:
    """Fetches images from http(s) URLs, object stores and files; an async context manager for use in one event loop.

    It bounds how many images are requested at once, overall and of one host, and the bytes that are held. An image
    that waits for its host or to be tried again takes none of the places of those that are requested. While it is
    open, Python's garbage collector runs less often.

    :param settings: deadlines, sizes, attempts and limits.
    :param allowances: folders, object stores and non-public networks that may be touched; nothing else of these is.
    :param base: where the dataset's relative links start; without it they are invalid links.
    :param budget: the bytes that may be held; whoever gets an image calls its :meth:`ByteBudget.release`. Without
        one, as many as come.
    :param policy: how struggling hosts are dealt with.
    :param resolver: asked for the addresses of host names instead of the system; closed with the fetcher.
    :param tls: trusted certificate authorities instead of the system's.
    :param shared: a folder in which the fetchers of one run share each host's robots.txt.
    """

    def __init__(
        self,
        settings: FetchSettings,
        allowances: Allowances,
        base: Base = None,
        *,
        budget: ByteBudget | None = None,
        policy: RetryPolicy | None = None,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
        shared: Folder | None = None,
    ) -> None:
        self._settings = settings
        self._allowances = allowances
        self._base = base
        self._budget = budget or ByteBudget(sys.maxsize)
        self._policy = policy or RetryPolicy()
        self._shared = shared
        guard = AddressGuard(allowances)
        proxies = Proxies(guard) if allowances.proxy else None
        sites = allowances.site if allowances.sites else None
        self._http = HttpClient(settings, guard, resolver, tls, proxies, sites)
        self._under_way: dict[Job, asyncio.Task[None]] = {}
        self._opened = AsyncExitStack()
        self._closing = False

    async def __aenter__(self) -> Self:
        settings = self._settings
        async with AsyncExitStack() as opening:
            await opening.enter_async_context(self._http)
            self._requester = Requester(
                settings, self._allowances, self._http, self._budget, self._policy, self._shared
            )
            opening.callback(self._requester.close)
            # No more files at once than there are threads, so that none waits for a thread with bytes set aside for it.
            self._scheduler = Scheduler[Job](
                settings.per_host, settings.host_rate, self._policy, {FILES: FILES_AT_ONCE}
            )
            opening.callback(self._scheduler.close)
            opening.enter_context(_collecting_less_often())
            workers = [asyncio.create_task(self._work()) for _ in range(settings.concurrency)]
            opening.push_async_callback(self._stop, workers)
            self._opened = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    @property
    def under_way(self) -> Iterator[ImageRef]:
        """The images that are being requested now, in the order in which they were begun."""
        return (job.ref for job in self._under_way)

    async def fetch(self, ref: ImageRef) -> FetchedImage | Failure:
        """The bytes behind ``ref``, or why there are none."""
        outcomes: list[FetchedImage | Failure] = []
        await self.fetch_all([ref], outcomes.append)
        return outcomes[0]

    async def fetch_all(self, refs: Iterable[ImageRef], on_outcome: OnOutcome) -> None:
        """Fetch every image of ``refs``, in an order that suits the hosts, and call ``on_outcome`` with each outcome.

        Looks ahead 10,000 images for hosts that may be asked. Raises nothing but what ``on_outcome`` raises, which
        ends it.
        """
        call = Call(on_outcome)
        images = iter(refs)
        try:
            while taken := list(itertools.islice(images, _FEED)):
                for ref in taken:
                    self._submit(ref, call)
                await asyncio.sleep(0)
                await call.until_left(_LOOKAHEAD)
            await call.until_left(0)
        finally:
            if call.left:
                self._abandon(call)

    def _submit(self, ref: ImageRef, call: Call) -> None:
        call.left += 1
        try:
            link = parse_link(ref.link, self._base)
        except ImageError as error:
            call.deliver(Failure(ref, error.category, error.detail))
        except Exception as error:
            call.deliver(_unforeseen(ref, error))
        else:
            job = Job(call, ref, link)
            self._scheduler.add(job.begin_attempt(self._settings.total_timeout), job)

    def _abandon(self, call: Call) -> None:
        """End what is under way for ``call``; what waits for it is passed over when its turn comes."""
        call.abandoned = True
        for job, worker in self._under_way.items():
            if job.call is call:
                worker.cancel()

    async def _work(self) -> None:
        """Request one image after the other."""
        worker = asyncio.current_task()
        assert worker is not None
        while True:
            turn = await self._scheduler.next()
            self._under_way[turn.job] = worker
            outcome: FetchedImage | Failure | NextRequest | None = None
            try:
                outcome = await self._take(turn)
            except asyncio.CancelledError:
                if self._closing or not turn.job.call.abandoned:
                    raise
                worker.uncancel()
            finally:
                del self._under_way[turn.job]
                self._scheduler.leave(turn.queue)
            if outcome is not None:
                self._pass_on(turn.job, outcome)

    async def _take(self, turn: Turn[Job]) -> FetchedImage | Failure | NextRequest | None:
        """What comes of a turn; None if nobody wants to know any more."""
        if turn.job.call.abandoned:
            await asyncio.sleep(0)  # there may be many of them in a row
            return None
        try:
            return await self._requester.request(turn.job, turn.queue.host, turn.unavailable)
        except Exception as error:  # a row must not be lost to a defect here or in a library
            job = turn.job
            seconds = job.seconds(asyncio.get_running_loop().time())
            return replace(_unforeseen(job.ref, error), http_status=job.status, attempts=job.attempts, seconds=seconds)

    def _pass_on(self, job: Job, outcome: FetchedImage | Failure | NextRequest) -> None:
        if not isinstance(outcome, NextRequest):
            job.call.deliver(outcome)
        elif outcome.at is None:
            self._scheduler.add(outcome.host, job, first=True)
        else:
            self._scheduler.add_later(outcome.host, job, outcome.at)

    async def _stop(self, workers: list[asyncio.Task[None]]) -> None:
        self._closing = True
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


@contextmanager
def _collecting_less_often() -> Iterator[None]:
    before = gc.get_threshold()
    first, *others = before  # 0: never
    gc.set_threshold(first and max(first, _COLLECT_AFTER), *others)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _unforeseen(ref: ImageRef, error: Exception) -> Failure:
    # Neither the message nor the link is logged: both may hold credentials.
    name = type(error).__name__
    trace = "".join(traceback.format_tb(error.__traceback__))
    logger.error("unforeseen %s while fetching row %d; please report this:\n%s", name, ref.row, trace)
    return Failure(ref, ErrorCategory.BAD_RESPONSE, f"unforeseen {name} while fetching; the log has its trace")
