"""A proxy in front of a server that speaks S3, which fails chosen requests in the ways that stores fail."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "server", "date")


class Fault(Enum):
    """What becomes of a request."""

    SERVER_ERROR = auto()
    """500, as for an internal error."""
    BUSY = auto()
    """503, as Amazon asks to slow down."""
    REFUSED = auto()
    """403."""
    RESET = auto()
    """The connection breaks before the store has the request."""
    ANSWER_LOST = auto()
    """The store does it, and the connection breaks before it can say so."""
    CUT_SHORT = auto()
    """The answer's body breaks off in the middle."""
    LATE = auto()
    """The store does it, and takes longer than a request of a test may."""
    SLOW = auto()
    """The answer takes longer than any client of a test waits."""


_STATUSES = {Fault.SERVER_ERROR: 500, Fault.BUSY: 503, Fault.REFUSED: 403}
_SLOW_SECONDS = 3.0
_LATE_SECONDS = 1.5


@dataclass(frozen=True)
class StoreRequest:
    """A request that arrived; ``count`` is how often one with this method and path has."""

    method: str
    path: str
    count: int

    @property
    def changes(self) -> bool:
        """Whether it changes what the store holds."""
        return self.method != "GET" and self.method != "HEAD"


Judge = Callable[[StoreRequest], Fault | None]


class FaultyStore:
    """The proxy, at :attr:`url`, while in its ``with`` block.

    :param endpoint: URL of the server behind it.
    :param port: where it listens; 0 for any that is free.
    :ivar judge: says what becomes of each request; called by one thread at a time.
    :ivar faults: what it said, counted.
    """

    def __init__(self, endpoint: str, judge: Judge = lambda _: None, port: int = 0) -> None:
        self.judge = judge
        self.faults: Counter[Fault] = Counter()
        self._address = urlsplit(endpoint).netloc
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_any(self) -> None:
                proxy._handle(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_any  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        with self._lock:
            target = (handler.command, handler.path)
            self._counts[target] += 1
            fault = self.judge(StoreRequest(*target, self._counts[target]))
            if fault:
                self.faults[fault] += 1
        try:
            self._answer(handler, body, fault)
        except OSError:  # the client is gone, or was killed
            handler.close_connection = True

    def _answer(self, handler: BaseHTTPRequestHandler, body: bytes, fault: Fault | None) -> None:
        if fault is Fault.SLOW:
            time.sleep(_SLOW_SECONDS)
        if fault in (Fault.RESET, Fault.SLOW):
            _reset(handler)
            return
        if fault in _STATUSES:
            content = b"<Error><Code>Fault</Code><Message>asked for</Message></Error>"
            self._send(handler, _STATUSES[fault], [], content, len(content))
            return
        status, headers, content, length = self._forward(handler, body)
        if fault is Fault.ANSWER_LOST:
            _reset(handler)
            return
        if fault is Fault.LATE:
            time.sleep(_LATE_SECONDS)
        if fault is Fault.CUT_SHORT:
            content = content[: len(content) // 2]
        self._send(handler, status, headers, content, length)
        if fault is Fault.CUT_SHORT:
            _reset(handler)

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes, int]:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            connection.request(handler.command, handler.path, body or None, dict(handler.headers.items()))
            answer = connection.getresponse()
            content = answer.read()
            length = int(answer.getheader("Content-Length") or len(content))
            return answer.status, answer.getheaders(), content, length
        finally:
            connection.close()

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        headers: list[tuple[str, str]],
        content: bytes,
        length: int,
    ) -> None:
        handler.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)


def _reset(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
