"""Answers that several processes need and one of them asks for, shared in a folder that all of them see."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from ocr_pipeline.errors import StorageError
from ocr_pipeline.storage.folders import Folder, StoredFile

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_THREADS = 4
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 1.0


class SharedAnswers:
    """Answers in ``folder``, each asked for by the first who needs it, while the others wait for it.

    Whoever asks and does not say within ``patience`` what came of it is taken to be gone, and another one asks. Where
    the folder cannot be used, each asks for itself.

    :param patience: how long asking may take, in seconds.
    :param lifetime: how long an answer is good for, in seconds.
    """

    def __init__(self, folder: Folder, patience: float, lifetime: float) -> None:
        self._folder = folder
        self._patience = patience
        self._lifetime = lifetime
        self._owner = secrets.token_hex(8)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="shared-answers")
        self._usable = True

    def close(self) -> None:
        """Wait for nothing: a folder that hangs must not hang the task as well."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def get(self, question: str, ask: Callable[[], Awaitable[bytes]]) -> bytes:
        """The answer to ``question``: the one that is there, or what ``ask`` gives.

        :raises Exception: what ``ask`` raises. That is not shared: the next who needs the answer asks.
        """
        answer = self._folder.file(hashlib.sha256(question.encode()).hexdigest())
        found = await self._find_or_claim(answer)
        if isinstance(found, bytes):
            return found
        try:
            content = await ask()
            await self._try(answer.write_bytes, f"{time.time()}\n".encode() + content)
        except Exception:
            await self._release(found)
            raise
        await self._release(found)
        return content

    async def _find_or_claim(self, answer: StoredFile) -> bytes | StoredFile | None:
        """The answer, or else what says that this process asks for it; None where the folder cannot be used."""
        turn = 0
        pause = _FIRST_PAUSE
        while True:
            looked = await self._try(self._look, answer, self._folder.file(f"{answer.name}.asked-{turn}"))
            if not isinstance(looked, float):
                return looked
            if looked <= 0:  # whoever asks is gone; of those who have waited, one is next
                turn += 1
                continue
            await asyncio.sleep(min(pause, looked))
            pause = min(_LONGEST_PAUSE, 2 * pause)

    def _look(self, answer: StoredFile, claim: StoredFile) -> bytes | StoredFile | float:
        """The answer if it is there; the ``claim`` if it could be made; else how long to wait for who made it."""
        if (found := self._read(answer)) is not None:
            return found
        if claim.create_bytes(json.dumps([self._owner, time.time()]).encode()):
            # It may have come between the two; then the claim of who has asked is gone.
            if (found := self._read(answer)) is not None:
                claim.delete()
                return found
            return claim
        try:
            owner, since = json.loads(claim.read_bytes())
        except FileNotFoundError:
            return _FIRST_PAUSE
        except ValueError:  # what a machine left that lost its power
            return 0.0
        if owner == self._owner:  # the store's answer to our first attempt was lost
            return claim
        age = time.time() - since
        return self._patience - age if age > -self._patience else 0.0  # clocks differ, but not by that much

    def _read(self, answer: StoredFile) -> bytes | None:
        """The answer, if it is there and still good."""
        try:
            since, _, content = answer.read_bytes().partition(b"\n")
            return content if time.time() - float(since) < self._lifetime else None
        except (FileNotFoundError, ValueError):
            return None

    async def _release(self, claim: StoredFile | None) -> None:
        """Let others ask. Where that fails, and where this process ends first, they do when patience ends."""
        if claim:
            await self._try(claim.delete)

    async def _try(self, function: Callable[..., Result], *arguments: object) -> Result | None:
        """What ``function`` gives, called in a thread; None from when on the folder could not be used."""
        if not self._usable:
            return None
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *arguments))
        except StorageError as error:
            log.warning("%s. What other batches have asked for is asked for again", error)
            self._usable = False
            return None
