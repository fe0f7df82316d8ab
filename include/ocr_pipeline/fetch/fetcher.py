"""From a link to its bytes, whatever happens on the way."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import itertools
import logging
import ssl
import sys
import traceback
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from aiohttp.abc import AbstractResolver
from yarl import URL

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.fetch.addresses import AddressGuard
from ocr_pipeline.fetch.budget import ByteBudget
from ocr_pipeline.fetch.failures import RequestFailedError
from ocr_pipeline.fetch.files import read_file
from ocr_pipeline.fetch.http import Answer, HttpClient, Redirect
from ocr_pipeline.fetch.links import Base, FileLink, ObjectLink, WebLink, parse_link, redirect_target
from ocr_pipeline.fetch.objects import ObjectClient
from ocr_pipeline.fetch.politeness import Host, Manners
from ocr_pipeline.fetch.proxies import Proxies
from ocr_pipeline.fetch.queues import HostQueues
from ocr_pipeline.fetch.retries import pause_before_retry
from ocr_pipeline.fetch.robots import ROBOTS_BYTES, RobotsFiles, product_token
from ocr_pipeline.records import Failure, FetchedImage, ImageRef
from ocr_pipeline.settings.deployment import Allowances, ObjectUri
from ocr_pipeline.settings.run import FetchSettings

logger = logging.getLogger(__name__)

MAX_REDIRECTS = 10
_ROBOTS_REDIRECTS = 5  # RFC 9309, 2.3.1.2
_FILE_THREADS = 4
_Outcome = TypeVar("_Outcome", bound=Answer | Redirect)
_NO_ANSWER = frozenset({ErrorCategory.TIMEOUT, ErrorCategory.CONNECTION_LOST})


OnOutcome = Callable[[FetchedImage | Failure], None]
"""Takes over an image, or why there is none."""

_FILES: Hashable = "files"
_LOOKAHEAD = 10_000
_FEED = 100
# How many new objects there must be before Python looks for garbage that refers to itself, instead of 700. Some hundred
# requests under way are enough to have it look all the time, a tenth of it, and what it finds is small.
_COLLECT_AFTER = 10_000


@dataclass(slots=True, eq=False)
class _Order:
    """What one call asked for: whom to tell of each outcome, and how many are still to come."""

    tell: OnOutcome
    room: asyncio.Event = field(default_factory=asyncio.Event)
    left: int = 0
    error: BaseException | None = None
    abandoned: bool = False

    def deliver(self, outcome: FetchedImage | Failure) -> None:
        """Hand over an outcome; what goes wrong there ends the order."""
        self.left -= 1
        try:
            self.tell(outcome)
        except BaseException as error:
            self.error = self.error or error
        if self.error is not None or self.left in (0, _LOOKAHEAD):
            self.room.set()


@dataclass(slots=True, eq=False)
class _Job:
    """An image on its way: what is to be requested next, and what it has cost so far.

    ``started`` is the loop's time when the first request was sent. ``hops``, ``left`` (seconds) and ``status``
    belong to the attempt under way, which started at ``link`` and may have been redirected to ``url``.
    """

    order: _Order
    ref: ImageRef
    link: WebLink | ObjectLink | FileLink
    url: URL = URL()
    attempts: int = 0
    started: float | None = None
    repeated: bool = False
    failure: RequestFailedError | None = None
    hops: int = 0
    left: float = 0.0
    status: int | None = None

    def begin(self, now: float) -> None:
        """Note that a request is sent ``now``."""
        if self.started is None:
            self.started = now

    def seconds(self, now: float) -> float:
        return now - self.started if self.started is not None else 0.0


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
    :param manners: how patiently struggling hosts are treated.
    :param resolver: asked for the addresses of host names instead of the system; closed with the fetcher.
    :param tls: trusted certificate authorities instead of the system's.
    """

    def __init__(
        self,
        settings: FetchSettings,
        allowances: Allowances,
        base: Base = None,
        *,
        budget: ByteBudget | None = None,
        manners: Manners | None = None,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._allowances = allowances
        self._base = base
        self._manners = manners or Manners()
        self._budget = budget or ByteBudget(sys.maxsize)
        self._workers: list[asyncio.Task[None]] = []
        self._under_way: dict[_Job, asyncio.Task[None]] = {}
        self._closing = False
        guard = AddressGuard(allowances)
        proxies = Proxies(guard) if allowances.proxy else None
        sites = allowances.site if allowances.sites else None
        self._client = HttpClient(settings, guard, resolver, tls, proxies, sites)
        self._objects = ObjectClient(settings, allowances)
        self._token = product_token(settings.user_agent) if settings.robots != "ignore" else None
        self._robots = RobotsFiles(self._token) if self._token is not None and settings.robots == "all" else None
        self._file_threads = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="read-file")

    async def __aenter__(self) -> Self:
        settings = self._settings
        await self._client.__aenter__()
        self._clock = asyncio.get_running_loop().time
        # No more files at once than there are threads, so that none waits for a thread with bytes set aside for it.
        limits = {_FILES: _FILE_THREADS}
        self._queues = HostQueues[_Job](settings.per_host, settings.host_rate, self._manners, limits)
        self._collected_after = gc.get_threshold()
        first, *others = self._collected_after  # 0: never
        gc.set_threshold(first and max(first, _COLLECT_AFTER), *others)
        self._workers = [asyncio.create_task(self._work()) for _ in range(settings.concurrency)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        gc.set_threshold(*self._collected_after)
        self._queues.close()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        # A thread that hangs in a dead network file system must not hang the task as well.
        self._file_threads.shutdown(wait=False, cancel_futures=True)
        await self._client.__aexit__(kind, error, trace)

    @property
    def under_way(self) -> Iterator[ImageRef]:
        """The images that are being requested now, in the order in which they were begun."""
        return (job.ref for job in self._under_way)

    async def fetch(self, ref: ImageRef) -> FetchedImage | Failure:
        """The bytes behind ``ref``, or why there are none."""
        outcomes: list[FetchedImage | Failure] = []
        await self.fetch_all([ref], outcomes.append)
        return outcomes[0]

    async def fetch_all(self, refs: Iterable[ImageRef], tell: OnOutcome) -> None:
        """Fetch every image of ``refs``, in an order that suits the hosts, and ``tell`` the outcome of each.

        Looks ahead 10,000 images for hosts that may be asked. Raises nothing but what ``tell`` raises, which ends it.
        """
        order = _Order(tell)
        try:
            await self._fetch_in_order(iter(refs), order)
        finally:
            if order.left:
                self._abandon(order)

    async def _fetch_in_order(self, refs: Iterator[ImageRef], order: _Order) -> None:
        more = True
        while more and order.error is None:
            taken = list(itertools.islice(refs, _FEED))
            for ref in taken:
                self._submit(ref, order)
            more = len(taken) == _FEED
            await asyncio.sleep(0)
            while order.error is None and order.left > (_LOOKAHEAD if more else 0):
                order.room.clear()
                await order.room.wait()
        if order.error is not None:
            raise order.error

    def _abandon(self, order: _Order) -> None:
        """End what is under way for ``order``; what waits for it is passed over when its turn comes."""
        order.abandoned = True
        for job, worker in self._under_way.items():
            if job.order is order:
                worker.cancel()

    def _submit(self, ref: ImageRef, order: _Order) -> None:
        order.left += 1
        try:
            link = parse_link(ref.link, self._base)
        except ImageError as error:
            order.deliver(Failure(ref, error.category, error.detail))
            return
        except Exception as error:
            order.deliver(_unforeseen(ref, error))
            return
        job = _Job(order, ref, link)
        self._queues.add(self._begin_attempt(job), job)

    def _begin_attempt(self, job: _Job) -> Hashable:
        """Have ``job`` start at its link; the key of the host, or what is treated like one, to wait for."""
        match job.link:
            case WebLink(url):
                job.url, job.hops, job.status, job.left = url, 0, None, self._settings.total_timeout
                return _host_of(url)
            case ObjectLink(uri):
                return uri.scheme, uri.bucket
        return _FILES

    async def _work(self) -> None:
        """Request one image after the other."""
        worker = asyncio.current_task()
        assert worker is not None
        while True:
            queue, job, left_alone = await self._queues.next()
            self._under_way[job] = worker
            outcome: FetchedImage | Failure | None
            try:
                if job.order.abandoned:
                    await asyncio.sleep(0)  # there may be many of them in a row
                    continue
                if isinstance(job.link, FileLink):
                    outcome = await self._fetch_file(job.ref, job.link.path)
                else:
                    outcome = await self._fetch_from(queue.host, job, left_alone)
            except asyncio.CancelledError:
                if self._closing or not job.order.abandoned:
                    raise
                worker.uncancel()
                continue
            except Exception as error:  # a row must not be lost to a defect here or in a library
                outcome = _unforeseen(job.ref, error)
            finally:
                del self._under_way[job]
                self._queues.leave(queue)
            if outcome is not None:
                job.order.deliver(outcome)

    async def _fetch_file(self, ref: ImageRef, path: Path) -> FetchedImage | Failure:
        loop = asyncio.get_running_loop()
        lease = await self._budget.lease()
        started = loop.time()
        try:
            async with asyncio.timeout(self._settings.total_timeout):
                body, sha256 = await loop.run_in_executor(self._file_threads, self._read_and_hash, path)
            await lease.grow(len(body))
        except ImageError as error:
            lease.drop()
            return Failure(ref, error.category, error.detail, attempts=1, seconds=loop.time() - started)
        except TimeoutError:
            lease.drop()
            detail = f"{path} was not read within total_timeout={self._settings.total_timeout:g} s"
            return Failure(ref, ErrorCategory.TIMEOUT, detail, attempts=1, seconds=loop.time() - started)
        except BaseException:
            lease.drop()
            raise
        lease.keep(len(body))
        return FetchedImage(ref, body, sha256, http_status=None, attempts=1, seconds=loop.time() - started)

    def _read_and_hash(self, path: Path) -> tuple[bytes, str]:
        body = read_file(path, self._settings.max_bytes, self._allowances)
        return body, hashlib.sha256(body).hexdigest()

    async def _fetch_from(self, host: Host, job: _Job, left_alone: str | None) -> FetchedImage | Failure | None:
        """Send one request of ``job``, which has its host's turn; None if more are to follow later.

        :param left_alone: why the host must not be asked, if it must not.
        """
        outcome: Answer | Redirect
        try:
            if left_alone:
                await asyncio.sleep(0)  # there may be many of them in a row
                raise RequestFailedError(ErrorCategory.HOST_UNAVAILABLE, f"{_name_of_host(job)} {left_alone}")
            if isinstance(job.link, ObjectLink):
                outcome = await self._request_object(job, job.link.uri, host)
            else:
                outcome = await self._request_image(job, host)
        except RequestFailedError as error:
            error.status = error.status or job.status
            return self._after_failure(job, error, self._clock())
        if isinstance(outcome, Answer):
            seconds = job.seconds(self._clock())
            return FetchedImage(job.ref, outcome.body, outcome.sha256, outcome.status, job.attempts, seconds)
        return None

    async def _request_image(self, job: _Job, host: Host) -> Answer | Redirect:
        """Request what ``job`` points at now; a redirect lets it wait for the host it leads to.

        The total deadline is for the requests of an attempt together; waiting for turns between them is not counted.

        :raises RequestFailedError: if there is no body.
        """
        url = job.url
        if not job.hops:
            job.attempts += 1
        if self._robots:
            # Before room is set aside for the image: a robots.txt needs some as well, and would wait for it for ever
            # while all that there is belongs to images that wait for theirs.
            job.begin(self._clock())
            await self._robots.check(url, partial(self._robots_txt, host))
        lease = await self._budget.lease()
        try:
            since = self._clock()
            job.begin(since)
            asked = self._client.get(url, job.left, self._settings.max_bytes, self._token, lease)
            outcome = await self._request(host, asked, since, job)
        except BaseException:
            lease.drop()
            raise
        if isinstance(outcome, Answer):
            lease.keep(len(outcome.body))
            return outcome
        lease.drop()
        if job.hops == MAX_REDIRECTS:
            detail = f"more than {MAX_REDIRECTS} redirects, the last from {url.host}"
            raise RequestFailedError(ErrorCategory.TOO_MANY_REDIRECTS, detail, outcome.status)
        job.url = self._follow(url, outcome)
        job.hops, job.status, job.left = job.hops + 1, outcome.status, job.left - (self._clock() - since)
        self._queues.add(_host_of(job.url), job, first=True)
        return outcome

    async def _request_object(self, job: _Job, uri: ObjectUri, bucket: Host) -> Answer:
        """Ask for the object ``uri`` once; its bucket is treated as a host is.

        :raises RequestFailedError: if it cannot be had.
        """
        lease = await self._budget.lease()
        try:
            since = self._clock()
            job.attempts += 1
            job.begin(since)
            answer = await self._request(bucket, self._objects.get(uri, lease), since, job)
        except BaseException:
            lease.drop()
            raise
        lease.keep(len(answer.body))
        return answer

    def _after_failure(self, job: _Job, error: RequestFailedError, now: float) -> Failure | None:
        """What becomes of ``job``: None if it is tried again."""
        if error.category is ErrorCategory.HOST_UNAVAILABLE:
            error = job.failure or error  # what was requested before keeps the reason that it failed for
        elif error.category.retryable and job.attempts < self._settings.attempts:
            pause: float | None = 0.0
            if not self._repeats_at_once(job, error):
                pause = pause_before_retry(job.attempts - job.repeated, error.retry_after, self._manners)
            if pause is not None:
                job.repeated = job.repeated or error.unanswered
                job.failure = error.copy()  # without its traceback, which holds what had come of the body
                self._queues.add_later(self._begin_attempt(job), job, now + pause)
                return None
            error.detail += f" and asked to be left alone for {error.retry_after:g} s"
        return Failure(job.ref, error.category, error.detail, error.status, job.attempts, job.seconds(now))

    def _repeats_at_once(self, job: _Job, error: RequestFailedError) -> bool:
        """Whether the request is sent once more without a pause, and without blame for the host.

        Kept-alive connections break without an answer when the host had just closed them.
        """
        return error.unanswered and not job.repeated and job.attempts < self._settings.attempts

    def _follow(self, url: URL, redirect: Redirect) -> URL:
        try:
            return redirect_target(url, redirect.location)
        except ImageError as error:
            detail = f"{url.host} redirects to what cannot be fetched: {error.detail}"
            raise RequestFailedError(ErrorCategory.BAD_RESPONSE, detail, redirect.status) from None

    async def _robots_txt(self, host: Host, url: URL) -> bytes:
        """The robots.txt at ``url`` of ``host``, within the total deadline for each request on the way."""
        for _ in range(_ROBOTS_REDIRECTS + 1):
            lease = await self._budget.lease()
            try:
                asked = self._client.get(url, self._settings.total_timeout, ROBOTS_BYTES, lease=lease)
                outcome = await self._request(host, asked, self._clock())
            finally:
                lease.drop()
            if isinstance(outcome, Answer):
                return outcome.body
            url = self._follow(url, outcome)
        raise RequestFailedError(ErrorCategory.TOO_MANY_REDIRECTS, "more redirects than are followed", outcome.status)

    async def _request(self, host: Host, asked: Awaitable[_Outcome], since: float, job: _Job | None = None) -> _Outcome:
        """The outcome of the request ``asked``, for ``job`` if it is an image's; the host's record learns of it."""
        try:
            outcome = await asked
        except RequestFailedError as error:
            first = job is None or job.attempts - job.repeated == 1  # silence over one image proves nothing twice
            if error.status in (429, 503):
                pause = self._manners.backoff if error.retry_after is None else error.retry_after
                pause = min(pause, self._manners.max_retry_after)
                host.throttled(since, self._clock(), error.detail, pause)
            elif error.status is not None:
                host.answered(self._clock())
            elif job is not None and self._repeats_at_once(job, error):
                pass
            elif not error.connected or (error.category in _NO_ANSWER and first):
                host.failed(since, self._clock(), error.detail)
            raise
        host.answered(self._clock(), since, outcome.waited)
        return outcome


def _name_of_host(job: _Job) -> str:
    uri = job.link.uri if isinstance(job.link, ObjectLink) else None
    return f"{uri.scheme}://{uri.bucket}" if uri else job.url.host_port_subcomponent or ""


def _host_of(url: URL) -> Hashable:
    """A host in lower case and a port."""
    return url.raw_host, url.port


def _unforeseen(ref: ImageRef, error: Exception) -> Failure:
    # Neither the message nor the link is logged: both may hold credentials.
    name = type(error).__name__
    trace = "".join(traceback.format_tb(error.__traceback__))
    logger.error("unforeseen %s while fetching row %d; please report this:\n%s", name, ref.row, trace)
    return Failure(ref, ErrorCategory.BAD_RESPONSE, f"unforeseen {name} while fetching; the log has its trace")
