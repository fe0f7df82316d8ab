"""A server of images of one pixel, no two alike, one process of it: ``python -m benchmarks.overhead.server``.

Listens on a free port of 127.0.0.1, prints it, and serves until its standard input closes. The path ``/NUMBER.png``
is answered with a PNG whose pixel has that number as its colour. Connections are kept alive.
"""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


_BEFORE = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
_AFTER = _chunk(b"IEND", b"")


def draw_pixel(number: int) -> bytes:
    """A PNG of one pixel with the colour ``number``, below 2^24."""
    return _BEFORE + _chunk(b"IDAT", zlib.compress(b"\0" + number.to_bytes(3, "big"), 1)) + _AFTER


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while b"\r\n\r\n" in self._unread:
            head, _, self._unread = self._unread.partition(b"\r\n\r\n")
            body = draw_pixel(int(head.split(b" ", 2)[1][1:-4]))
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(body)
            self._transport.write(answer + body)


async def serve() -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def pixel_server() -> Iterator[tuple[int, psutil.Process]]:
    """The port and the process of a running server."""
    command = [sys.executable, "-m", "benchmarks.overhead.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), psutil.Process(process.pid)
        process.communicate()


if __name__ == "__main__":
    asyncio.run(serve())
