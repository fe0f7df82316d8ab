"""Memory where texts are long: ``make bench-scale [WIDE_ROWS=1000000 DOCUMENTS=1000]``.

A batch reads documents of many dense pages, with an engine that has nothing to do but give each page fifty lines; and
batches whose rows are that wide are merged, on a disk and in a bucket (an S3 server on loopback). Printed is the peak
memory of the process that does it, which must not follow what is done. The reader process, which holds the engine, is
not in it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from PIL import Image

from benchmarks.bucket import serve_bucket
from benchmarks.goals import Goal, check
from ocr_pipeline.errors import Status
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.planning.planning import plan_run
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.reading.reader import ReaderProcess
from ocr_pipeline.records import Page, PageText, ResultRow, TextLine
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan, batch_images
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.settings.run import ReadSettings, RunSettings

PAGES = 200
LINES = 50
ROWS_A_BATCH = 10_000

DOCUMENTS_MB = 500
MERGE_MB = 1000
_BUCKET = "bench"

_PAGE = PageText(
    tuple(
        TextLine(
            f"{number:03} the quick brown fox jumps over the lazy dog and reads on to the end of a long line of text",
            0.9 + number / 1000,
            ((10.5, 20.0 + number), (990.5, 20.0 + number), (990.5, 38.0 + number), (10.5, 38.0 + number)),
        )
        for number in range(LINES)
    )
)


class DenseEngine:
    """Finds the same fifty lines on every page, at once."""

    model = "null/dense"

    def __init__(self, settings: ReadSettings) -> None:
        self.threads = len(os.sched_getaffinity(0))

    def read(self, page: Page) -> PageText:
        """Those lines."""
        return _PAGE

    def close(self) -> None:
        """Nothing to release."""


def main() -> int:
    """Run one part, or all of them in turn; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to merge")
    parser.add_argument("--documents", type=int, default=1000, help="documents in the batch that is read")
    parser.add_argument("--part", choices=["read", "stage", "merge"])
    parser.add_argument("--output")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--endpoint")
    arguments = parser.parse_args()
    if arguments.part:
        _part(arguments.part, arguments.folder, arguments.output, arguments.endpoint)
        return 0
    goals = []
    with ExitStack() as opened:
        scratch = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="bench-wide-")))
        documents, rows = arguments.documents, arguments.rows
        _write_documents(scratch, documents)
        read = _run("read", scratch, str(scratch / "read"), None)
        name = f"a batch of {documents:,} documents of {PAGES} dense pages, peak MB"
        goals.append(Goal(name, read["peak_mb"], most=DOCUMENTS_MB))
        _write_links(scratch, rows)
        for place, output, endpoint in (
            ("a disk", str(scratch / "merged"), None),
            ("a bucket", f"s3://store@{_BUCKET}/merged", serve_bucket(opened, _BUCKET)),
        ):
            _run("stage", scratch, output, endpoint)
            merged = _run("merge", scratch, output, endpoint)
            print(f"  {rows / merged['seconds']:,.0f} rows/s on {place} (not a goal)")
            goals.append(Goal(f"merge {rows:,} wide rows on {place}, peak MB", merged["peak_mb"], most=MERGE_MB))
            if endpoint is None:
                shutil.rmtree(output)  # tens of GB, which the bucket needs
    return check(goals)


def _run(part: str, folder: Path, output: str, endpoint: str | None) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.wide", "--part", part, "--folder", str(folder), "--output", output]
    done = subprocess.run(
        command + (["--endpoint", endpoint] if endpoint else []), check=True, stdout=subprocess.PIPE, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    print(f"{part:8} {figures['seconds']:8.1f} s {figures['peak_mb']:8.0f} MB  {output}", flush=True)
    return figures


def _part(part: str, folder: Path, output: str, endpoint: str | None) -> None:
    started = time.perf_counter()
    extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    connection = Connection("store", "aws", login="key", password="secret", extra=extra)
    allowances = Allowances.parse(
        [str(folder), *([f"s3://store@{_BUCKET}"] if endpoint else [])], lambda name: connection
    )
    dataset = folder / ("documents.csv" if part == "read" else "links.csv")
    size = 1_000_000 if part == "read" else ROWS_A_BATCH
    settings = RunSettings(dataset=str(dataset), output=output, batch_size=size)
    run = RunFolder.of(output, "run", allowances)
    if part == "read":
        plan = plan_run(settings, run, allowances, max_batches=1)
        reader = partial(ReaderProcess, engine="benchmarks.wide:DenseEngine")
        Batch(plan.batches[0], allowances, reader).run()
    elif part == "stage":
        _stage(run, plan_run(settings, run, allowances, max_batches=1000))
    else:
        merged = merge_run(run)
        assert merged.complete
        assert merged.result_rows == merged.rows
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def _write_documents(folder: Path, count: int) -> None:
    """Documents of :data:`PAGES` small pages, no two the same."""
    pages = [Image.new("1", (8, 8), number % 2) for number in range(PAGES)]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    names = [f"{number}.tiff" for number in range(count)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(file.getvalue() + number.to_bytes(8))
    (folder / "documents.csv").write_text("\n".join(["image", *names]))


def _write_links(folder: Path, rows: int) -> None:
    with (folder / "links.csv").open("w") as file:
        file.write("image\n")
        file.writelines(f"https://images.example.org/{number}.jpg\n" for number in range(rows))


def _stage(run: RunFolder, plan: Plan) -> None:
    text, lines = _PAGE.text, _PAGE.lines_json()
    for batch in plan.batches:
        images = [image.row for image in batch_images(run, batch, plan)]
        with BatchStore(run, batch, plan.digests[batch.index]) as store:
            for image in images:
                row = ResultRow(
                    row=image, status=Status.OK, text=text, confidence=0.97, lines=lines, page=0, width=800, height=600,
                    bytes=41_234, sha256="0" * 64, error=None, error_detail=None,
                    warning=None, warning_detail=None,
                    http_status=200, attempts=1,
                    fetch_seconds=0.05, read_seconds=0.1, model="null/dense",
                )  # fmt: skip
                store.add([row])
            store.stage(images, seconds=1.0, resumed=0)


if __name__ == "__main__":
    sys.exit(main())
