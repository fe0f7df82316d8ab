"""From a link to its bytes, whatever happens on the way."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from aiohttp.abc import AbstractResolver
from yarl import URL

from ocr_pipeline.allowances import Allowances, ObjectUri
from ocr_pipeline.config import FetchSettings
from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.fetch.addresses import AddressGuard
from ocr_pipeline.fetch.failures import RequestFailedError
from ocr_pipeline.fetch.files import read_file
from ocr_pipeline.fetch.http import Answer, HttpClient, Redirect
from ocr_pipeline.fetch.links import Base, ObjectLink, WebLink, parse_link, redirect_target
from ocr_pipeline.fetch.objects import ObjectClient
from ocr_pipeline.fetch.politeness import Host, Hosts, HostUnavailableError, Manners
from ocr_pipeline.fetch.proxies import Proxies
from ocr_pipeline.fetch.retries import pause_before_retry
from ocr_pipeline.fetch.robots import ROBOTS_BYTES, RobotsFiles, product_token
from ocr_pipeline.records import Failure, FetchedImage, ImageRef

logger = logging.getLogger(__name__)

MAX_REDIRECTS = 10
_ROBOTS_REDIRECTS = 5  # RFC 9309, 2.3.1.2
_FILE_THREADS = 4
_Outcome = TypeVar("_Outcome")
_NO_ANSWER = frozenset({ErrorCategory.TIMEOUT, ErrorCategory.CONNECTION_LOST})


@dataclass(slots=True)
class _Progress:
    """What an image has cost so far: requests, and the loop's time when the first one was sent."""

    attempts: int = 0
    started: float | None = None

    def seconds(self, now: float) -> float:
        return now - self.started if self.started is not None else 0.0


class Fetcher:
    """Fetches images from http(s) URLs, object stores and files; an async context manager for use in one event loop.

    It bounds what one host and one image may take. How many images are fetched at once is up to the caller:
    call :meth:`fetch` from ``settings.concurrency`` tasks.

    :param settings: deadlines, sizes, attempts and limits.
    :param allowances: folders, object stores and non-public networks that may be touched; nothing else of these is.
    :param base: where the dataset's relative links start; without it they are invalid links.
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
        manners: Manners | None = None,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._allowances = allowances
        self._base = base
        self._manners = manners or Manners()
        self._hosts = Hosts(settings.per_host, settings.host_rate, self._manners)
        guard = AddressGuard(allowances)
        proxies = Proxies(guard) if allowances.proxy else None
        self._client = HttpClient(settings, guard, resolver, tls, proxies, allowances.site)
        self._objects = ObjectClient(settings, allowances)
        self._token = product_token(settings.user_agent) if settings.robots != "ignore" else None
        self._robots = RobotsFiles(self._token) if self._token is not None and settings.robots == "all" else None
        self._file_threads = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="read-file")

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A thread that hangs in a dead network file system must not hang the task as well.
        self._file_threads.shutdown(wait=False, cancel_futures=True)
        await self._client.__aexit__(kind, error, trace)

    async def fetch(self, ref: ImageRef) -> FetchedImage | Failure:
        """The bytes behind ``ref``, or why there are none. Raises nothing but ``CancelledError``."""
        try:
            link = parse_link(ref.link, self._base)
            if isinstance(link, WebLink):
                return await self._persist(ref, partial(self._attempt, link.url))
            if isinstance(link, ObjectLink):
                return await self._persist(ref, partial(self._attempt_object, link.uri))
            return await self._fetch_file(ref, link.path)
        except ImageError as error:
            return Failure(ref, error.category, error.detail)
        except Exception as error:  # a row must not be lost to a defect here or in a library
            # Neither the message nor the link is logged: both may hold credentials.
            name = type(error).__name__
            trace = "".join(traceback.format_tb(error.__traceback__))
            logger.error("unforeseen %s while fetching row %d; please report this:\n%s", name, ref.row, trace)
            return Failure(ref, ErrorCategory.BAD_RESPONSE, f"unforeseen {name} while fetching; the log has its trace")

    async def _fetch_file(self, ref: ImageRef, path: Path) -> FetchedImage | Failure:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self._settings.total_timeout):
                body, sha256 = await loop.run_in_executor(self._file_threads, self._read_and_hash, path)
        except ImageError as error:
            return Failure(ref, error.category, error.detail, attempts=1, seconds=loop.time() - started)
        except TimeoutError:
            detail = f"{path} was not read within total_timeout={self._settings.total_timeout:g} s"
            return Failure(ref, ErrorCategory.TIMEOUT, detail, attempts=1, seconds=loop.time() - started)
        return FetchedImage(ref, body, sha256, http_status=None, attempts=1, seconds=loop.time() - started)

    def _read_and_hash(self, path: Path) -> tuple[bytes, str]:
        body = read_file(path, self._settings.max_bytes, self._allowances)
        return body, hashlib.sha256(body).hexdigest()

    async def _persist(
        self, ref: ImageRef, attempt: Callable[[_Progress], Awaitable[Answer]]
    ) -> FetchedImage | Failure:
        """Call ``attempt`` until it succeeds or there is no point in trying again."""
        clock = asyncio.get_running_loop().time
        progress = _Progress()
        failure: RequestFailedError | None = None
        while True:
            try:
                answer = await attempt(progress)
            except RequestFailedError as error:
                if error.category is ErrorCategory.HOST_UNAVAILABLE:
                    failure = failure or error  # what was requested before keeps the reason that it failed for
                    break
                failure = error
            else:
                seconds = progress.seconds(clock())
                return FetchedImage(ref, answer.body, answer.sha256, answer.status, progress.attempts, seconds)
            if not failure.category.retryable or progress.attempts >= self._settings.attempts:
                break
            pause = pause_before_retry(progress.attempts, failure.retry_after, self._manners)
            if pause is None:
                failure.detail += f" and asked to be left alone for {failure.retry_after:g} s"
                break
            await asyncio.sleep(pause)
        seconds = progress.seconds(clock())
        return Failure(ref, failure.category, failure.detail, failure.status, progress.attempts, seconds)

    async def _attempt(self, url: URL, progress: _Progress) -> Answer:
        """Request ``url`` once, and where it redirects to.

        The total deadline is for the requests together; waiting for a host's turn between them is not counted.

        :raises RequestFailedError: if there is no body at the end of it; HOST_UNAVAILABLE if a host on the way is
            left alone.
        """
        clock = asyncio.get_running_loop().time
        left = self._settings.total_timeout
        status: int | None = None
        for hop in range(MAX_REDIRECTS + 1):
            with self._hosts.use((url.raw_host or "", url.port or 0)) as host:
                try:
                    since = await host.enter()
                except HostUnavailableError as error:
                    detail = f"{url.host_port_subcomponent} {error}"
                    raise RequestFailedError(ErrorCategory.HOST_UNAVAILABLE, detail, status) from None
                try:
                    if not hop:
                        progress.attempts += 1
                        progress.started = since if progress.started is None else progress.started
                    if self._robots:
                        await self._robots.check(url, partial(self._robots_txt, host))
                        since = clock()
                    asked = self._client.get(url, left, self._settings.max_bytes, self._token)
                    outcome = await self._request(host, asked, since, first=progress.attempts == 1)
                except RequestFailedError as error:
                    error.status = error.status or status
                    raise
                finally:
                    host.leave()
            if isinstance(outcome, Answer):
                return outcome
            left -= clock() - since
            status = outcome.status
            url = self._follow(url, outcome)
        raise RequestFailedError(
            ErrorCategory.TOO_MANY_REDIRECTS, f"more than {MAX_REDIRECTS} redirects, the last from {url.host}", status
        )

    async def _attempt_object(self, uri: ObjectUri, progress: _Progress) -> Answer:
        """Ask for the object ``uri`` once; its bucket is treated as a host is.

        :raises RequestFailedError: if it cannot be had; HOST_UNAVAILABLE if the bucket is left alone.
        """
        name = f"{uri.scheme}://{uri.bucket}"
        with self._hosts.use((name, 0)) as host:
            try:
                since = await host.enter()
            except HostUnavailableError as error:
                raise RequestFailedError(ErrorCategory.HOST_UNAVAILABLE, f"{name} {error}") from None
            try:
                progress.attempts += 1
                progress.started = since if progress.started is None else progress.started
                return await self._request(host, self._objects.get(uri), since, first=progress.attempts == 1)
            finally:
                host.leave()

    def _follow(self, url: URL, redirect: Redirect) -> URL:
        try:
            return redirect_target(url, redirect.location)
        except ImageError as error:
            detail = f"{url.host} redirects to what cannot be fetched: {error.detail}"
            raise RequestFailedError(ErrorCategory.BAD_RESPONSE, detail, redirect.status) from None

    async def _robots_txt(self, host: Host, url: URL) -> bytes:
        """The robots.txt at ``url`` of ``host``, within the total deadline for each request on the way."""
        clock = asyncio.get_running_loop().time
        for _ in range(_ROBOTS_REDIRECTS + 1):
            asked = self._client.get(url, self._settings.total_timeout, ROBOTS_BYTES)
            outcome = await self._request(host, asked, clock(), first=True)
            if isinstance(outcome, Answer):
                return outcome.body
            url = self._follow(url, outcome)
        raise RequestFailedError(ErrorCategory.TOO_MANY_REDIRECTS, "more redirects than are followed", outcome.status)

    async def _request(self, host: Host, asked: Awaitable[_Outcome], since: float, first: bool) -> _Outcome:
        """The outcome of the request ``asked``, of which the host's record learns; ``first``: it is no retry."""
        clock = asyncio.get_running_loop().time
        try:
            outcome = await asked
        except RequestFailedError as error:
            if error.status in (429, 503):
                pause = self._manners.backoff if error.retry_after is None else error.retry_after
                pause = min(pause, self._manners.max_retry_after)
                host.throttled(since, clock(), error.detail, pause)
            elif error.status is not None:
                host.answered(clock())
            elif not error.connected or (error.category in _NO_ANSWER and first):
                host.failed(since, clock(), error.detail)
            raise
        host.answered(clock())
        return outcome
