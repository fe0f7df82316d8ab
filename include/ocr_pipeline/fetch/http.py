"""One HTTP request: its deadlines, its size, and what its failures mean."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import BinaryIO, Self

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import ContentLengthError, HttpProcessingError, TransferEncodingError
from aiohttp.http_parser import RawResponseMessage
from multidict import CIMultiDict
from yarl import URL

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch.addresses import AddressGuard, AddressRefusedError
from ocr_pipeline.fetch.budget import Lease, wait_for_room
from ocr_pipeline.fetch.failures import RequestFailedError, refused_by_status
from ocr_pipeline.fetch.names import GuardedResolver, SystemResolver
from ocr_pipeline.fetch.proxies import Proxies
from ocr_pipeline.fetch.retries import parse_retry_after
from ocr_pipeline.fetch.robots import opt_out
from ocr_pipeline.settings.deployment import AllowedSite
from ocr_pipeline.settings.run import FetchSettings

_DNS_CACHE_SECONDS = 300
_DNS_CACHE_NAMES = 10_000
_RESOLVER_THREADS = 64
# Long enough to be used again by the next link to the host, short enough that a batch over thousands of hosts does
# not run out of file descriptors.
_KEEP_ALIVE_SECONDS = 5
# Bytes taken from a socket before reading from it pauses; with less, large bodies take many small steps.
_READ_BUFFER = 256 * 1024
_ORIGINS = 10_000
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


FindSite = Callable[[str, str, int], AllowedSite | None]
"""What the deployment says of the origin with this scheme, host and port."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole body, or none of it where it was written elsewhere, that began after ``waited`` seconds."""

    status: int
    body: bytes
    sha256: str
    waited: float


@dataclass(frozen=True, slots=True)
class Redirect:
    """The host says after ``waited`` seconds where to look instead; ``location`` is as the host wrote it."""

    status: int
    location: str
    waited: float


@dataclass(frozen=True, slots=True)
class _Origin:
    """What all requests to a scheme, host and port have in common.

    ``request`` is what the connector knows it by, ``headers`` are as they are sent, without a login of the link's,
    which counts unless there is one among them (``login``).
    """

    request: aiohttp.ClientRequest
    headers: bytes
    login: bool


class HttpClient:
    """Keep-alive connections with one DNS cache, which are made only where ``guard`` lets them.

    Connecting, TLS, proxies and the parsing of answers are aiohttp's. Its session is not used: it takes a third of
    what a request costs, and sends a request again on its own when a connection breaks before any answer.

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
        self._sites = sites
        self._guard = guard
        self._proxies = proxies
        self._resolver = resolver
        self._tls = tls

    async def __aenter__(self) -> Self:
        settings = self._settings
        self._clock = asyncio.get_running_loop().time
        resolver = self._resolver or SystemResolver(min(settings.concurrency, _RESOLVER_THREADS))
        self._guarded = GuardedResolver(resolver, self._guard)
        self._connector = aiohttp.TCPConnector(
            limit=0,  # the caller and the hosts' limits say how many; waiting here would count as connecting
            ttl_dns_cache=_DNS_CACHE_SECONDS,
            dns_cache_max_size=_DNS_CACHE_NAMES,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            resolver=self._guarded,
            socket_factory=self._guard.socket,
            ssl=self._tls or True,
        )
        self._connecting = aiohttp.ClientTimeout(total=None, connect=settings.connect_timeout)
        self._origin = lru_cache(_ORIGINS)(self._make_origin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connector.close()
        await self._guarded.close()

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
        since = self._clock()
        end = since + seconds
        status: int | None = None
        broken: HttpProcessingError | None = None
        try:
            async with asyncio.timeout_at(end) as deadline:
                proxy = self._proxies.of(url) if self._proxies else None
                origin = self._origin(url.scheme, url.raw_host or "", url.port or 0, proxy)
                connection = await self._connect(origin)
                protocol = connection.protocol
                assert protocol is not None
                head, content = await self._ask(connection, protocol, origin, url, proxy)
                try:
                    status, waited = head.code, self._clock() - since
                    if status in _REDIRECTS and (location := head.headers.get("Location")):
                        return Redirect(status, location, waited)
                    length = _length_of_body(head, host, max_bytes, token)
                    body, sha256 = await self._read(content, status, length, deadline, end, max_bytes, lease, sink)
                    return Answer(status, body, sha256, waited)
                finally:
                    broken = _parse_error(protocol)
                    connection.release()
        except RequestFailedError:
            raise
        except TimeoutError as error:
            _without_traceback(error)
            if broken:
                raise _classify(broken, host, status) from error
            connected = not isinstance(error, aiohttp.ConnectionTimeoutError)
            detail = self._which_deadline(error, host, end)
            raise RequestFailedError(ErrorCategory.TIMEOUT, detail, status, connected=connected) from None
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise _classify(broken or error, host, status) from _without_traceback(error)

    def _make_origin(self, scheme: str, host: str, port: int, proxy: URL | None) -> _Origin:
        headers = CIMultiDict(
            {
                "User-Agent": self._settings.user_agent,
                "Accept": "image/*,*/*;q=0.1",
                "Accept-Encoding": "identity",
            }
        )
        site = self._sites(scheme, host, port) if self._sites else None
        if site:
            headers.update(site.headers)
        url = URL.build(scheme=scheme, host=host, port=port)
        request = aiohttp.ClientRequest("GET", url, headers=headers, loop=asyncio.get_running_loop(), proxy=proxy)
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        return _Origin(request, lines.encode(), "Authorization" in headers)

    async def _connect(self, origin: _Origin) -> Connection:
        try:
            return await self._connector.connect(origin.request, [], self._connecting)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error

    async def _ask(
        self, connection: Connection, protocol: ResponseHandler, origin: _Origin, url: URL, proxy: URL | None
    ) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
        """Send the request for ``url``; gives the head of the answer, and the body as it comes."""
        try:
            request = _head_of_request(url, origin, proxy)
            protocol.set_response_params(
                read_until_eof=True, read_timeout=self._settings.read_timeout, read_bufsize=_READ_BUFFER
            )
            if protocol.transport is None or protocol.transport.is_closing():
                raise aiohttp.ServerDisconnectedError
            protocol.transport.write(request)
            protocol.start_timeout()
            while True:
                head, content = await protocol.read()
                if head.code >= 200 or head.code == 101:
                    return head, content
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            connection.close()
            raise _UnansweredError(getattr(error, "strerror", None) or str(error)) from error
        except BaseException:
            connection.close()
            raise

    async def _read(
        self,
        content: aiohttp.StreamReader,
        status: int,
        announced: int,
        deadline: asyncio.Timeout,
        end: float,
        max_bytes: int,
        lease: Lease | None,
        sink: BinaryIO | None,
    ) -> tuple[bytes, str]:
        # Hashed as it comes, so that a large body does not hold up the loop in one go. The content is what a
        # Content-Encoding unfolds to, a bounded step at a time, so the cap holds for compressed bodies as well.
        digest = hashlib.sha256()
        parts: list[bytes] = []
        size = 0
        if lease and not lease.covers(announced):
            end += await wait_for_room(lease, announced, deadline)
        while not content.at_eof():
            # Most bodies have come with their head; only waiting costs a timer.
            part = content.read_nowait()
            if not part:
                # The connection's read timeout does not hold once aiohttp's parser has stumbled over the body (see
                # _parse_error): the reader is told of neither, and would wait for the end of all time.
                deadline.reschedule(min(end, self._clock() + self._settings.read_timeout))
                part = await content.readany()
            size += len(part)
            if size > max_bytes:
                raise _too_large("sends more bytes", max_bytes, status)
            if lease and not lease.covers(size):
                end += await wait_for_room(lease, size, deadline)
            digest.update(part)
            if sink is None:
                parts.append(part)
            else:
                sink.write(part)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        return body, digest.hexdigest()

    def _which_deadline(self, error: TimeoutError, host: str, end: float) -> str:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"no connection to {host} within connect_timeout={self._settings.connect_timeout:g} s"
        if isinstance(error, aiohttp.SocketTimeoutError) or self._clock() < end:
            return f"{host} sent nothing for read_timeout={self._settings.read_timeout:g} s"
        return f"{host} had not sent everything within total_timeout={self._settings.total_timeout:g} s"


class _UnansweredError(aiohttp.ClientConnectionError):
    """The connection broke before any answer."""


def _head_of_request(url: URL, origin: _Origin, proxy: URL | None) -> bytes:
    """The request for ``url`` as it is sent; to a ``proxy`` in full, unless what goes through it is encrypted."""
    target, headers = url.raw_path_qs, origin.headers
    if proxy is not None and url.scheme == "http":
        target = str(url.with_user(None).with_fragment(None))
        if authorization := origin.request.headers.get("Proxy-Authorization"):
            headers += f"Proxy-Authorization: {authorization}\r\n".encode()
    if url.raw_user is not None and not origin.login:
        login = aiohttp.encode_basic_auth(url.user or "", url.password or "")
        headers += f"Authorization: {login}\r\n".encode()
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (target.encode("ascii"), headers)


def _length_of_body(head: RawResponseMessage, host: str, max_bytes: int, token: str | None) -> int:
    """How many bytes the host announces, 0 if it does not say.

    :raises RequestFailedError: if what stands before the body tells that there is none to be had.
    """
    status = head.code
    if 200 <= status < 300 and status != 206:
        length = int(head.headers.get("Content-Length", 0))  # the parser accepts nothing but a number
        if length > max_bytes:
            raise _too_large(f"announces {length:,} bytes, more", max_bytes, status)
        tags = head.headers.getall("X-Robots-Tag", ())
        if token is not None and (directive := opt_out(tags, token)):
            detail = f"{host} asks with X-Robots-Tag: {directive} to leave the image alone"
            raise RequestFailedError(ErrorCategory.ROBOTS_REFUSED, detail, status)
        return length
    says = f"{host} answered HTTP {status}"
    raise refused_by_status(status, says, parse_retry_after(head.headers.get("Retry-After")))


def _too_large(what: str, max_bytes: int, status: int) -> RequestFailedError:
    detail = f"the host {what} than max_bytes={max_bytes:,} allows"
    return RequestFailedError(ErrorCategory.TOO_LARGE, detail, status)


def _without_traceback(error: Exception) -> Exception:
    """``error``, which its connection keeps, and no longer what had come of the body, which its traceback keeps.

    Together they go round in a circle, which only the garbage collector would find.
    """
    return error.with_traceback(None)


def _parse_error(connection: ResponseHandler) -> HttpProcessingError | None:
    """Why the body on ``connection`` is not HTTP, which aiohttp tells the connection but not the body's reader."""
    error = connection.exception()
    return error if isinstance(error, HttpProcessingError) else None


def _classify(error: Exception, host: str, status: int | None) -> RequestFailedError:
    """What ``error`` of a request to ``host`` means. Errors that may quote the URL are not quoted."""
    refused = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(refused, AddressRefusedError):
        detail = str(refused)
        if detail.partition(" ")[0].strip("[]") not in host:
            detail = f"{host}: {detail}"
        return RequestFailedError(ErrorCategory.FORBIDDEN_ADDRESS, detail, status)
    category, detail = _meaning(error)
    connected = category not in (ErrorCategory.NAME_NOT_RESOLVED, ErrorCategory.CONNECT_FAILED)
    unanswered = isinstance(error, _UnansweredError)
    return RequestFailedError(category, f"{host}: {detail}", status, connected=connected, unanswered=unanswered)


def _meaning(error: Exception) -> tuple[ErrorCategory, str]:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return ErrorCategory.NAME_NOT_RESOLVED, error.os_error.strerror or "the name has no address"
        case aiohttp.ClientConnectorCertificateError():
            return ErrorCategory.TLS_FAILED, str(error.certificate_error)
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return ErrorCategory.TLS_FAILED, str(error.strerror or error)
        case aiohttp.ClientHttpProxyError():
            return ErrorCategory.CONNECT_FAILED, f"the proxy answered HTTP {error.status} instead of connecting"
        case aiohttp.ClientProxyConnectionError():
            reason = error.os_error.strerror or error.os_error
            return ErrorCategory.CONNECT_FAILED, f"no connection to the proxy ({reason})"
        case aiohttp.ClientConnectorError():
            return ErrorCategory.CONNECT_FAILED, str(error.os_error.strerror or error.os_error)
        case ValueError():  # aiohttp.InvalidURL among them
            return ErrorCategory.INVALID_LINK, "not a valid host name, address or login"
        case aiohttp.ClientPayloadError():
            cause = error.__cause__
            reason = cause.message if isinstance(cause, HttpProcessingError) else ""
            if isinstance(cause, (ContentLengthError, TransferEncodingError)):
                return ErrorCategory.CONNECTION_LOST, f"the body ended too early ({_first_line(reason)})"
            return ErrorCategory.BAD_RESPONSE, f"the body is not valid HTTP ({_first_line(reason)})"
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return ErrorCategory.BAD_RESPONSE, f"the answer is not valid HTTP ({_first_line(error.message)})"
    reason = getattr(error, "strerror", None) or str(error)
    return ErrorCategory.CONNECTION_LOST, f"the connection broke before any answer ({_first_line(reason)})"


def _first_line(message: str) -> str:
    """What a parser says before it quotes the bytes that it stumbled over."""
    return (message.strip().splitlines() or ["no reason given"])[0].rstrip(":.")
