"""What an answer to a request brings: a whole body, or where to look instead."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import BinaryIO

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch.budget import Lease
from ocr_pipeline.fetch.deadlines import Deadline
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
    """A body as it comes: hashed, no larger than ``max_bytes``, its bytes set aside with ``lease``.

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
        # Hashed as it comes, so that a large body does not hold up the loop in one go.
        self._digest = hashlib.sha256()

    async def expect(self, size: int) -> None:
        """Prepare for ``size`` bytes, which the sender announces.

        :raises RequestFailedError: TOO_LARGE.
        """
        if size > self._max_bytes:
            raise self._too_large(f"announces {size:,} bytes, more")
        await self._make_room(size)

    async def add(self, part: bytes) -> None:
        """Take the next bytes.

        :raises RequestFailedError: TOO_LARGE.
        """
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
        """All of it, and its SHA-256 in hexadecimal."""
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        return body, self._digest.hexdigest()

    async def _make_room(self, size: int) -> None:
        if self._lease and not self._lease.try_grow(size):
            with self._deadline.paused():
                await self._lease.grow(size)

    def _too_large(self, what: str) -> RequestFailedError:
        detail = f"{self._sender} {what} than max_bytes={self._max_bytes:,} allows"
        return RequestFailedError(ErrorCategory.TOO_LARGE, detail, self._status)
