"""What commands of one home hold while they live. A lock goes with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait until nobody else is in such a block for ``path``, a file that is made and stays."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
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
        descriptor = _locked(path)
        if descriptor is None:
            yield False
            return
        try:
            yield True
            path.unlink()
        finally:
            os.close(descriptor)

    def left(self) -> Iterator[str]:
        """The runs that no command holds any more; each is held, and forgotten when the next is asked for."""
        for path in sorted(self._folder.glob("*")):
            descriptor = _locked(path)
            if descriptor is None:
                continue
            try:
                yield path.name
                path.unlink()
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
