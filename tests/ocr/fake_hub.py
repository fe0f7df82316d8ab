"""A model hub on loopback, with as much of Hugging Face's HTTP interface as its own client needs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """``url`` is its address; ``downloads`` counts how often each file was fetched, as ``REPOSITORY/FILE``."""

    def __init__(self, url: str, repositories: Mapping[str, Mapping[str, bytes]]) -> None:
        self.url = url
        self.repositories = repositories
        self.downloads: Counter[str] = Counter()


@contextmanager
def fake_hub(repositories: Mapping[str, Mapping[str, bytes]]) -> Iterator[FakeHub]:
    """Serve ``repositories``: the files of each by name, below the organisation PaddlePaddle."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/":
                return self.reply(200, b"")
            if path.startswith("/api/models/PaddlePaddle/"):
                name, _, rest = path.removeprefix("/api/models/PaddlePaddle/").partition("/")
                if name not in hub.repositories:
                    return self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
                return self.describe(name, rest)
            name, _, rest = path.removeprefix("/PaddlePaddle/").partition("/")
            file = rest.removeprefix(f"resolve/{_COMMIT}/")
            body = hub.repositories[name][file]
            if self.command == "GET":
                hub.downloads[f"{name}/{file}"] += 1
            digest = hashlib.sha256(body).hexdigest()
            return self.reply(200, body, {"ETag": f'"{digest}"', "X-Repo-Commit": _COMMIT})

        def describe(self, name: str, rest: str) -> None:
            files = hub.repositories[name]
            if rest.startswith("tree/"):
                listing: Any = [
                    {"type": "file", "path": file, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
                    for file, body in files.items()
                ]
            else:
                listing = {
                    "id": f"PaddlePaddle/{name}",
                    "sha": _COMMIT,
                    "siblings": [{"rfilename": file} for file in files],
                }
            self.reply(200, json.dumps(listing).encode(), {"Content-Type": "application/json"})

        def reply(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Nothing: the test's output is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = FakeHub(f"http://127.0.0.1:{server.server_port}", repositories)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
