"""One request for an image, and what becomes of it: its bytes, a failure, or another request, now or later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from yarl import URL

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.fetch.answers import Answer, Redirect
from ocr_pipeline.fetch.budget import ByteBudget
from ocr_pipeline.fetch.failures import RequestFailedError
from ocr_pipeline.fetch.files import FileReader
from ocr_pipeline.fetch.http import HttpClient
from ocr_pipeline.fetch.jobs import Job, host_of
from ocr_pipeline.fetch.links import ObjectLink, WebLink, no_such_file, path_hint, redirect_target
from ocr_pipeline.fetch.politeness import Host
from ocr_pipeline.fetch.retries import RetryPolicy, pause_before_retry
from ocr_pipeline.fetch.robots import ROBOTS_BYTES, ROBOTS_LIFETIME, RobotsFiles, product_token
from ocr_pipeline.fetch.sharing import SharedAnswers
from ocr_pipeline.phrases import duration
from ocr_pipeline.records import Failure, FetchedImage
from ocr_pipeline.settings.deployment import Allowances, ObjectUri
from ocr_pipeline.settings.run import FetchSettings
from ocr_pipeline.storage.folders import Folder

if TYPE_CHECKING:
    from ocr_pipeline.fetch.objects import ObjectClient

MAX_REDIRECTS = 10
_ROBOTS_REDIRECTS = 5  # RFC 9309, 2.3.1.2

_NO_ANSWER = frozenset({ErrorCategory.TIMEOUT, ErrorCategory.CONNECTION_LOST})
_Outcome = TypeVar("_Outcome", bound=Answer | Redirect)


@dataclass(frozen=True, slots=True)
class NextRequest:
    """The image needs another request of ``host``: at the loop's time ``at``, or as soon as it has a turn if None."""

    host: Hashable
    at: float | None = None


class Requester:
    """Sends the requests for images, one at a time for each, and says what becomes of them.

    :param http: for http(s) URLs; whoever opened it closes it.
    :param budget: the bytes that may be held.
    :param policy: how struggling hosts are dealt with.
    :param shared: where the processes that fetch for one run share each host's robots.txt.
    """

    def __init__(
        self,
        settings: FetchSettings,
        allowances: Allowances,
        http: HttpClient,
        budget: ByteBudget,
        policy: RetryPolicy,
        shared: Folder | None = None,
    ) -> None:
        self._settings = settings
        self._allowances = allowances
        self._http = http
        self._files = FileReader(settings, allowances)
        self._opened: ObjectClient | None = None
        self._budget = budget
        self._policy = policy
        self._token = product_token(settings.user_agent) if settings.robots != "ignore" else None
        self._robots = None
        if self._token is not None and settings.robots == "all":
            answers = SharedAnswers(shared, settings.total_timeout, ROBOTS_LIFETIME) if shared else None
            self._robots = RobotsFiles(self._token, answers)
        self._clock = asyncio.get_running_loop().time

    def close(self) -> None:
        """Send no more."""
        self._files.close()
        if self._robots:
            self._robots.close()

    async def request(self, job: Job, host: Host, unavailable: str | None) -> FetchedImage | Failure | NextRequest:
        """Send one request of ``job``, which has its host's turn.

        :param host: the record of the host, which learns of the outcome.
        :param unavailable: why the host must not be asked, if it must not.
        """
        outcome: Answer | Redirect
        try:
            if unavailable:
                await asyncio.sleep(0)  # there may be many of them in a row
                raise RequestFailedError(ErrorCategory.HOST_UNAVAILABLE, f"{job.host_name} {unavailable}")
            match job.link:
                case WebLink():
                    outcome = await self._request_image(job, host)
                case ObjectLink(uri):
                    outcome = await self._request_object(job, host, uri)
                case _:
                    outcome = await self._read_file(job, job.link.path)
            if isinstance(outcome, Redirect):
                return self._after_redirect(job, outcome)
        except RequestFailedError as error:
            error.status = error.status or job.status
            return self._after_failure(job, error)
        except ImageError as error:  # of a file, which is not tried again
            return self._failure(job, error)
        seconds = job.seconds(self._clock())
        return FetchedImage(job.ref, outcome.body, outcome.sha256, outcome.status, job.attempts, seconds)

    async def _request_image(self, job: Job, host: Host) -> Answer | Redirect:
        """Request what ``job`` points at now.

        The total deadline is for the requests of an attempt together; waiting for turns between them is not counted.

        :raises RequestFailedError: if there is no body.
        """
        if not job.hops:
            job.attempts += 1
        if self._robots:
            # Before room is set aside for the image: a robots.txt needs some as well, and would wait for it for ever
            # while all that there is belongs to images that wait for theirs.
            job.begin(self._clock())
            await self._robots.check(job.url, partial(self._robots_txt, host))
        with await self._budget.lease() as lease:
            job.begin(self._clock())
            ask = partial(self._http.get, job.url, job.left, self._settings.max_bytes, self._token, lease)
            outcome = await self._noting(host, ask, first=job.attempts == 1)
            if isinstance(outcome, Answer):
                lease.keep(len(outcome.body))
            else:
                job.left -= outcome.waited
            return outcome

    async def _request_object(self, job: Job, bucket: Host, uri: ObjectUri) -> Answer:
        """Ask for the object ``uri``; its bucket is treated as a host is.

        :raises RequestFailedError: if it cannot be had.
        """
        with await self._budget.lease() as lease:
            job.attempts += 1
            job.begin(self._clock())
            ask = partial(self._objects.get, uri, lease)
            answer = await self._noting(bucket, ask, first=job.attempts == 1)
            lease.keep(len(answer.body))
            return answer

    async def _read_file(self, job: Job, path: Path) -> Answer:
        """Read the file at ``path``.

        :raises ImageError: if it cannot be read.
        """
        with await self._budget.lease() as lease:
            job.attempts += 1
            job.begin(self._clock())
            try:
                answer = await self._files.get(path)
            except ImageError as error:
                if error.category is ErrorCategory.NOT_FOUND:
                    raise no_such_file(job.ref.link, error) from None
                raise ImageError(error.category, error.detail + path_hint(job.ref.link)) from None
            await lease.grow(len(answer.body))
            lease.keep(len(answer.body))
            return answer

    async def _robots_txt(self, host: Host, url: URL) -> bytes:
        """The robots.txt at ``url`` of ``host``, within the total deadline for each request on the way."""
        for _ in range(_ROBOTS_REDIRECTS + 1):
            with await self._budget.lease() as lease:
                ask = partial(self._http.get, url, self._settings.total_timeout, ROBOTS_BYTES, lease=lease)
                outcome = await self._noting(host, ask)
            if isinstance(outcome, Answer):
                return outcome.body
            url = _target(url, outcome)
        raise RequestFailedError(ErrorCategory.TOO_MANY_REDIRECTS, "more redirects than are followed", outcome.status)

    async def _noting(self, host: Host, ask: Callable[[], Awaitable[_Outcome]], *, first: bool = True) -> _Outcome:
        """The outcome of the request ``ask``, sent when the rate of ``host`` lets it; the host's record learns of it.

        :param first: whether no answer was missed for the same image before, which would prove nothing twice.
        """
        pause = host.reserve(self._clock())
        if pause > 0:
            await asyncio.sleep(pause)
        since = self._clock()
        try:
            outcome = await ask()
        except RequestFailedError as error:
            if error.status in (429, 503):
                pause = self._policy.backoff if error.retry_after is None else error.retry_after
                pause = min(pause, self._policy.max_retry_after)
                host.throttled(since, self._clock(), error.detail, pause)
            elif error.status is not None:
                host.answered(self._clock())
            elif not error.connected or (error.category in _NO_ANSWER and first):
                host.failed(since, self._clock(), error.detail)
            raise
        host.answered(self._clock(), since, outcome.waited)
        return outcome

    def _after_redirect(self, job: Job, redirect: Redirect) -> NextRequest:
        """Have ``job`` wait for the host that ``redirect`` leads to.

        :raises RequestFailedError: if it leads too far, or to nothing.
        """
        if job.hops == MAX_REDIRECTS:
            detail = f"more than {MAX_REDIRECTS} redirects, the last from {job.url.host}"
            raise RequestFailedError(ErrorCategory.TOO_MANY_REDIRECTS, detail, redirect.status)
        job.url, job.hops, job.status = _target(job.url, redirect), job.hops + 1, redirect.status
        return NextRequest(host_of(job.url))

    def _after_failure(self, job: Job, error: RequestFailedError) -> Failure | NextRequest:
        """Whether ``job`` is tried again."""
        if error.category is ErrorCategory.HOST_UNAVAILABLE:
            error = job.failure or error  # what was requested before keeps the reason that it failed for
        elif error.category.retryable and job.attempts < self._settings.attempts:
            pause = pause_before_retry(job.attempts, error.retry_after, self._policy)
            if pause is not None:
                job.failure = error.copy()  # without its traceback, which holds what had come of the body
                return NextRequest(job.begin_attempt(self._settings.total_timeout), self._clock() + pause)
            error.detail += f" and asked to be left alone for {duration(error.retry_after or 0)}"
        return self._failure(job, error, error.status)

    def _failure(self, job: Job, error: ImageError, status: int | None = None) -> Failure:
        return Failure(job.ref, error.category, error.detail, status, job.attempts, job.seconds(self._clock()))

    @property
    def _objects(self) -> ObjectClient:
        if self._opened is None:
            from ocr_pipeline.fetch.objects import ObjectClient  # here, as most runs need no client of object stores

            self._opened = ObjectClient(self._settings, self._allowances)
        return self._opened


def _target(url: URL, redirect: Redirect) -> URL:
    try:
        return redirect_target(url, redirect.location)
    except ImageError as error:
        detail = f"{url.host} redirects to what cannot be fetched: {error.detail}"
        raise RequestFailedError(ErrorCategory.BAD_RESPONSE, detail, redirect.status) from None
