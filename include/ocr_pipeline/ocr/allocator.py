"""How the C library's allocator treats the large, short-lived buffers of reading."""

from __future__ import annotations

import ctypes
import sys

_M_MMAP_THRESHOLD = -3
_THRESHOLD = 1 << 20


def return_large_blocks() -> None:
    """Have memory blocks of 1 MiB and more returned to the system as soon as they are freed.

    That is how glibc begins, but freeing such a block raises its threshold, up to 32 MiB. From then on the buffers
    of pages, each of a size of its own, lie between small blocks that stay, and what they leave cannot be returned.
    Naming a threshold fixes it. Other C libraries are left alone: elsewhere this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _THRESHOLD)
