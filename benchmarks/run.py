"""A whole run through the real DAG beside the engine alone: ``make bench-run IMAGES=folder``.

The images of a folder, repeated to a number of distinct files, are served on loopback with a delay. Timed are the
run with default settings, from trigger to merged results on the local Airflow, and then the engine alone on the same
bytes: as many threads, no network, no files. The ratio is what the pipeline leaves of the engine's speed. The processor
time of both (of the run: Airflow and its tasks) is printed as well: on a busy machine only that can be compared.

Before the run that is timed there is a short one, as the first on a machine compiles networks that later ones take from
a cache. The engine alone has compiled them before its clock starts as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from aiohttp import web

from benchmarks.goals import Goal, check
from benchmarks.processor import processor_seconds
from ocr_local.airflow import DAG_ID, airflow_for, connect
from ocr_local.api import AirflowApi
from ocr_local.home import Home
from ocr_pipeline.images import whole_pages
from ocr_pipeline.ocr import load_engine
from ocr_pipeline.settings.deployment import ALLOW_VARIABLE
from ocr_pipeline.settings.run import ReadSettings

DELAY_SECONDS = 0.1
FIRST_IMAGES = 64
"""How many are read before the run that is timed."""

GOAL = 0.90
POLL_SECONDS = 2.0
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def repeated(folder: Path, images: int) -> list[bytes]:
    """The images of ``folder`` over and over, each with a number behind its end, so that no two files are the same."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise SystemExit(f"{folder} has no {', '.join(IMAGE_SUFFIXES)} files")
    return [path.read_bytes() + b"%08d" % number for number, path in enumerate(islice(cycle(paths), images))]


async def serve(folder: Path) -> None:
    """Serve ``folder`` on a free port of loopback, each answer after :data:`DELAY_SECONDS`, until stdin closes."""

    async def answer(request: web.Request) -> web.FileResponse:
        await asyncio.sleep(DELAY_SECONDS)
        return web.FileResponse(folder / request.match_info["name"])

    application = web.Application()
    application.router.add_get("/{name}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


class Cost(NamedTuple):
    """What reading took: time by the clock, and of all processors."""

    seconds: float
    processor_seconds: float


def time_engine(bodies: list[bytes]) -> Cost:
    """What the engine alone takes to decode and read ``bodies``, once it is warm."""
    settings = ReadSettings()
    engine = load_engine(settings)

    def read(body: bytes) -> None:
        for page in whole_pages(body, max_pixels=settings.max_pixels):
            engine.read(page)

    try:
        with ThreadPoolExecutor(engine.threads) as pool:
            list(pool.map(read, bodies[: 2 * engine.threads]))
            started, spent = time.perf_counter(), time.process_time()
            list(pool.map(read, bodies))
            return Cost(time.perf_counter() - started, time.process_time() - spent)
    finally:
        engine.close()


def time_run(home: Home, folder: Path, images: int, batch_size: int | None) -> Cost:
    """What it takes from the trigger of a run on the local Airflow to its merged results; prints when each task ran.

    :raises SystemExit: when the run fails or an image was not read.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.run", "--serve", str(folder / "images")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        address = f"127.0.0.1:{server.stdout.readline().strip()}"
        with airflow_for(home, print) as running:
            api = connect(home, running)
            api.set_variable(ALLOW_VARIABLE, f"{folder},{address}")
            for run, count in (("first", min(FIRST_IMAGES, images)), ("bench", images)):
                dataset = folder / f"{run}.csv"
                dataset.write_text("image\n" + "".join(f"http://{address}/{n}\n" for n in range(count)))
                conf: dict[str, str | int] = {"dataset": str(dataset), "output": str(folder / "output")}
                if batch_size:
                    conf["batch_size"] = batch_size
                print(f"running {count} images through the DAG ...", flush=True)
                supervisor = psutil.Process(running.pid)
                triggered, spent = time.time(), -processor_seconds(supervisor)
                run_to_its_end(api, run, conf)
                spent += processor_seconds(supervisor)
                statuses = json.loads((folder / "output" / run / "summary.json").read_bytes())["statuses"]
                if statuses != {"ok": count}:
                    raise SystemExit(f"not every image was read: {statuses}")
            spans = task_spans(api.tasks(DAG_ID, "bench"), triggered)
        server.stdin.close()
    for span in spans:
        print(f"  {span.start:7.1f} s to {span.end:7.1f} s  {span.name}")
    return Cost(max(span.end for span in spans), spent)


def run_to_its_end(api: AirflowApi, run: str, conf: dict[str, Any]) -> None:
    """Trigger the run with the id ``run`` and wait for it.

    :raises SystemExit: when it fails.
    """
    api.trigger(DAG_ID, run, conf)
    # Seldom, as answering takes from the processors that read; Airflow notes itself when tasks end.
    while (state := api.run_state(DAG_ID, run)) not in ("success", "failed"):
        time.sleep(POLL_SECONDS)
    if state != "success":
        raise SystemExit(f"run {run} failed")


class Span(NamedTuple):
    """When a task began and ended, in seconds from the trigger."""

    start: float
    end: float
    name: str


def task_spans(tasks: list[dict[str, Any]], triggered: float) -> list[Span]:
    """When each task instance ran, the first one first.

    :param tasks: task instances as the API gives them.
    :param triggered: when the run was triggered, in seconds since the epoch.
    """
    spans = []
    for task in tasks:
        start, end = (datetime.fromisoformat(task[key]).timestamp() - triggered for key in ("start_date", "end_date"))
        spans.append(Span(start, end, task["rendered_map_index"] or task["task_id"]))
    return sorted(spans)


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with images")
    parser.add_argument("--images", type=int, default=500, help="how many files to make of them")
    parser.add_argument("--batch-size", type=int, help="rows a task reads, in place of the default")
    parser.add_argument("--serve", action="store_true", help="only serve the folder, for the benchmark itself")
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(arguments.folder))
        return 0
    bodies = repeated(arguments.folder, arguments.images)
    with tempfile.TemporaryDirectory(prefix="ocr-bench-") as scratch:
        folder = Path(scratch).resolve()
        (folder / "images").mkdir()
        for number, body in enumerate(bodies):
            (folder / "images" / str(number)).write_bytes(body)
        run = time_run(Home(folder / "airflow"), folder, arguments.images, arguments.batch_size)
    alone = time_engine(bodies)
    count = arguments.images
    for name, cost in (("through the DAG", run), ("the engine alone", alone)):
        print(
            f"{name}: {count} images in {cost.seconds:.1f} s, {count / cost.seconds:.2f} images/s, "
            f"{1000 * cost.processor_seconds / count:.0f} ms of processor time each"
        )
    ratio = alone.seconds / run.seconds
    return check([Goal("images/s of the whole run over those of the engine alone", ratio, least=GOAL)])


if __name__ == "__main__":
    sys.exit(main())
