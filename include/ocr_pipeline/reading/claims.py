"""Memory that batches have set aside, so that those of one container together take no more than it has."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

_SUFFIX = ".bytes"


def claims_folder() -> Path:
    """Where batches of this user and container say what they have set aside."""
    return Path(tempfile.gettempdir()) / f"ocr-memory-{os.getuid()}"


def claim_units(most: int, unit: int, memory: int, folder: Path) -> tuple[int, AbstractContextManager[object]]:
    """Set as many units of memory aside as there are, one at least and at most ``most``.

    A claim holds until it is left, or until its process ends, however that is. Where ``folder`` cannot be used, or
    belongs to somebody else, no batch knows of another.

    :param unit: its bytes.
    :param memory: bytes that there are for all batches together.
    :returns: how many, and the claim.
    """
    try:
        with _alone_in(folder):
            units = _units(most, unit, memory - sum(_claimed(folder)))
            claim = tempfile.NamedTemporaryFile(dir=folder, suffix=_SUFFIX)  # noqa: SIM115 (who has the claim leaves it)
            fcntl.flock(claim, fcntl.LOCK_EX)
            claim.write(b"%d" % (units * unit))
            claim.flush()
            return units, claim
    except OSError:
        return _units(most, unit, memory), nullcontext()


def _units(most: int, unit: int, free: int) -> int:
    return max(1, min(most, free // unit))


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold ``folder``, which is made, for the time of the block.

    :raises OSError: when it cannot be made, or others may write there.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        if facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o022:
            raise PermissionError(f"others may write to {folder}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _claimed(folder: Path) -> Iterator[int]:
    """The bytes of each claim that holds. The files of others, whose processes were killed, are removed."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield int(file.read() or b"0")
            else:
                path.unlink()
