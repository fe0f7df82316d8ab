"""No way out of this machine, for tests of links that may name a real host."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_blocks: list[list[object]] = []


@contextmanager
def offline() -> Iterator[list[object]]:
    """Refuse every connection of this process within the block; gives the addresses that were to be connected to."""
    _watch_connections()
    addresses: list[object] = []
    _blocks.append(addresses)
    try:
        yield addresses
    finally:
        _blocks.remove(addresses)


@cache
def _watch_connections() -> None:
    """Have Python itself ask before it connects a socket, once and for good, as its audit hooks stay."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect" and _blocks:
        _blocks[-1].append(arguments[1])
        raise ConnectionRefusedError(errno.ECONNREFUSED, "offline")
