"""Connections to hosts: where they may lead, how long they are kept, and what is sent again when one breaks."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from ocr_pipeline.fetch.addresses import AddressGuard
from ocr_pipeline.fetch.encodings import ACCEPTED
from ocr_pipeline.fetch.http_errors import NoAnswerError
from ocr_pipeline.fetch.lenient import HEAD_BYTES, LenientResponse, lenient_get
from ocr_pipeline.fetch.names import GuardedResolver, SystemResolver
from ocr_pipeline.settings.run import FetchSettings

_DNS_CACHE_SECONDS = 300
_DNS_CACHE_NAMES = 10_000
_RESOLVER_THREADS = 64
# Long enough to be used again by the next link to the host, short enough that a batch over thousands of hosts does
# not run out of file descriptors.
_KEEP_ALIVE_SECONDS = 5
# Lines before a body: a Content-Security-Policy takes tens of kilobytes, and some hosts send hundreds.
_HEAD_LINES = 1000
# Bytes taken from a socket before reading from it pauses; with less, large bodies take many small steps.
_READ_BUFFER = 256 * 1024


@dataclass(slots=True)
class _Request:
    """A request that is being sent, and whether a connection was opened for it."""

    connected: bool = False


_request: ContextVar[_Request] = ContextVar("request")
"""That of the running task; the tasks in which aiohttp connects inherit it."""


class Connections:
    """Keep-alive connections, which are made only where ``guard`` lets them.

    A host may close a connection that it kept alive just when the next request is sent. Such a request, of which no
    answer came, is sent once more on a connection of its own; to whoever asked, both are one. Nothing else is
    repeated, and no redirect followed.

    Use it as an asynchronous context manager. ``resolver`` and ``tls`` replace the system's resolver and
    certificate authorities.
    """

    def __init__(
        self,
        settings: FetchSettings,
        guard: AddressGuard,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._resolver = resolver
        self._tls = tls

    async def __aenter__(self) -> Self:
        resolver = self._resolver or SystemResolver(min(self._settings.concurrency, _RESOLVER_THREADS))
        self._guarded = GuardedResolver(resolver, self._guard)
        self._kept_alive = self._open_session(keep=True)
        self._used_once = self._open_session(keep=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._kept_alive.close()
        await self._used_once.close()
        await self._guarded.close()

    async def get(self, url: URL, headers: Mapping[str, str], proxy: URL | None) -> aiohttp.ClientResponse:
        """Request ``url``; what is returned has a head, and its body is still to come."""
        request = _Request()
        _request.set(request)
        try:
            return await self._kept_alive.get(url, headers=headers, proxy=proxy, allow_redirects=False)
        except NoAnswerError:
            if request.connected:
                raise
        return await self._used_once.get(url, headers=headers, proxy=proxy, allow_redirects=False)

    def get_leniently(self, url: URL, headers: Mapping[str, str]) -> AbstractAsyncContextManager[LenientResponse]:
        """Request ``url`` of a host whose answers are not quite HTTP, on a connection of its own."""
        return lenient_get(url, self._headers | dict(headers), self._guarded, self._guard.socket, self._tls)

    @property
    def _headers(self) -> dict[str, str]:
        return {
            "User-Agent": self._settings.user_agent,
            "Accept": "image/*,*/*;q=0.1",
            "Accept-Encoding": ACCEPTED,
        }

    def _open_session(self, *, keep: bool) -> aiohttp.ClientSession:
        settings = self._settings
        connector = aiohttp.TCPConnector(
            limit=0,  # the caller and the hosts' limits say how many; waiting here would count as connecting
            keepalive_timeout=_KEEP_ALIVE_SECONDS if keep else None,
            force_close=not keep,
            ttl_dns_cache=_DNS_CACHE_SECONDS,
            dns_cache_max_size=_DNS_CACHE_NAMES,
            resolver=self._guarded,
            socket_factory=self._open_socket,
            ssl=self._tls or True,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            auto_decompress=False,  # done here, for more codings and less strictly
            timeout=aiohttp.ClientTimeout(
                total=None, connect=settings.connect_timeout, sock_read=settings.read_timeout
            ),
            read_bufsize=_READ_BUFFER,
            max_line_size=HEAD_BYTES,
            max_field_size=HEAD_BYTES,
            max_headers=_HEAD_LINES,
            middlewares=[_send_once],
        )

    def _open_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        # aiohttp asks here for the socket of every connection that it makes, and for none when it uses one again. Its
        # own signal for that, of a TraceConfig, would cost a tenth of a request.
        _request.get().connected = True
        return self._guard.socket(address)


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep the session from repeating a request on its own, which may take another connection that has gone stale."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError):
        raise
    except aiohttp.ClientConnectionError as error:
        raise NoAnswerError(_reason(error)) from error


def _reason(error: aiohttp.ClientConnectionError) -> str:
    if isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str):
        return "it was closed in the midst of the head"  # aiohttp gives what came of that, which is not to be shown
    return getattr(error, "strerror", None) or str(error)
