"""The pages as Airflow mounts them: built at the first request, so that a process that serves none pays nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from threading import Lock
from typing import Any

log = logging.getLogger(__name__)


Scope = MutableMapping[str, Any]
AsgiApp = Callable[[Scope, Any, Any], Awaitable[None]]
"""An application in the form of ASGI: called with a request, a way to receive and a way to send."""


def _build() -> AsgiApp:
    from ocr_airflow.pages.app import build_pages

    return build_pages()


class LazyApp:
    """The pages. They ask Airflow's own modules about rights, so without these they refuse everything.

    :param build: makes the application.
    """

    def __init__(self, build: Callable[[], AsgiApp] = _build) -> None:
        self._build = build
        self._lock = Lock()
        self._app: AsgiApp | None = None

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        app = self._app
        if app is None:
            app = await asyncio.to_thread(self._load)
        await app(scope, receive, send)

    def _load(self) -> AsgiApp:
        with self._lock:
            if self._app is None:
                self._app = self._build_or_refuse()
            return self._app

    def _build_or_refuse(self) -> AsgiApp:
        try:
            return self._build()
        except Exception:
            # Whatever it is, no page is better than one that anybody may see.
            log.exception("the OCR results pages cannot be served by this version of Airflow")
            return _refuse


async def _refuse(scope: Scope, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1011})
        return
    text = b"The OCR results pages cannot be served: the log of the API server says why."
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": text})
