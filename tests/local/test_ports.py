"""Ports of the local Airflow: those that others have, and who listens."""

from __future__ import annotations

import socket
import subprocess
import sys

import psutil

from ocr_local.ports import HOST, free_port, is_free, listen_below

LISTEN = f"""
import socket, sys
with socket.create_server(("{HOST}", 0)) as server:
    print(server.getsockname()[1], flush=True)
    sys.stdin.read()
"""


def test_a_port_that_another_has_is_not_taken() -> None:
    with socket.create_server((HOST, 0)) as other:
        taken = other.getsockname()[1]
        assert not is_free(taken)
        assert free_port(taken) != taken
    assert free_port(taken) == taken


def test_who_listens_is_told_from_others() -> None:
    with (
        socket.create_server((HOST, 0)) as other,
        subprocess.Popen(
            [sys.executable, "-c", LISTEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child,
    ):
        assert child.stdout is not None
        port = int(child.stdout.readline())
        assert listen_below(psutil.Process(), port)
        assert not listen_below(psutil.Process(), other.getsockname()[1])  # this process itself is not below it
        assert not listen_below(psutil.Process(child.pid), port)
        child.communicate()
