"""How long a task takes from its start to the first image that is read: ``make bench-startup``.

Each round is a process of its own, as each task is: it imports the stages, loads the engine and reads one page.
Rounds share what is cached on disk, as the tasks of one machine do; the first fills the cache and does not count.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

from benchmarks.goals import Goal, check

SECONDS = 2.5

TASK = """
import sys
import numpy as np
from ocr_pipeline.reading import batch
from ocr_pipeline.settings.run import ReadSettings
from ocr_pipeline.records import Page
import cv2

pixels = np.full((400, 600, 3), 255, np.uint8)
cv2.putText(pixels, "Receipt 204817", (40, 200), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (0, 0, 0), 3)
lines = batch.load_engine(ReadSettings(engine=sys.argv[1])).read(Page(0, pixels)).lines
assert lines, "the first page has no text"
print("read", flush=True)
"""


def startup_seconds(engine: str) -> float:
    """Seconds from the start of a new process until it has read its first page."""
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", TASK, engine], stdout=subprocess.PIPE, text=True) as task:
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
    print(f"first start, which may fill the cache: {startup_seconds(arguments.engine):.2f} s", flush=True)
    before = _processor_seconds()
    figures = [startup_seconds(arguments.engine) for _ in range(arguments.rounds)]
    processor = (_processor_seconds() - before) / arguments.rounds
    print("later starts:", ", ".join(f"{figure:.2f} s" for figure in figures), f"({processor:.2f} core-seconds each)")
    return check([Goal("start to first image read, the fastest, s", min(figures), most=SECONDS)])


if __name__ == "__main__":
    sys.exit(main())
