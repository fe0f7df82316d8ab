"""Engines that do to their process what libraries do at their worst; loaded by name in a reader process."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import time
from pathlib import Path

from ocr_pipeline.errors import EngineError
from ocr_pipeline.ocr.cache import cached
from ocr_pipeline.records import Page, PageText
from ocr_pipeline.settings.run import ReadSettings
from tests.conftest import WidthEngine

CRASH, HANG, HOLD, HOG, KILL, GREEDY = 61, 62, 63, 64, 65, 66
"""Widths of pages that crash the process, hang their thread, hang it with the interpreter's lock, take all memory, end
in a kill from outside, and ask for more memory at once than there is."""

HOG_BYTES = 32 << 20


class CompiledEngine(WidthEngine):
    """As :class:`WidthEngine`, once something is compiled."""

    def __init__(self, settings: ReadSettings) -> None:
        super().__init__(settings)
        cached([b"the engine"], lambda: b"compiled")


class PoisonedEngine(WidthEngine):
    """As :class:`WidthEngine`, but for pages of those widths."""

    def read(self, page: Page) -> PageText:
        time.sleep(0.01)
        if page.width == CRASH:
            ctypes.string_at(0)
        if page.width == HANG:
            time.sleep(3600)
        if page.width == HOLD:
            ctypes.PyDLL(None).sleep(3600)
        if page.width == HOG:
            hog: list[mmap.mmap] = []
            while len(hog) < 100:  # shared memory, which no limit on a process's own data holds for
                hog.append(mmap.mmap(-1, HOG_BYTES))
                hog[-1].write(b"x" * HOG_BYTES)
            time.sleep(3600)
        if page.width == GREEDY:
            bytearray(1 << 40)
        if page.width == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(page)


class NotingEngine(PoisonedEngine):
    """Appends the number of its process to the file that the environment names, for tests of how that ends."""

    def __init__(self, settings: ReadSettings) -> None:
        super().__init__(settings)
        with Path(os.environ["OCR_TESTS_READERS"]).open("a") as noted:
            noted.write(f"{os.getpid()}\n")


class NoEngine:
    """Cannot be loaded."""

    def __init__(self, settings: ReadSettings) -> None:
        raise EngineError("no such device: gpu:7")


class CrashingEngine:
    """Crashes the process before it has read anything."""

    def __init__(self, settings: ReadSettings) -> None:
        ctypes.string_at(0)
