"""How long a task takes from its start to the first image that is read: ``make bench-startup``.

Each round is a process of its own, as each task is: it imports the stages, starts the reader process, which loads the
engine, and has it read one page.
Rounds share what is cached on disk, as the tasks of one machine do; the first fills the cache and does not count.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.goals import Goal, check

SECONDS = 2.5

TASK = """
import asyncio, sys
from pathlib import Path
from ocr_pipeline.reading.batch import open_reader
from ocr_pipeline.records import FetchedImage, ImageRef
from ocr_pipeline.settings.run import ReadSettings

async def read():
    image = FetchedImage(ImageRef(0, ""), Path(sys.argv[2]).read_bytes(), "", None, 1, 0.0)
    async with open_reader(ReadSettings(engine=sys.argv[1])) as reader:
        (row,) = await reader.read(image)
        assert row.text, row
        print("read", flush=True)

asyncio.run(read())
"""


def draw_page(path: Path) -> None:
    """Draw a page with a line of text."""
    pixels = np.full((400, 600, 3), 255, np.uint8)
    cv2.putText(pixels, "Receipt 204817", (40, 200), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (0, 0, 0), 3)
    cv2.imwrite(str(path), pixels)


def startup_seconds(engine: str, page: Path) -> float:
    """Seconds from the start of a new process until it has read its first page."""
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", TASK, engine, str(page)], stdout=subprocess.PIPE, text=True) as task:
        assert task.stdout is not None
        read = any(line.strip() == "read" for line in iter(task.stdout.readline, ""))
        seconds = time.perf_counter() - started
    if not read:
        raise SystemExit(f"the task ended with {task.returncode} before it had read a page")
    return seconds


def _processor_seconds() -> float:
    """Processor time of the tasks so far, which hardly depends on what else the machine does."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-startup-") as folder:
        page = Path(folder) / "page.png"
        draw_page(page)
        first = startup_seconds(arguments.engine, page)
        print(f"first start, which may fill the cache: {first:.2f} s", flush=True)
        before = _processor_seconds()
        figures = [startup_seconds(arguments.engine, page) for _ in range(arguments.rounds)]
    processor = (_processor_seconds() - before) / arguments.rounds
    print("later starts:", ", ".join(f"{figure:.2f} s" for figure in figures), f"({processor:.2f} core-seconds each)")
    return check([Goal("start to first image read, the fastest, s", min(figures), most=SECONDS)])


if __name__ == "__main__":
    sys.exit(main())
