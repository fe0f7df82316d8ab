"""Memory that batches have set aside, so that those of one container together take no more than it has."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

log = logging.getLogger(__name__)

_SUFFIX = ".bytes"
_UNKNOWN = (
    "batches that are read here at the same time may take more memory than there is, as none knows of another: %s"
)


class Claim:
    """What a batch has set aside. It holds until it is left, or until its process ends, however that is."""

    def __init__(self, amount: int, folder: Path) -> None:
        descriptor, path = tempfile.mkstemp(_SUFFIX, dir=folder)
        self._give_back = weakref.finalize(self, _remove, Path(path), descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, b"%d" % amount)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._give_back()


class Claims:
    """What the batches of a container have set aside, for as long as none can set more aside.

    :ivar others: bytes.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.others = sum(_claimed(folder)) if folder else 0

    def add(self, amount: int) -> Claim | None:
        """Set so many bytes aside. None where no batch knows of another."""
        try:
            return Claim(amount, self._folder) if self._folder else None
        except OSError as error:
            log.warning(_UNKNOWN, error)
            return None


def claims_folder() -> Path:
    """Where batches of this user and container say what they have set aside."""
    return Path(tempfile.gettempdir()) / f"ocr-memory-{os.getuid()}"


@contextmanager
def open_claims(folder: Path | None = None) -> Iterator[Claims]:
    """What batches have set aside, and nobody else sets aside within the block.

    Where the folder, by default :func:`claims_folder`, cannot be used, or others may write there, a warning says that
    no batch knows of another.
    """
    try:
        folder = folder or claims_folder()
        descriptor = _hold(folder)
    except OSError as error:
        log.warning(_UNKNOWN, error)
        yield Claims(None)
        return
    try:
        yield Claims(folder)
    finally:
        os.close(descriptor)


def _hold(folder: Path) -> int:
    """Make ``folder`` and lock it until the descriptor that this gives is closed."""
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        if facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o022:
            raise PermissionError(f"others may write to {folder}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _claimed(folder: Path) -> Iterator[int]:
    """The bytes of each claim that holds. The files of others, whose processes were killed, are removed."""
    for path in folder.glob(f"*{_SUFFIX}"):
        try:
            file = path.open("rb")
        except FileNotFoundError:  # it was left at this moment
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield int(file.read() or b"0")
            else:
                path.unlink(missing_ok=True)


def _remove(path: Path, descriptor: int) -> None:
    # While it is locked, so that nobody else takes it for one of a process that was killed.
    path.unlink(missing_ok=True)
    os.close(descriptor)
