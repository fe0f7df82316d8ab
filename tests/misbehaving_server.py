"""A real HTTP server on loopback that misbehaves as asked, for tests of whatever fetches from the internet.

The path of a request says what happens to it, its query how: ``server.url("status", code=503, times=2)`` is
answered with 503 twice and with an image from then on; ``odd=1`` has any of them answer in a way that only a lenient
parser reads. A query may stand in the path as well, as in
``/status/code=503/times=2/x.png``, which is how a store is asked for an object. Every request that arrives is kept in
``server.requests``. Requests with the same path and query count together: add ``id=...`` to tell them apart.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import socket
import ssl
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

MEGABYTE = 1_000_000
TLS_HANDSHAKE = b"\x16"


@dataclass(frozen=True)
class Request:
    """A request as it arrived: ``time`` on the monotonic clock, ``peer`` the client's port, headers in lower case.

    ``at_once`` is how many requests the server had to answer then, this one among them.
    """

    target: str
    headers: dict[str, str]
    peer: int
    at_once: int
    time: float = field(default_factory=time.monotonic)


@dataclass
class Exchange:
    """One request and the connection to answer it on; ``count`` is how often this target has been requested."""

    request: Request
    query: dict[str, str]
    count: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def number(self, name: str, default: float) -> float:
        return float(self.query.get(name, default))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: int = 200, **headers: object) -> None:
        lines = [f"HTTP/1.1 {status} Whatever"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += ["X-Odd : what a strict parser refuses"] if "odd" in self.query else []
        await self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def answer(self, body: bytes, status: int = 200, **headers: object) -> None:
        await self.head(status, Content_Length=len(body), **headers)
        await self.send(body)

    def reset(self) -> None:
        """Close the connection with a TCP reset rather than an orderly end."""
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class HangUpError(Exception):
    """Raised by a behaviour after which the connection is of no use."""


Behaviour = Callable[[Exchange], Awaitable[None]]


def unquoted(target: str) -> tuple[str, list[tuple[str, str]]]:
    """Path and query of ``target``, however a client has quoted them."""
    parts = urlsplit(target)
    return parts.path, parse_qsl(parts.query)


def body_of(size: int, seed: str = "") -> bytes:
    """``size`` bytes that ``seed`` determines."""
    block = hashlib.sha512(seed.encode()).digest()
    return (block * (size // len(block) + 1))[:size]


@cache
def gzipped_zeros(size: int) -> bytes:
    """``size`` zeros, compressed a megabyte at a time, so that making them takes no memory to speak of."""
    packer = zlib.compressobj(wbits=31)
    zeros = bytes(MEGABYTE)
    parts = [packer.compress(zeros) for _ in range(size // MEGABYTE)]
    return b"".join(parts) + packer.compress(zeros[: size % MEGABYTE]) + packer.flush()


async def image(exchange: Exchange) -> None:
    """``bytes`` bytes, after ``delay`` seconds, with the X-Robots-Tag ``tag`` and the cookie ``cookie`` if given."""
    await asyncio.sleep(exchange.number("delay", 0))
    names = {"tag": "X_Robots_Tag", "cookie": "Set_Cookie"}
    headers: dict[str, Any] = {names[name]: value for name, value in exchange.query.items() if name in names}
    await exchange.answer(body_of(int(exchange.number("bytes", 1000)), exchange.query.get("id", "")), **headers)


async def crowded(exchange: Exchange) -> None:
    """An image, soon, but after ``delay`` seconds where more than ``room`` requests are to be answered at once."""
    await asyncio.sleep(exchange.number("delay", 1) if exchange.request.at_once > exchange.number("room", 1) else 0.02)
    await exchange.answer(body_of(1000))


async def text(exchange: Exchange) -> None:
    """What ``say`` says."""
    await exchange.answer(exchange.query.get("say", "").encode())


async def status(exchange: Exchange) -> None:
    """The status ``code``, saying ``say``, with ``retry_after`` if given; an image after ``times`` of them."""
    if exchange.count > exchange.number("times", float("inf")):
        await image(exchange)
        return
    headers = {"Retry_After": exchange.query["retry_after"]} if "retry_after" in exchange.query else {}
    say = exchange.query.get("say", "no").encode()
    await exchange.answer(say, int(exchange.number("code", 500)), **headers)


async def redirect(exchange: Exchange) -> None:
    """A redirect to ``to``, with the status ``code``."""
    await exchange.answer(b"", int(exchange.number("code", 302)), Location=exchange.query["to"])


async def redirect_loop(exchange: Exchange) -> None:
    """A redirect to itself."""
    await exchange.answer(b"", 302, Location=exchange.request.target)


async def close_after(exchange: Exchange) -> None:
    """An image, and the end of the connection, which nobody was told of."""
    await image(exchange)
    raise HangUpError


async def silent(exchange: Exchange) -> None:
    """Nothing at all, until the client goes."""
    await exchange.reader.read()
    raise HangUpError


async def slow_headers(exchange: Exchange) -> None:
    """Slow loris turned round: another header every ``pause`` seconds, for ever."""
    await exchange.send(b"HTTP/1.1 200 OK\r\n")
    number = 0
    while True:
        number += 1
        await exchange.send(f"X-{number}: 1\r\n".encode())
        await asyncio.sleep(exchange.number("pause", 0.05))


async def drip(exchange: Exchange) -> None:
    """An image that comes byte by byte, one every ``pause`` seconds, for ever."""
    await exchange.head(Content_Length=MEGABYTE)
    while True:
        await exchange.send(b"x")
        await asyncio.sleep(exchange.number("pause", 0.05))


async def stall(exchange: Exchange) -> None:
    """Half an image of ``bytes`` bytes, then silence."""
    size = int(exchange.number("bytes", 1000))
    await exchange.head(Content_Length=size)
    await exchange.send(bytes(size // 2))
    await silent(exchange)


async def short(exchange: Exchange) -> None:
    """Half of the ``bytes`` bytes that Content-Length promises, then an orderly end."""
    size = int(exchange.number("bytes", 1000))
    await exchange.head(Content_Length=size)
    await exchange.send(bytes(size // 2))
    raise HangUpError


async def long(exchange: Exchange) -> None:
    """More than Content-Length promises."""
    await exchange.head(Content_Length=500)
    await exchange.send(body_of(1000))


async def reset(exchange: Exchange) -> None:
    """Half an image, then a TCP reset."""
    await exchange.head(Content_Length=1000)
    await exchange.send(bytes(500))
    await asyncio.sleep(0.05)  # so that the client sees the half before the reset throws it away
    exchange.reset()
    raise HangUpError


async def reset_at_once(exchange: Exchange) -> None:
    """A TCP reset instead of an answer."""
    exchange.reset()
    raise HangUpError


async def not_http(exchange: Exchange) -> None:
    """An answer in another protocol."""
    await exchange.send(b"220 mail.example ESMTP ready\r\n")
    raise HangUpError


async def garbage_chunks(exchange: Exchange) -> None:
    """A chunked body with a chunk size that is no number, ``pause`` seconds after a good chunk; then silence."""
    await exchange.head(Transfer_Encoding="chunked")
    await exchange.send(b"4\r\nabcd\r\n")
    await asyncio.sleep(exchange.number("pause", 0.05))
    await exchange.send(b"surely not hexadecimal\r\n")
    await silent(exchange)


async def cut_chunks(exchange: Exchange) -> None:
    """A chunked body without its last chunk."""
    await exchange.head(Transfer_Encoding="chunked")
    await exchange.send(b"4\r\nabcd\r\n")
    raise HangUpError


async def reset_chunks(exchange: Exchange) -> None:
    """A chunk, then a TCP reset."""
    await exchange.head(Transfer_Encoding="chunked")
    await exchange.send(b"4\r\nabcd\r\n")
    await asyncio.sleep(0.05)  # so that the client sees the chunk before the reset throws it away
    exchange.reset()
    raise HangUpError


async def chunked(exchange: Exchange) -> None:
    """``bytes`` bytes in chunks, their number not told beforehand."""
    await exchange.head(Transfer_Encoding="chunked")
    data = body_of(int(exchange.number("bytes", 1000)), exchange.query.get("id", ""))
    for start in range(0, len(data), 50_000):
        part = data[start : start + 50_000]
        await exchange.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    await exchange.send(b"0\r\n\r\n")


async def until_close(exchange: Exchange) -> None:
    """``bytes`` bytes that end with the connection."""
    await exchange.head(Content_Type="image/jpeg")
    await exchange.send(body_of(int(exchange.number("bytes", 1000)), exchange.query.get("id", "")))
    raise HangUpError


async def hints(exchange: Exchange) -> None:
    """An image after two answers that are for information only."""
    for _ in range(2):
        await exchange.head(103, Link="</style.css>; rel=preload")
        await asyncio.sleep(0.01)
    await image(exchange)


async def gzipped(exchange: Exchange) -> None:
    """``bytes`` bytes, compressed although nobody asked for it."""
    data = body_of(int(exchange.number("bytes", 1000)), exchange.query.get("id", ""))
    await exchange.answer(gzip.compress(data), Content_Encoding="gzip")


async def bomb(exchange: Exchange) -> None:
    """A small compressed body that unfolds to ``bytes`` zeros."""
    packed = await asyncio.to_thread(gzipped_zeros, int(exchange.number("bytes", 100 * MEGABYTE)))
    await exchange.answer(packed, Content_Encoding="gzip")


async def bad_gzip(exchange: Exchange) -> None:
    """A body that begins as if it were compressed."""
    await exchange.answer(b"\x1f\x8bthis is no gzip stream", Content_Encoding="gzip")


async def page(exchange: Exchange) -> None:
    """An HTML page, whatever the name says."""
    await exchange.answer(b"<!doctype html><title>Hotlinking is not allowed</title>", Content_Type="image/jpeg")


BEHAVIOURS: dict[str, Behaviour] = {
    behaviour.__name__.replace("_", "-"): behaviour
    for behaviour in (
        image, crowded, text, status, redirect, redirect_loop, close_after, silent, slow_headers, drip, stall, short,
        long, reset, reset_at_once, not_http, garbage_chunks, cut_chunks, reset_chunks, chunked, until_close, hints,
        gzipped, bomb, bad_gzip, page,
    )
}  # fmt: skip


class MisbehavingServer:
    """The server, in a thread of its own, on a free port of 127.0.0.1; ``tls`` makes it an HTTPS server.

    ``robots_txt`` is the path and query of which the answer is given for /robots.txt as well.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.robots_txt = "/status?code=404"
        self.port = port
        self.most_at_once = 0
        self.at_once = 0
        self._counts: Counter[str] = Counter()
        self._connections: set[asyncio.Task[None]] = set()
        self._tls = tls
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="misbehaving-server", daemon=True)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self._tls else 'http'}://{self.address}"

    @property
    def address(self) -> str:
        """Host and port, as an allowance names them."""
        return f"127.0.0.1:{self.port}"

    def url(self, behaviour: str, **query: object) -> str:
        """The URL that is answered with ``behaviour``."""
        assert behaviour in BEHAVIOURS, behaviour
        return f"{self.origin}/{behaviour}" + (f"?{urlencode(query)}" if query else "")

    def times(self, url: str) -> list[float]:
        """When ``url`` was requested."""
        wanted = unquoted(url.removeprefix(self.origin))
        return [request.time for request in self.requests if unquoted(request.target) == wanted]

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the server did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, ssl=self._tls, backlog=1000)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:
                await self._exchange(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, HangUpError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(1)
        if first == TLS_HANDSHAKE:  # as web servers do that are spoken to in TLS where they expect none
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            raise HangUpError
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        target = head[0].split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        request = Request(target, headers, writer.get_extra_info("peername")[1], self.at_once + 1)
        self.requests.append(request)
        self._counts[target] += 1
        parts = urlsplit(self.robots_txt if target == "/robots.txt" else target)
        behaviour = BEHAVIOURS.get(parts.path.strip("/").split("/")[0])
        in_path = [part for part in unquote(parts.path).split("/") if "=" in part]
        query = dict(parse_qsl("&".join([parts.query, *in_path])))
        exchange = Exchange(request, query, self._counts[target], reader, writer)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await (behaviour(exchange) if behaviour else exchange.answer(b"", 404))
        finally:
            self.at_once -= 1
