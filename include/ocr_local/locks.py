"""What commands of one home hold while they live. A lock goes with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def _nothing() -> None:
    """Say nothing of having to wait."""


@contextmanager
def exclusive(path: Path, waiting: Callable[[], None] = _nothing) -> Iterator[None]:
    """Wait until nobody else is in such a block for ``path``, a file that is made and stays.

    :param waiting: called before waiting, if there is somebody to wait for.
    """
    with _holding(path, fcntl.LOCK_EX, waiting):
        yield


@contextmanager
def shared(path: Path, waiting: Callable[[], None] = _nothing) -> Iterator[None]:
    """Wait until nobody is in an :func:`exclusive` block for ``path``, and keep others from entering one."""
    with _holding(path, fcntl.LOCK_SH, waiting):
        yield


@contextmanager
def exclusive_at_once(path: Path) -> Iterator[bool]:
    """As :func:`exclusive`, or give False where that would have to wait."""
    descriptor = _locked(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


class RunMarks:
    """The runs that commands have under way: a file of ``folder`` for each, locked by its command."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def holding(self, run_id: str) -> Iterator[bool]:
        """Hold a run for the time of the block, or give False when another command holds it.

        When the block raises, the file stays, so that :meth:`left` gives the run.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / run_id
        with exclusive_at_once(path) as ours:
            yield ours
            if ours:
                path.unlink()

    def left(self) -> Iterator[str]:
        """The runs that no command holds any more; each is held, and forgotten when the next is asked for."""
        for path in sorted(self._folder.glob("*")):
            with exclusive_at_once(path) as ours:
                if ours:
                    yield path.name
                    path.unlink()


@contextmanager
def _holding(path: Path, kind: int, waiting: Callable[[], None]) -> Iterator[None]:
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _locked(path: Path) -> int | None:
    """The descriptor that locks the file at ``path``; None when another process has one."""
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # who held it before has removed it
