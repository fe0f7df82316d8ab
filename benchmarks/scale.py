"""Planning and merging at scale: ``make bench-scale [ROWS=10000000]``.

A Parquet dataset of narrow rows is planned, its batches are staged as a reader with nothing to do would stage
them, and the run is merged. Each part runs in a process of its own, whose peak memory is measured.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from benchmarks.goals import Goal, check
from ocr_pipeline.errors import Status
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.planning.planning import plan_run
from ocr_pipeline.records import ResultRow
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan, batch_images
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings

ROWS_A_BATCH = 10_000
REPEATED = 0.05
"""Share of the rows whose link repeats an earlier one."""

PLAN_SECONDS_A_ROW = 60 / 10_000_000
PLAN_MB = 600
MERGE_ROWS_A_SECOND = 150_000
MERGE_MB = 1000


def main() -> int:
    """Run one part, or all of them in turn; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--part", choices=["dataset", "plan", "stage", "merge"])
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.part:
        _part(arguments.part, arguments.folder, arguments.rows)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="bench-scale-"))
    try:
        figures = {part: _run(part, folder, arguments.rows) for part in ("dataset", "plan", "stage", "merge")}
    finally:
        shutil.rmtree(folder)
    plan, merge = figures["plan"], figures["merge"]
    print(f"stage: {arguments.rows / figures['stage']['seconds']:,.0f} rows/s (not a goal)")
    return check(
        [
            Goal(f"plan {arguments.rows:,} rows, seconds", plan["seconds"], most=PLAN_SECONDS_A_ROW * arguments.rows),
            Goal("plan, peak MB", plan["peak_mb"], most=PLAN_MB),
            Goal("merge to Parquet and CSV, rows/s", arguments.rows / merge["seconds"], least=MERGE_ROWS_A_SECOND),
            Goal("merge, peak MB", merge["peak_mb"], most=MERGE_MB),
        ]
    )


def _run(part: str, folder: Path, rows: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scale", "--part", part, "--folder", str(folder), "--rows", str(rows)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    print(f"{part:8} {figures['seconds']:8.1f} s {figures['peak_mb']:8.0f} MB", flush=True)
    return figures


def _part(part: str, folder: Path, rows: int) -> None:
    started = time.perf_counter()
    allowances = Allowances.parse(str(folder))
    settings = RunSettings(dataset=str(folder / "links.parquet"), output=str(folder / "out"), batch_size=ROWS_A_BATCH)
    run = RunFolder.of(settings.output, "run", allowances)
    if part == "dataset":
        _write_dataset(folder / "links.parquet", rows)
    elif part == "plan":
        plan = plan_run(settings, run, allowances, max_batches=1000)
        assert plan.rows == rows
    elif part == "stage":
        _stage(run)
    else:
        merged = merge_run(run)
        assert merged.complete
        assert merged.result_rows == rows
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def _write_dataset(path: Path, rows: int) -> None:
    random = np.random.default_rng(0)
    schema = pa.schema([("id", pa.int64()), ("image_url", pa.string()), ("shop", pa.string())])
    with pa.parquet.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, 500_000):
            numbers = np.arange(first, min(first + 500_000, rows))
            linked = np.where(random.random(len(numbers)) < REPEATED, random.integers(0, numbers + 1), numbers)
            links = [f"https://images.example.org/products/{number:012}/front.jpg" for number in linked.tolist()]
            shops = [f"shop {number % 997}" for number in numbers.tolist()]
            writer.write_table(pa.table([pa.array(numbers), links, shops], schema=schema))


def _stage(run: RunFolder) -> None:
    plan = Plan.load(run)
    for batch in plan.batches:
        images = [image.row for image in batch_images(run, batch, plan)]
        with BatchStore(run, batch, plan.digests[batch.index]) as store:
            for image in images:
                row = ResultRow(
                    row=image, status=Status.OK, text=f"SKU {image} in stock", confidence=0.97, lines="[]",
                    page=0, width=800, height=600, bytes=41_234, sha256="0" * 64, error=None, error_detail=None,
                    warning=None, warning_detail=None,
                    http_status=200, attempts=1, fetch_seconds=0.05, read_seconds=0.1, model="none/none",
                )  # fmt: skip
                store.add([row])
            store.stage(images, seconds=1.0, resumed=0)


if __name__ == "__main__":
    sys.exit(main())
