"""A running reader process as a batch sees it: starting and ending it, and the socket to it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Self

from ocr_pipeline.reading.messages import HEADER_BYTES, Facts, pack, sizes, unpack

_END_SECONDS = 10.0
_MOST_BODY = 16 << 20  # a picture of a page takes a hundredth of that

# Looking for plugins through all that is installed takes a tenth of what the process imports.
_ENVIRONMENT = {"PYDANTIC_DISABLE_PLUGINS": "1"}


class Child:
    """A reader process that runs, and the socket to it."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._killed = ""

    @classmethod
    async def start(cls) -> Self:
        """Start one."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = ["-m", "ocr_pipeline.reading.reader_process", str(theirs.fileno()), str(os.getpid())]
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                env=os.environ | _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(process, reader, writer)

    @property
    def number(self) -> int:
        """The number of the process."""
        return self._process.pid

    def send(self, facts: Facts, body: bytes = b"") -> None:
        """Send a message. That it cannot be had any more shows when :meth:`messages` end."""
        self._writer.write(pack(facts, len(body)))
        self._writer.write(body)

    async def messages(self) -> AsyncIterator[tuple[Facts, bytes]]:
        """What the process says, each message with its body, until it ends.

        :raises ValueError: when it is not what was agreed.
        """
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                size, body_size = sizes(await self._reader.readexactly(HEADER_BYTES))
                if body_size > _MOST_BODY:
                    raise ValueError("a body that is too large")
                yield unpack(await self._reader.readexactly(size)), await self._reader.readexactly(body_size)

    async def how_it_ended(self) -> str:
        """How the process ended, as what comes after its name; waits for that."""
        try:
            code = await asyncio.wait_for(self._process.wait(), _END_SECONDS)
        except TimeoutError:
            await self.kill("closed its connection")
            code = 0
        if self._killed:
            return self._killed
        if code == -signal.SIGKILL:
            return "was killed from outside (SIGKILL), perhaps for lack of memory,"
        return f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended with exit status {code}"

    async def kill(self, why: str = "") -> None:
        """End the process now, if it runs; ``why``, as :meth:`how_it_ended` is to tell it."""
        self._killed = self._killed or why
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._writer.close()
