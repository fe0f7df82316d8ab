"""Serve the demo's images, and its bad ones, over HTTP on loopback.

The server is a process of its own, so that it takes no turn from the Python threads of whoever reads the
images. It ends when its standard input does, and that pipe is held by the process that started it: however
that process ends, the operating system closes the pipe.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from ocr_demo import spoiled

HOST = "127.0.0.1"
STOP_SECONDS = 5.0
"""How long the server gets to end by itself before it is killed."""

_CONTENT_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}


class ImageServer:
    """Context manager: while it is open, ``folder/images`` is served under ``url + "/images/"``.

    :raises RuntimeError: on entering, when the server did not start.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        """``http://127.0.0.1:<port>``, known once the server runs; a port of 0 takes a free one."""

    def __enter__(self) -> Self:
        include = str(Path(__file__).resolve().parents[1])
        search = os.pathsep.join(filter(None, [include, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ocr_demo", str(self._folder), str(self._port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": search},
            # Ctrl-C in a terminal reaches the whole group: the server must outlast the run it serves.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        if not port:
            code = self._process.wait()
            self._close()
            raise RuntimeError(
                f"the demo's image server for {self._folder} did not start (exit status {code}); "
                "its own message stands above"
            )
        self.url = f"http://{HOST}:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def application(folder: Path) -> web.Application:
    """The routes: ``/images/`` from ``folder``, and one for each way in which a host can fail."""
    stopping = asyncio.Event()
    spoiled_bodies = spoiled.bodies()

    async def missing(_: web.Request) -> web.Response:
        return web.Response(status=404, text="there is no such image\n")

    async def gone(_: web.Request) -> web.Response:
        return web.Response(status=410, text="the image was removed\n")

    async def private(_: web.Request) -> web.Response:
        return web.Response(status=403, text="sign in to see this image\n")

    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=500, text="something broke\n")

    async def slow(_: web.Request) -> web.Response:
        await stopping.wait()
        return web.Response(status=503, text="the server is closing\n")

    async def cut_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "image/jpeg", "Content-Length": "50000"})
        await response.prepare(request)
        await response.write(spoiled_bodies["truncated.jpg"][:1000])
        assert request.transport is not None
        request.transport.close()
        return response

    async def loop(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.path)

    async def spoiled_body(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in spoiled_bodies:
            return await missing(request)
        return web.Response(body=spoiled_bodies[name], content_type=_CONTENT_TYPES[Path(name).suffix])

    async def stop(_: web.Application) -> None:
        stopping.set()

    app = web.Application()
    app.on_shutdown.append(stop)
    handlers = {
        "missing": missing,
        "gone": gone,
        "private": private,
        "broken": broken,
        "slow": slow,
        "cut-off": cut_off,
        "loop": loop,
        "spoiled": spoiled_body,
    }
    for name, handler in handlers.items():
        app.router.add_get(f"/{name}/{{name}}", handler)
    app.router.add_static("/images", folder / "images")
    return app


async def serve(folder: Path, port: int) -> None:
    """Serve ``folder`` until standard input ends; the port is printed once requests are accepted."""
    runner = web.AppRunner(application(folder), access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await runner.cleanup()
