"""A real HTTP proxy on loopback: it forwards, tunnels, asks for a password and refuses."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class ProxyServer:
    """A proxy in a thread of its own that leads every name to ``upstream``, a port of 127.0.0.1.

    Answers CONNECT with ``tunnel_status``, any but 200 being its last word. ``requests`` holds the first line of
    each request, ``credentials`` what its Proxy-Authorization said.
    """

    def __init__(self, upstream: int, tunnel_status: int = 200) -> None:
        self.requests: list[str] = []
        self.credentials: list[str | None] = []
        self.port = 0
        self._upstream = upstream
        self._tunnel_status = tunnel_status
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def address(self) -> str:
        """Host and port, as an allowance names them."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the proxy did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._exchange(reader, writer)
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, _, rest = head.partition("\r\n")
        headers = dict(line.split(": ", 1) for line in rest.strip().split("\r\n"))
        self.requests.append(first)
        self.credentials.append(headers.get("Proxy-Authorization"))
        method, target, version = first.split(" ")
        if method == "CONNECT":
            writer.write(f"HTTP/1.1 {self._tunnel_status} Whatever\r\n\r\n".encode())
            if self._tunnel_status != 200:
                return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        if method != "CONNECT":
            path = "/" + target.split("/", 3)[3]
            far_writer.write(f"{method} {path} {version}\r\n{rest}".encode("latin-1"))
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
