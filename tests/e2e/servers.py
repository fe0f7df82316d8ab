"""A small HTTP server that is not there until it is started, and may hang."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class FileServer:
    """Serves ``folder`` on a fixed loopback port while entered; before that, connections are refused.

    Paths below ``/<hanging>/`` are answered only after :meth:`release`, with the file of that name.
    """

    def __init__(self, folder: Path, hanging: str = "\0") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._folder = folder
        self._hanging = hanging
        self._released = threading.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def release(self) -> None:
        self._released.set()

    def __enter__(self) -> FileServer:
        prefix, released = f"/{self._hanging}/", self._released

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith(prefix):
                    released.wait(300)
                    self.path = "/" + self.path.removeprefix(prefix)
                with suppress(ConnectionError):
                    super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), partial(Handler, directory=str(self._folder)))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
