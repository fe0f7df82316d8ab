"""Ports on loopback: which are free, and who listens on them."""

from __future__ import annotations

import socket
from contextlib import suppress

import psutil

HOST = "127.0.0.1"


def free_port(preferred: int = 8080) -> int:
    """``preferred`` when nothing listens there on loopback, else any free port. Another program may take it at once."""
    return preferred if is_free(preferred) else _bind(0)


def is_free(port: int) -> bool:
    """Whether nothing listens on ``port`` on loopback."""
    try:
        _bind(port)
    except OSError:
        return False
    return True


def listen_below(process: psutil.Process, port: int) -> bool:
    """Whether a process that ``process`` or one below it has started listens on ``port``."""
    for child in process.children(recursive=True):
        with suppress(psutil.Error):
            if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in child.net_connections("inet4")):
                return True
    return False


def _bind(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return int(probe.getsockname()[1])
