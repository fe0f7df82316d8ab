"""Runs a small pipeline again and again, killed at each of its file operations in turn.

``python -m tests.pipeline.crash_points FOLDER [EVERY]`` prints, as JSON, how many operations an undisturbed run has and
what differed after any of the disturbed ones (nothing, one hopes). Every run is a process of its own (forked,
so that imports are paid once), killed with SIGKILL just before the operation; it is then run to its end.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.planning.planning import plan_run
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.records import Page, PageText
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings
from tests.conftest import WidthEngine, reading_with

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "shutil.rmtree")
IMAGES = 24
BATCH_SIZE = 13
_TIMES = ("ocr_fetch_seconds", "ocr_read_seconds")


class CountingEngine(WidthEngine):
    """Slow enough for checkpoints to be written meanwhile; notes each page it reads in a file."""

    log: Path

    def read(self, page: Page) -> PageText:
        time.sleep(0.004)
        text = super().read(page)
        with self.log.open("a") as log:
            log.write(f"{page.width}\n")
        return text


def main() -> None:
    """Try every operation, or each ``EVERY``-th."""
    folder = Path(sys.argv[1])
    every = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    dataset = draw_dataset(folder)
    undisturbed, operations = run_forked(folder / "undisturbed", dataset, kill_at=0)
    assert undisturbed == 0
    expected = results(folder / "undisturbed")
    differences = []
    killed = 0
    for point in range(1, operations + 1, every):
        home = folder / f"killed-{point}"
        code, _ = run_forked(home, dataset, kill_at=point)
        killed += code == -signal.SIGKILL
        again, _ = run_forked(home, dataset, kill_at=0)
        if again:
            differences.append(f"operation {point}: the second attempt ended with {again}")
        elif results(home) != expected:
            differences.append(f"operation {point}: the results differ")
        reread = read_twice(home)
        # Of the batch that was running, what was not yet written down: how much that is, the clock decides.
        if len(reread) > BATCH_SIZE:
            differences.append(f"operation {point}: {len(reread)} images were read twice")
    print(json.dumps({"operations": operations, "killed": killed, "differences": differences}))


def draw_dataset(folder: Path) -> Path:
    """A dataset of images, a repeated link, and one that fails."""
    links = [f"{width}.png" for width in range(20, 20 + IMAGES)]
    for link in links:
        cv2.imwrite(str(folder / link), np.full((8, int(link[:-4]), 3), 200, np.uint8))
    dataset = folder / "data.csv"
    dataset.write_text("image\n" + "".join(f"{link}\n" for link in [*links, links[0], "gone.png"]))
    return dataset


def run_forked(home: Path, dataset: Path, kill_at: int) -> tuple[int, int]:
    """Run the pipeline in a process that dies before its ``kill_at``-th operation; its exit code and operations."""
    home.mkdir(exist_ok=True)
    counter = home / "operations"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            count_operations(home, kill_at, counter)
            run_pipeline(home, dataset)
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, int(counter.read_text()) if counter.exists() else 0


def count_operations(home: Path, kill_at: int, counter: Path) -> None:
    """From now on, count this process's operations on the run's files, and die before number ``kill_at``."""
    output = str(home / "out")
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in OPERATIONS and str(arguments[0]).startswith(output):
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if not kill_at:
                descriptor = os.open(counter, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.write(descriptor, str(count).encode())
                os.close(descriptor)

    sys.addaudithook(hook)


def run_pipeline(home: Path, dataset: Path) -> None:
    """Plan, read two batches, merge."""
    allowances = Allowances.parse([str(home), str(dataset.parent)])
    settings = RunSettings(dataset=str(dataset), output=str(home / "out"), batch_size=BATCH_SIZE, attempts=1)
    run = RunFolder.of(settings.output, "run", allowances)
    plan = plan_run(settings, run, allowances, max_batches=100)
    CountingEngine.log = home / "read"
    for batch in plan.batches:
        Batch(batch, allowances, reading_with(CountingEngine()), checkpoint_seconds=0.02).run()
    if not merge_run(run).complete:
        raise SystemExit(3)


def results(home: Path) -> list[dict[str, str]]:
    """The merged results without what differs between any two runs."""
    with (home / "out" / "run" / "results.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name not in _TIMES} for row in csv.DictReader(file)]


def read_twice(home: Path) -> list[str]:
    """Widths of the images that were read more than once over all attempts."""
    read = (home / "read").read_text().split()
    return sorted({width for width in read if read.count(width) > 1})


if __name__ == "__main__":
    main()
