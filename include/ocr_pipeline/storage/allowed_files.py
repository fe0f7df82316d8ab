"""Opening a file that must lie in an allowed folder, whatever becomes of its path meanwhile."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from ocr_pipeline.settings.deployment import Allowances

if sys.platform == "darwin":
    import fcntl


class OutsideError(PermissionError):
    """The file lies in no allowed folder; ``path`` is where it lies."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not in an allowed folder")
        self.path = path


class IrregularError(OSError):
    """What is there is a folder, a pipe, a socket or a device."""


def open_allowed(path: Path, allowances: Allowances) -> BinaryIO:
    """The regular file at ``path``, opened for reading, if it lies in a folder that ``allowances`` name.

    The path is looked at first, so that nothing is opened that need not be. But a folder in it can be swapped for a
    link in the very next moment; what counts is where that lies which was opened, and what it is. No pipe or device is
    waited for.

    :raises OutsideError: when it lies elsewhere. Nothing else is then told of it, not even whether it is there.
    :raises IrregularError: when it is no regular file.
    :raises OSError: when it cannot be opened.
    :raises ValueError: when no file can have this path.
    """
    resolved = Path(os.path.realpath(path))
    if not allowances.allows_path(resolved):
        raise OutsideError(resolved)
    _check_regular(resolved.stat(), resolved)  # as opening a device can act on it
    descriptor = os.open(resolved, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        opened = place_of(descriptor)
        if not allowances.allows_resolved(opened):
            raise OutsideError(opened)
        _check_regular(os.fstat(descriptor), resolved)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def place_of(descriptor: int) -> Path:
    """Where what is open as ``descriptor`` lies, as the kernel knows it: absolute and without links.

    :raises OSError: when the kernel does not say.
    """
    if sys.platform == "darwin":
        return Path(os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")))
    return Path(os.readlink(f"/proc/self/fd/{descriptor}"))


def _check_regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IrregularError(f"{path} is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise IrregularError(f"{path} is not a regular file but a pipe, socket or device")
