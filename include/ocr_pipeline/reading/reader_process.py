"""The process that reads images for a batch: bytes in, rows out, and nothing else.

``python -m ocr_pipeline.reading.reader_process DESCRIPTOR PARENT`` is what :class:`ocr_pipeline.reading.reader.Reader`
starts. It holds the engine and its threads. Whatever a file or a library does to it, the batch goes on: it may crash,
hang or be killed at any moment, and loses only what it was reading. It ends when its parent does.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from ocr_pipeline.errors import EngineError
from ocr_pipeline.images.preview import encode_preview
from ocr_pipeline.ocr import Engine
from ocr_pipeline.ocr.cache import when_compiling
from ocr_pipeline.reading.choosing import wants_preview
from ocr_pipeline.reading.memory import data_bytes
from ocr_pipeline.reading.messages import Facts, pack, receive_all, row_facts, to_image
from ocr_pipeline.reading.pages import read_pages
from ocr_pipeline.records import FetchedImage, Page
from ocr_pipeline.settings.run import Previews, ReadSettings

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_KILLED_FIRST = "1000"
_ADDRESSES_A_THREAD = 1 << 30
"""Bytes of addresses that a thread's networks set aside, as they come, besides what they use (measured)."""

_PROBE_SHAPE = (64, 256, 3)


def main(descriptor: int, parent: int) -> None:
    """Read what comes over the socket ``descriptor`` until it is closed, as a child of the process ``parent``."""
    _end_with(parent)
    _be_killed_first()
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides when this process ends
        signal.signal(number, signal.SIG_IGN)
    connection = _Connection(socket.socket(fileno=descriptor))
    messages = connection.messages
    start, _ = next(messages)
    logging.basicConfig(level=start["log_level"], format="%(message)s", handlers=[_LogHandler(connection)])
    settings = ReadSettings.parse(start["settings"])
    when_compiling(lambda: connection.send({"kind": "compiling"}))
    try:
        engine = _load(start["engine"])(settings)
        if start["probe"]:
            engine.read(Page(0, np.full(_PROBE_SHAPE, 255, np.uint8)))
    except EngineError as error:
        connection.send({"kind": "failed", "error": type(error).__name__, "reason": str(error)})
        return
    if start["memory"] is not None:
        _limit_data(start["memory"] + engine.threads * _ADDRESSES_A_THREAD)
    connection.send({"kind": "ready", "threads": engine.threads})
    with ThreadPoolExecutor(engine.threads, thread_name_prefix="ocr") as threads:
        for facts, body in messages:
            threads.submit(_read, to_image(facts, body), engine, settings, start["previews"], connection)
            del body
        threads.shutdown(wait=False, cancel_futures=True)
    engine.close()


def _read(
    image: FetchedImage, engine: Engine, settings: ReadSettings, previews: Previews, connection: _Connection
) -> None:
    """Read ``image`` in a thread, telling of each page when it is begun and when it is read."""
    row = image.ref.row
    try:
        for read, page in read_pages(image, engine, settings, lambda page: connection.send(_begun(row, page))):
            picture = encode_preview(page.pixels) if page and wants_preview(previews, read) else b""
            connection.send({"kind": "page", "row": row, "read": row_facts(read)}, picture)
        connection.send({"kind": "done", "row": row})
    except OSError:
        pass  # the parent is gone, and this process goes with it
    except BaseException:
        # A defect of ours: nobody would learn of it in this thread, and the batch would wait for ever.
        logging.getLogger(__name__).critical("reading row %d failed", row + 1, exc_info=True)
        os._exit(os.EX_SOFTWARE)


def _begun(row: int, page: int) -> Facts:
    return {"kind": "begun", "row": row, "page": page}


def _load(entry: str) -> Callable[[ReadSettings], Engine]:
    """What ``module:name`` stands for."""
    module, _, name = entry.partition(":")
    load: Callable[[ReadSettings], Engine] = getattr(importlib.import_module(module), name)
    return load


class _Connection:
    """This end of the socket. Threads may send at the same time."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._sending = threading.Lock()
        self.messages = receive_all(end.makefile("rb"))

    def send(self, facts: Facts, body: bytes = b"") -> None:
        """Send a message.

        :raises OSError: when the other end is gone.
        """
        with self._sending:
            self._socket.sendall(pack(facts, len(body)) + body)


class _LogHandler(logging.Handler):
    """Has the parent log what is logged here, where the task's own log is."""

    def __init__(self, connection: _Connection) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        """Send ``record``."""
        with suppress(OSError):
            text = self.format(record)
            self._connection.send({"kind": "log", "level": record.levelno, "name": record.name, "text": text})


def _end_with(parent: int) -> None:
    """Have the kernel end this process when ``parent`` ends, also while a library holds the interpreter's lock."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(os.EX_OK)


def _limit_data(memory: int) -> None:
    """Let allocations fail that go beyond what is there now by more than ``memory`` bytes.

    This is a backstop for the parent, which watches what is really used once a second. The limit is one of addresses,
    of which libraries set aside more than they use, so it counts from where they are once the engine is loaded.
    """
    if data := data_bytes():
        resource.setrlimit(resource.RLIMIT_DATA, (data + memory, resource.RLIM_INFINITY))


def _be_killed_first() -> None:
    """Be what the kernel kills first when memory runs out: the parent finds out which image it was."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_KILLED_FIRST)


if __name__ == "__main__":
    with suppress(StopIteration, OSError):
        main(int(sys.argv[1]), int(sys.argv[2]))
    # What libraries do when an interpreter ends is nobody's concern any more, and some crash over it.
    sys.stderr.flush()
    os._exit(os.EX_OK)
