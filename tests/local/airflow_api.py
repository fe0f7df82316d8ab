"""A stand-in for Airflow's REST API on loopback: variables and runs, and failures on request."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit


class AirflowServer:
    """A context manager for the time it serves.

    :param latency: seconds that each answer takes.
    """

    def __init__(self, latency: float = 0.0) -> None:
        self.variables: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, str] = {}
        self.xcoms: dict[tuple[str, str], str] = {}
        self.tasks: list[dict[str, Any]] = [{"task_id": "plan", "map_index": -1, "state": "success", "try_number": 1}]
        self.log: list[tuple[str, str]] = []
        self.tokens: list[str] = []
        self.ends_as = "success"
        self.failure: Callable[[str, str], int | None] = lambda method, path: None
        self.lock = threading.Lock()
        self._latency = latency

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def do_PATCH(self) -> None:
                self._answer()

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = urlsplit(self.path).path.removeprefix("/api/v2/").removeprefix("/")
                time.sleep(server._latency)
                with server.lock:
                    server.log.append((self.command, path))
                    authorised = (self.headers.get("Authorization") or "").removeprefix("Bearer ") in server.tokens
                    status, answer = server.answer(self.command, path, json.loads(body or b"null"), authorised)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked(self, method: str) -> list[str]:
        """The paths that were asked for with ``method``."""
        return [path for known, path in self.log if known == method and path != "auth/token"]

    def answer(self, method: str, path: str, body: Any, authorised: bool) -> tuple[int, Any]:
        """The status and content of the answer to a request."""
        if status := self.failure(method, path):
            return status, {"detail": f"told to say {status}"}
        if path == "auth/token":
            self.tokens.append(secrets.token_hex())
            return 201, {"access_token": self.tokens[-1]}
        if not authorised:
            return 401, {"detail": "Invalid JWT token"}
        match method, path.split("/"):
            case "GET", ["variables", key]:
                return (200, self.variables[key]) if key in self.variables else (404, {"detail": "not found"})
            case "PATCH", ["variables", key]:
                if key not in self.variables:
                    return 404, {"detail": "not found"}
                self.variables[key]["value"] = body["value"]
                return 200, self.variables[key]
            case "POST", ["variables"]:
                self.variables[body["key"]] = {"description": None, **body}
                return 201, body
            case "POST", ["dags", _, "dagRuns"]:
                if body["dag_run_id"] in self.runs:
                    return 409, {"detail": "there is such a run"}
                self.runs[body["dag_run_id"]] = self.ends_as
                return 200, body
            case "GET", ["dags", _, "dagRuns", run]:
                return (200, {"state": self.runs[run]}) if run in self.runs else (404, {"detail": "not found"})
            case "PATCH", ["dags", _, "dagRuns", run]:
                self.runs[run] = body["state"]
                return 200, body
            case "GET", ["dags", _, "dagRuns", _, "taskInstances"]:
                return 200, {"task_instances": self.tasks, "total_entries": len(self.tasks)}
            case "GET", ["dags", _, "dagRuns", run, "taskInstances", _, "xcomEntries", key]:
                found = self.xcoms.get((run, key))
                return (200, {"value": found}) if found is not None else (404, {"detail": "not found"})
        return 404, {"detail": f"{method} {path}"}
