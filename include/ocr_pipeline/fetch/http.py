"""One HTTP request: its deadlines, its size, and the credentials that go with it."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO, Self

import aiohttp
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict, MultiMapping
from yarl import URL

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch.addresses import AddressGuard
from ocr_pipeline.fetch.answers import Answer, IncomingBody, Redirect
from ocr_pipeline.fetch.budget import Lease
from ocr_pipeline.fetch.connections import Connections
from ocr_pipeline.fetch.deadlines import Deadline
from ocr_pipeline.fetch.failures import RequestFailedError, refused_by_status
from ocr_pipeline.fetch.http_errors import explain
from ocr_pipeline.fetch.proxies import Proxies
from ocr_pipeline.fetch.retries import parse_retry_after
from ocr_pipeline.fetch.robots import opt_out
from ocr_pipeline.settings.deployment import AllowedSite
from ocr_pipeline.settings.run import FetchSettings

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WITHOUT_BODY = frozenset({204, 205})  # successes that have no body by definition: RFC 9110, 15.3.5 and 15.3.6
_ODD_ORIGINS = 1000
_WHOLE = re.compile(r"bytes 0-(\d{1,18})/(\d{1,18})", re.IGNORECASE)


FindSite = Callable[[str, str, int], AllowedSite | None]
"""What the deployment says of the origin with this scheme, host and port."""


class HttpClient:
    """Asks for URLs over connections that are made only where ``guard`` lets them, and tells failures apart.

    Use it as an asynchronous context manager. ``resolver`` and ``tls`` replace the system's resolver and
    certificate authorities; ``proxies`` says which requests go through a proxy, without it none do; ``sites`` says
    which origins are asked with credentials of the deployment's.
    """

    def __init__(
        self,
        settings: FetchSettings,
        guard: AddressGuard,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
        proxies: Proxies | None = None,
        sites: FindSite | None = None,
    ) -> None:
        self._settings = settings
        self._connections = Connections(settings, guard, resolver, tls)
        self._proxies = proxies
        self._sites = sites
        self._odd: dict[URL, None] = {}  # origins whose answers only a lenient reader understands, the latest last

    async def __aenter__(self) -> Self:
        self._clock = asyncio.get_running_loop().time
        await self._connections.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.__aexit__(kind, error, trace)

    async def get(
        self,
        url: URL,
        seconds: float,
        max_bytes: int,
        token: str | None = None,
        lease: Lease | None = None,
        sink: BinaryIO | None = None,
    ) -> Answer | Redirect:
        """Request ``url``, which may hold credentials, and read the body, all within ``seconds``.

        The bytes of the body are set aside with ``lease``, if given; waiting for them does not count as time.

        A body of more than ``max_bytes`` is refused, and so is one that the host's X-Robots-Tag asks the robot of the
        name ``token``, if given, to leave alone. With a ``sink``, the body goes there and not into the answer.

        :raises RequestFailedError: with the category of the failure; its detail holds no part of the URL but
            the host and port.
        """
        host = url.host_port_subcomponent or ""
        response: aiohttp.ClientResponse | None = None
        status: int | None = None
        gave_up = False
        deadline = Deadline(seconds)
        try:
            async with deadline:
                since = self._clock()

                def incoming(answered: int) -> IncomingBody:
                    nonlocal status
                    status = answered
                    return IncomingBody(host, answered, max_bytes, deadline, lease, sink)

                if url.origin() in self._odd:
                    return await self._get_leniently(url, token, incoming, deadline)
                try:
                    response = await self._ask(url)
                except aiohttp.ClientResponseError as error:
                    if isinstance(error, aiohttp.ClientHttpProxyError) or self._proxy(url):
                        raise
                    _without_traceback(error)
                    self._note_odd(url.origin())
                    return await self._get_leniently(url, token, incoming, deadline)
                waited = self._clock() - since
                try:
                    if redirect := _redirect(response.status, response.headers, waited):
                        return redirect
                    _check_head(response.status, response.headers, host, token)
                    body = incoming(response.status)
                    received = await self._receive(response, body, deadline)
                    _check_range(response.status, response.headers, received, host)
                    return Answer(response.status, *body.whole(), waited)
                finally:
                    gave_up = _parser_gave_up(response)
                    response.release()
        except RequestFailedError as error:
            error.status = error.status or status
            raise
        except TimeoutError as error:
            _without_traceback(error)
            status = response.status if response else status
            if gave_up:
                detail = f"{host}: the body is not valid HTTP"
                raise RequestFailedError(ErrorCategory.BAD_RESPONSE, detail, status) from None
            detail, connected = self._which_deadline(error, host, deadline)
            raise RequestFailedError(ErrorCategory.TIMEOUT, detail, status, connected=connected) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise explain(error, host, response) from _without_traceback(error)

    async def _ask(self, url: URL) -> aiohttp.ClientResponse:
        """Send the request for ``url`` with the credentials of its origin, the deployment's before its own."""
        url, headers = self._with_credentials(url)
        return await self._connections.get(url, headers, self._proxy(url))

    def _with_credentials(self, url: URL) -> tuple[URL, CIMultiDict[str]]:
        site = self._sites(url.scheme, url.raw_host or "", url.port or 0) if self._sites else None
        headers = CIMultiDict(site.headers if site else {})
        if url.raw_user is not None:
            headers.setdefault("Authorization", aiohttp.encode_basic_auth(url.user or "", url.password or ""))
            url = url.with_user(None)
        return url, headers

    def _proxy(self, url: URL) -> URL | None:
        return self._proxies.of(url) if self._proxies else None

    def _note_odd(self, origin: URL) -> None:
        self._odd[origin] = None
        if len(self._odd) > _ODD_ORIGINS:
            del self._odd[next(iter(self._odd))]

    async def _get_leniently(
        self, url: URL, token: str | None, incoming: Callable[[int], IncomingBody], deadline: Deadline
    ) -> Answer | Redirect:
        """Ask a host once more whose answer is not quite HTTP; the connection is used for nothing else."""
        host = url.host_port_subcomponent or ""
        since = self._clock()
        deadline.expect_within(self._settings.connect_timeout)
        async with self._connections.get_leniently(*self._with_credentials(url)) as response:
            waited = self._clock() - since
            if redirect := _redirect(response.status, response.headers, waited):
                return redirect
            _check_head(response.status, response.headers, host, token)
            body = incoming(response.status)
            await body.expect(response.length or 0, _encoding(response.headers))
            deadline.expect_within(self._settings.read_timeout)
            received = 0
            async for part in response.body:
                received += len(part)
                await body.add(part)
                deadline.expect_within(self._settings.read_timeout)
            _check_range(response.status, response.headers, received, host)
            return Answer(response.status, *body.whole(), waited)

    async def _receive(self, response: aiohttp.ClientResponse, body: IncomingBody, deadline: Deadline) -> int:
        """Take the body; gives how many bytes came, which the stream of an answer that has none does not count."""
        length = int(response.headers.get("Content-Length", 0))  # the parser accepts nothing but a number
        await body.expect(length, _encoding(response.headers))
        content = response.content
        received = 0
        while not content.at_eof():
            part = content.read_nowait()  # most bodies have come with their head; only waiting costs a timer
            if not part:
                # The session's own deadline for reading does not hold when the parser has given up.
                deadline.expect_within(self._settings.read_timeout)
                part = await content.readany()
            received += len(part)
            await body.add(part)
        return received

    def _which_deadline(self, error: TimeoutError, host: str, deadline: Deadline) -> tuple[str, bool]:
        """Which deadline passed, and whether there was a connection."""
        settings = self._settings
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"no connection to {host} within connect_timeout={settings.connect_timeout:g} s", False
        if isinstance(error, aiohttp.SocketTimeoutError) or not deadline.passed:
            return f"{host} sent nothing for read_timeout={settings.read_timeout:g} s", True
        return f"{host} had not sent everything within total_timeout={settings.total_timeout:g} s", True


def _redirect(status: int, headers: MultiMapping[str], waited: float) -> Redirect | None:
    location = headers.get("Location") if status in _REDIRECTS else None
    return Redirect(status, location, waited) if location else None


def _check_head(status: int, headers: MultiMapping[str], host: str, token: str | None) -> None:
    """Pass silently if a body may be had.

    :raises RequestFailedError: if what stands before the body tells that there is none to be had.
    """
    retry_after = parse_retry_after(headers.get("Retry-After"))
    if status == 202 and "Retry-After" in headers:
        detail = f"{host} answered HTTP 202: it is still making the image, and asks to be asked again"
        raise RequestFailedError(ErrorCategory.NOT_READY, detail, status, retry_after=retry_after)
    if status in _WITHOUT_BODY:
        detail = f"{host} answered HTTP {status}, no content: there is no image behind the link"
        raise RequestFailedError(ErrorCategory.BAD_RESPONSE, detail, status)
    if not 200 <= status < 300 or (status == 206 and _whole_length(headers) is None):
        raise refused_by_status(status, f"{host} answered HTTP {status}", retry_after)
    codings = ",".join(headers.getall("Transfer-Encoding", ())).strip().lower()
    if codings not in ("", "chunked", "identity"):
        detail = f"{host}: the body is packed for the transfer in a way that nobody uses ({codings[:30]})"
        raise RequestFailedError(ErrorCategory.BAD_RESPONSE, detail, status)
    tags = headers.getall("X-Robots-Tag", ())
    if token is not None and (directive := opt_out(tags, token)):
        detail = f"{host} asks with X-Robots-Tag: {directive} to leave the image alone"
        raise RequestFailedError(ErrorCategory.ROBOTS_REFUSED, detail, status)


def _encoding(headers: MultiMapping[str]) -> str:
    return ",".join(headers.getall("Content-Encoding", ()))


def _whole_length(headers: MultiMapping[str]) -> int | None:
    """The length of all that there is, where the range of a partial answer is that."""
    found = _WHOLE.fullmatch(headers.get("Content-Range", "").strip())
    return int(found[2]) if found is not None and int(found[1]) + 1 == int(found[2]) else None


def _check_range(status: int, headers: MultiMapping[str], received: int, host: str) -> None:
    """Pass silently unless an answer with a range brought less than it said.

    :raises RequestFailedError: CONNECTION_LOST.
    """
    if status == 206 and received != (length := _whole_length(headers)):
        detail = f"{host}: the body ended too early, after {received} of {length} bytes"
        raise RequestFailedError(ErrorCategory.CONNECTION_LOST, detail, status)


def _parser_gave_up(response: aiohttp.ClientResponse) -> bool:
    """Whether the body has turned out not to be HTTP.

    aiohttp closes the connection then, and does not tell who waits for more of the body, as it does when the host
    is who closes it.
    """
    connection = response.connection
    return connection is not None and (connection.transport is None or connection.transport.is_closing())


def _without_traceback(error: Exception) -> Exception:
    """``error``, which its connection keeps, and no longer what had come of the body, which its traceback keeps.

    Together they go round in a circle, which only the garbage collector would find.
    """
    return error.with_traceback(None)
