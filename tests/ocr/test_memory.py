"""Resident memory does not follow the number of different shapes."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from ocr_pipeline.ocr.allocator import return_large_blocks

pytestmark = pytest.mark.slow

CODE = """
import numpy as np
from ocr_pipeline.ocr.networks import recognition_network
from ocr_pipeline.ocr.models import find_model
from ocr_pipeline.ocr.openvino import OpenVinoRunner
from ocr_pipeline.settings.languages import alphabet
import psutil

network = OpenVinoRunner(1).load(recognition_network(find_model("small").recognition, alphabet(["en"])).graph)
def read(lines, width):
    network(np.zeros((lines, 48, width, 3), np.uint8))
read(2, 1024)  # buffers are as large as the largest shape needs
shapes = [(lines, width) for width in range(32, 1024, 16) for lines in (1, 2)]
figures = []
for lines, width in shapes:
    read(lines, width)
    figures.append(psutil.Process().memory_info().rss / 1e6)
print(figures[len(figures) // 3], figures[-1])
"""


def test_new_shapes_stop_costing_memory() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    early, late = map(float, done.stdout.split())

    # 83 MB when written, 355 MB when OpenVINO keeps everything that it compiles.
    assert late - early < 150


BLOCKS = """
import ctypes
import psutil
from ocr_pipeline.ocr.allocator import return_large_blocks

return_large_blocks()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def block(size):
    address = libc.malloc(size)
    ctypes.memset(address, 1, size)
    return address

libc.free(block(30 << 20))  # after which glibc would keep blocks of up to this size
before = psutil.Process().memory_info().rss
freed = []
for _ in range(40):  # a small block that stays after each large one, so that the heap cannot shrink
    freed.append(block(4 << 20))
    block(4 << 10)
for address in freed:
    libc.free(address)
print((psutil.Process().memory_info().rss - before) / 1e6)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_large_blocks_go_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKS], capture_output=True, text=True, check=True)

    # 160 MB otherwise.
    assert float(done.stdout) < 20


def test_other_platforms_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", None)

    return_large_blocks()
