"""What an answer to a request brings: a whole body, or where to look instead."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch.budget import Lease
from ocr_pipeline.fetch.deadlines import Deadline
from ocr_pipeline.fetch.encodings import BodyDecoder, CodingError
from ocr_pipeline.fetch.failures import RequestFailedError


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole body, or none of it where it was written elsewhere, that began after ``waited`` seconds.

    ``status`` is None where the body is a file's.
    """

    status: int | None
    body: bytes
    sha256: str
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class Redirect:
    """The host says after ``waited`` seconds where to look instead; ``location`` is as the host wrote it."""

    status: int
    location: str
    waited: float


class IncomingBody:
    """A body as it comes: unpacked, hashed, no larger than ``max_bytes``, its bytes set aside with ``lease``.

    The size holds for what a packed body unfolds to.
    Waiting for room does not count as part of the ``deadline``. With a ``sink``, the bytes go there instead.
    ``sender`` and ``status``, of HTTP, are for what is said of a body that is refused.
    """

    def __init__(
        self,
        sender: str,
        status: int,
        max_bytes: int,
        deadline: Deadline,
        lease: Lease | None = None,
        sink: BinaryIO | None = None,
    ) -> None:
        self._sender = sender
        self._status = status
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._lease = lease
        self._sink = sink
        self._parts: list[bytes] = []
        self._size = 0
        self._decoder: BodyDecoder | None = None
        # Hashed as it comes, so that a large body does not hold up the loop in one go.
        self._digest = hashlib.sha256()

    async def expect(self, size: int, encoding: str = "") -> None:
        """Prepare for ``size`` bytes, which the sender announces, packed as its Content-Encoding says.

        :raises RequestFailedError: TOO_LARGE, or BAD_RESPONSE for what nobody packs so.
        """
        if encoding:
            with self._unpacking():
                self._decoder = BodyDecoder(encoding) or None
        if size > self._max_bytes:
            raise self._too_large(f"announces {size:,} bytes, more")
        await self._make_room(size)

    async def add(self, part: bytes) -> None:
        """Take the next bytes.

        :raises RequestFailedError: TOO_LARGE, or BAD_RESPONSE when they are not packed as was said.
        """
        if self._decoder is None:
            await self._add(part)
            return
        with self._unpacking():
            for unfolded in self._decoder.feed(part):
                await self._add(unfolded)

    async def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._max_bytes:
            raise self._too_large("sends more bytes")
        await self._make_room(self._size)
        self._digest.update(part)
        if self._sink is None:
            self._parts.append(part)
        else:
            self._sink.write(part)

    def whole(self) -> tuple[bytes, str]:
        """All of it, and its SHA-256 in hexadecimal.

        :raises RequestFailedError: BAD_RESPONSE, when some of what was packed is missing.
        """
        if self._decoder is not None:
            with self._unpacking():
                self._decoder.finish()
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        return body, self._digest.hexdigest()

    @contextmanager
    def _unpacking(self) -> Iterator[None]:
        try:
            yield
        except CodingError as error:
            detail = f"{self._sender}: {error}"
            raise RequestFailedError(ErrorCategory.BAD_RESPONSE, detail, self._status) from None

    async def _make_room(self, size: int) -> None:
        if self._lease and not self._lease.try_grow(size):
            with self._deadline.paused():
                await self._lease.grow(size)

    def _too_large(self, what: str) -> RequestFailedError:
        detail = f"{self._sender} {what} than max_bytes={self._max_bytes:,} allows"
        return RequestFailedError(ErrorCategory.TOO_LARGE, detail, self._status)
