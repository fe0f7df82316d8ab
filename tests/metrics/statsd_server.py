"""A StatsD server on loopback that takes only what the protocol allows.

The protocol: https://github.com/statsd/statsd/blob/master/docs/metric_types.md, with tags as InfluxDB's Telegraf has
them, which Airflow sends on request.
"""

from __future__ import annotations

import re
import secrets
import socket
import threading
from types import TracebackType
from typing import Self

from ocr_pipeline.metrics import Kind
from tests.metrics.samples import Sample

_PART = r"[A-Za-z0-9_/-]+"
_LINE = re.compile(
    rf"(?P<name>{_PART}(?:\.{_PART})*)(?P<tags>(?:,[a-z_]+=[^,=:|\s]+)*)"
    r":(?P<value>-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)\|(?P<type>c|g|ms)(?:\|@(?P<rate>0?\.[0-9]+))?"
)
_KINDS = {"c": Kind.COUNTER, "g": Kind.GAUGE, "ms": None}
_DATAGRAM = 1432
"""Bytes that the protocol's description gives a datagram on an intranet."""


class StatsdServer:
    """Keeps what it is sent. A context manager."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._lines: list[str] = []
        self._heard = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._socket.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._send("")
        self._thread.join()
        self._socket.close()

    def lines(self) -> list[str]:
        """Everything that was sent before this was called."""
        mark = f"mark.{secrets.token_hex(8)}:1|c"
        self._send(mark)  # datagrams on loopback come in order
        with self._heard:
            assert self._heard.wait_for(lambda: mark in self._lines, 30)
            return [line for line in self._lines if not line.startswith("mark.")]

    def samples(self, prefix: str) -> list[Sample]:
        """What was sent so far under names with ``prefix``."""
        return [parse(line) for line in self.lines() if line.startswith(prefix)]

    def _send(self, text: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(text.encode(), ("127.0.0.1", self.port))

    def _listen(self) -> None:
        while data := self._socket.recv(1 << 16):
            lines = data.decode().split("\n") if len(data) <= _DATAGRAM else [f"a datagram of {len(data)} bytes"]
            with self._heard:
                self._lines += lines
                self._heard.notify_all()


def parse(line: str) -> Sample:
    """The value in a line.

    :raises ValueError: when it is not what the protocol allows.
    """
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"no line of StatsD: {line!r}")
    tags = [tag.partition("=") for tag in found["tags"].split(",")[1:]]
    if len({name for name, _, _ in tags}) < len(tags):
        raise ValueError(f"a tag is there twice: {line!r}")
    pairs = frozenset((name, value) for name, _, value in tags)
    return Sample(found["name"], pairs, _KINDS[found["type"]], float(found["value"]))
