"""A server of images for the benchmark, one process of it: ``python -m benchmarks.fetch.server``.

Listens on a free port of 127.0.0.1, prints it, and serves until its standard input closes. The path says how:
``/RUN/BYTES/MILLISECONDS/PERCENT/NUMBER`` is answered after so many milliseconds with so many bytes; the first
request for a number is answered with HTTP 500 for so many percent of the numbers of a run. Connections are kept
alive unless the client says otherwise.
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import cache

FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


@cache
def answer_of(size: int) -> bytes:
    """A whole answer with a body of ``size`` bytes that compresses no better than an image."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % size + os.urandom(size)


class Connection(asyncio.Protocol):
    """One connection; ``failed`` holds the paths that have been refused once."""

    def __init__(self, failed: set[bytes]) -> None:
        self._failed = failed
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while b"\r\n\r\n" in self._unread:
            head, _, self._unread = self._unread.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            _, _, size, milliseconds, percent, number = path.split(b"/")
            fails = int(number) * int(percent) % 100 < int(percent) and path not in self._failed
            if fails:
                self._failed.add(path)
            answer = FAILED if fails else answer_of(int(size))
            close = b"connection: close" in head.lower()
            if wait := int(milliseconds):
                asyncio.get_running_loop().call_later(wait / 1000, self._send, answer, close)
            else:
                self._send(answer, close)

    def _send(self, answer: bytes, close: bool) -> None:
        self._transport.write(answer)
        if close:
            self._transport.close()


async def serve() -> None:
    """Serve until standard input closes."""
    failed: set[bytes] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(failed), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
