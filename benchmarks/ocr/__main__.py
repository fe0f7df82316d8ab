"""Reading text beside the peers: ``make bench-ocr IMAGES=folder LABELS=folder [BENCH_JSON=file]``.

Every system has the same files in memory and reads them in a process of its own, several rounds in turns, so
that what else the machine does falls on all of them. Each takes the better of two ways to use the cores (one
reader with all threads, or one reader a core), tried on a few images first. A system counts by its fastest
round. Labels are CSV files named like the images: eight corner numbers, then the text.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.goals import Goal, check
from benchmarks.ocr.systems import OURS, PEERS
from benchmarks.ocr.workers import Worker
from benchmarks.scores import characters, f1, label, words
from ocr_pipeline.ocr.models import find_model
from ocr_pipeline.ocr.stock import stage_official

TRIAL_IMAGES = 8
GOALS = {
    ("ours_en", "paddleocr"): 4.7,
    ("ours_en", "rapidocr_openvino"): 3.8,
    ("ours_all", "paddleocr"): 4.2,
    ("ours_all", "rapidocr_openvino"): 3.4,
}
"""Images a second of the first over those of the second, on a processor without matrix units (AMX)."""

FASTEST = "indra"
"""The peer that is faster than ours, how much is printed."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a system did in its fastest round; F1 is the same in all of them."""

    images_per_second: float
    core_seconds_per_image: float
    word_f1: float
    character_f1: float
    peak_mb: float
    readers: int
    threads: int


def main() -> int:
    """Run the benchmark; returns the exit code."""
    arguments = _parse()
    images = sorted(path for path in arguments.images.iterdir() if path.is_file())
    truth = [label(arguments.labels / f"{path.stem}.csv") for path in images]
    names = [name for name in (*PEERS, *OURS) if not arguments.only or name in arguments.only]
    if "tesseract" in names and not shutil.which("tesseract"):
        raise SystemExit("tesseract is not installed: apt-get install tesseract-ocr")
    with ExitStack() as stack:
        models = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage_official(find_model("small"), models)
        workers = {}
        for name in names:
            python = Path(sys.executable) if name in OURS else arguments.indra if name == "indra" else arguments.peers
            workers[name] = _best_worker(name, python, models, images)
            stack.callback(workers[name].end)
        results = _measure(workers, truth, arguments.rounds)
    _print(results)
    for name in OURS:
        if {name, FASTEST} <= results.keys():
            ratio = results[name].images_per_second / results[FASTEST].images_per_second
            print(f"        {name} / {FASTEST}, images/s: {ratio:.2f} (not a goal)")
    if arguments.json:
        systems = {name: asdict(result) for name, result in results.items()}
        arguments.json.write_text(json.dumps({"images": len(images), "systems": systems}, indent=1))
    return check(_goals(results))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--peers", type=Path, required=True, help="the Python of the peers' environment")
    parser.add_argument("--indra", type=Path, required=True, help="the Python of an environment with rapidocrlite")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", help="only these systems")
    return parser.parse_args()


def _best_worker(name: str, python: Path, models: Path, images: list[Path]) -> Worker:
    cores = len(os.sched_getaffinity(0))
    best: tuple[float, int, int] | None = None
    # Ours has one way: as many readers as a batch has.
    ways = [(cores, 1)] if name in OURS else [(cores, 1)] if cores == 1 else [(1, cores), (cores, 1)]
    for readers, threads in ways:
        worker = Worker(name, python, readers, threads, models, images)
        seconds = float(str(worker.read(TRIAL_IMAGES)["seconds"]))
        if len(ways) == 1:
            return worker
        worker.end()
        best = min(best, (seconds, readers, threads)) if best else (seconds, readers, threads)
    assert best is not None
    return Worker(name, python, *best[1:], models, images)


def _measure(workers: dict[str, Worker], truth: list[str], rounds: int) -> dict[str, Result]:
    results: dict[str, Result] = {}
    for number in range(rounds):
        for name, worker in workers.items():
            answer = worker.read()
            texts: list[str] = answer["texts"]  # type: ignore[assignment]
            seconds, cpu, peak = (float(str(answer[key])) for key in ("seconds", "cpu_seconds", "peak_mb"))
            result = Result(
                images_per_second=len(truth) / seconds,
                core_seconds_per_image=cpu / len(truth),
                word_f1=f1(texts, truth, words).share,
                character_f1=f1(texts, truth, characters).share,
                peak_mb=peak,
                readers=worker.readers,
                threads=worker.threads,
            )
            print(f"round {number + 1}  {name:22} {result.images_per_second:6.2f} images/s", flush=True)
            if name not in results or result.images_per_second > results[name].images_per_second:
                results[name] = result
    return results


def _goals(results: dict[str, Result]) -> list[Goal]:
    goals = [
        Goal(f"{ours} / {peer}, images/s", results[ours].images_per_second / results[peer].images_per_second, ratio)
        for (ours, peer), ratio in GOALS.items()
        if ours in results and peer in results
    ]
    peers = [result.word_f1 for name, result in results.items() if name in PEERS]
    if peers:
        goals += [Goal(f"{name}, word F1", results[name].word_f1, max(peers)) for name in OURS if name in results]
    return goals


def _print(results: dict[str, Result]) -> None:
    print(f"\n{'system':22} {'images/s':>9} {'core-s/image':>13} {'word F1':>8} {'char F1':>8} {'peak MB':>8}  threads")
    for name, result in results.items():
        print(
            f"{name:22} {result.images_per_second:9.2f} {result.core_seconds_per_image:13.3f} {result.word_f1:8.4f} "
            f"{result.character_f1:8.4f} {result.peak_mb:8.0f}  {result.readers} x {result.threads}"
        )
    print()


if __name__ == "__main__":
    sys.exit(main())
