"""Fetching beside img2dataset: ``make bench-fetch [SMALL=20000 LARGE=2000 ROUNDS=2 BENCH_JSON=file]``.

Both fetch the same links from the same server on loopback, which has processes of its own, with as many images
in flight, every body hashed, none decoded, none kept; ours with every guard on. They take turns, and each counts by
its best round. img2dataset spreads its threads over one process or over one a core, whichever is faster on as many
images without latency. Of large images fewer are in flight: with 64 at once, 300 ms allow for 213 a second, which
are 96 MB, most of a gigabit line; what 256 at once allow for, one process cannot take in, whatever the latency.

What counts is the whole command, from the start of its process to its end, with every process it starts; the rate
without the start is shown beside it. Two rounds take about 15 minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from benchmarks.goals import Goal, check

SMALL_BYTES, LARGE_BYTES = 40_000, 450_000
SMALL_CONCURRENCY, LARGE_CONCURRENCY = 256, 64
LATENCIES = (0, 50, 300)
FAILURES = (0, 5)
SAMPLE_SECONDS = 0.2
PEER = "img2dataset"


@dataclass(frozen=True, slots=True)
class Row:
    """A load: so many images of a size, so many at once, the server's latency in milliseconds, failures in percent."""

    size: str
    images: int
    bytes: int
    concurrency: int
    latency: int
    failures: int

    @property
    def label(self) -> str:
        """How the tables call it."""
        return f"{self.size}, {self.latency} ms, {self.failures} %"

    def links(self, ports: list[int], run: int) -> str:
        """Links of a run, spread over the processes of the server."""
        path = f"{run}/{self.bytes}/{self.latency}/{self.failures}"
        return "\n".join(f"http://127.0.0.1:{ports[n % len(ports)]}/{path}/{n}" for n in range(self.images))

    @property
    def possible(self) -> float:
        """Images a second when nothing but the latency takes time."""
        return self.images / (math.ceil(self.images / self.concurrency) * self.latency / 1000)


@dataclass(frozen=True, slots=True)
class Result:
    """What a system did in its best round of a row; ``downloading`` is images a second without its start."""

    images_per_second: float
    downloading: float
    cpu_seconds_per_1000: float
    peak_mb: float


class Bench:
    """Runs systems against the server on ``ports``; ``peer`` is the Python of the peer's environment."""

    def __init__(self, ports: list[int], peer: Path) -> None:
        self._ports = ports
        self._runs = itertools.count()
        allowed = ",".join(f"127.0.0.1:{port}" for port in ports)
        self._ours = [sys.executable, "-m", "benchmarks.fetch.ours", allowed]
        self._peer = [str(peer), str(Path(__file__).with_name("peer.py"))]
        self._processes: dict[str, int] = {}  # of the peer, by the size of the images

    def measure(self, system: str, row: Row) -> Result:
        """Fetch ``row`` with ``system``."""
        if system != PEER:
            return self._run([*self._ours, str(row.concurrency)], row)
        if row.size not in self._processes:
            self._processes[row.size] = self._best_processes(row)
        return self._run_peer(self._processes[row.size], row)

    def _best_processes(self, row: Row) -> int:
        trial = replace(row, latency=0, failures=0)  # as many images: a shorter one would favour the quicker start
        ways = sorted({1, len(os.sched_getaffinity(0))})
        best = max(ways, key=lambda processes: self._run_peer(processes, trial).images_per_second)
        print(f"{PEER}, {row.size} images: {best} processes of {row.concurrency // best} threads each", flush=True)
        return best

    def _run_peer(self, processes: int, row: Row) -> Result:
        return self._run([*self._peer, str(processes), str(row.concurrency // processes)], row)

    def _run(self, command: list[str], row: Row) -> Result:
        links = row.links(self._ports, next(self._runs))
        cpu, started = _cpu_seconds(), time.monotonic()
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            peak = _PeakMemory(process.pid)
            output, errors = process.communicate(links.encode())
        seconds, cpu = time.monotonic() - started, _cpu_seconds() - cpu
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{errors.decode()[-3000:]}")
        outcome = json.loads(output)
        if outcome["fetched"] != row.images:
            raise SystemExit(
                f"{' '.join(command)} fetched {outcome['fetched']:,} of {row.images:,} images ({row.label})"
            )
        return Result(
            images_per_second=row.images / seconds,
            downloading=row.images / outcome["seconds"],
            cpu_seconds_per_1000=cpu / row.images * 1000,
            peak_mb=peak.megabytes(),
        )


def _cpu_seconds() -> float:
    """CPU time of every process that was started here and has ended, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class _PeakMemory:
    """The most memory that a process and its children held at once, from samples."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def megabytes(self) -> float:
        """The peak, once the process has ended."""
        self._ended.set()
        self._thread.join()
        return self._peak / 1e6

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            try:
                tree = [self._process, *self._process.children(recursive=True)]
                self._peak = max(self._peak, sum(process.memory_info().rss for process in tree))
            except psutil.NoSuchProcess:
                continue


@contextmanager
def running_server() -> Iterator[list[int]]:
    """The server, a process a core; gives their ports."""
    command = [sys.executable, "-m", "benchmarks.fetch.server"]
    cores = len(os.sched_getaffinity(0))
    servers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(cores)]
    try:
        yield [int(server.stdout.readline()) for server in servers if server.stdout]
    finally:
        for server in servers:
            server.communicate()


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, required=True, help="the Python of img2dataset's environment")
    parser.add_argument("--small", type=int, default=20_000, help="images of 40 kB")
    parser.add_argument("--large", type=int, default=2_000, help="images of 450 kB")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sizes = (
        ("small", arguments.small, SMALL_BYTES, SMALL_CONCURRENCY),
        ("large", arguments.large, LARGE_BYTES, LARGE_CONCURRENCY),
    )
    rows = [Row(*size, *rest) for size, *rest in itertools.product(sizes, LATENCIES, FAILURES)]
    with running_server() as ports:
        bench = Bench(ports, arguments.peer)
        results = {row: measure(bench, row, arguments.rounds) for row in rows}
    if arguments.json:
        report = [asdict(row) | {name: asdict(result) for name, result in results[row].items()} for row in rows]
        arguments.json.write_text(json.dumps(report, indent=1))
    return check([goal for row in rows for goal in goals(row, **results[row])])


def measure(bench: Bench, row: Row, rounds: int) -> dict[str, Result]:
    """What each system did in its best round, printed as well."""
    results: dict[str, Result] = {}
    for _, name in itertools.product(range(rounds), ("ours", PEER)):
        result = bench.measure(name, row)
        if name not in results or result.images_per_second > results[name].images_per_second:
            results[name] = result
    for name, result in results.items():
        print(
            f"{row.label:18} {name:12} {result.images_per_second:8,.0f} images/s "
            f"({result.downloading:6,.0f} downloading) "
            f"{result.cpu_seconds_per_1000:6.2f} CPU-s/1,000 images {result.peak_mb:6.0f} MB",
            flush=True,
        )
    return results


def goals(row: Row, ours: Result, img2dataset: Result) -> Iterator[Goal]:
    """What is to be reached in ``row``."""
    faster = ours.images_per_second / img2dataset.images_per_second
    plain = (row.size, row.latency, row.failures) == ("small", 0, 0)
    yield Goal(f"{row.label}: images/s, times {PEER}'s", faster, 2.5 if plain else 1)
    if plain:
        cheaper = img2dataset.cpu_seconds_per_1000 / ours.cpu_seconds_per_1000
        yield Goal(f"{row.label}: images per CPU-second, times {PEER}'s", cheaper, 3.5)
    if row.latency == max(LATENCIES) and not row.failures:
        share = ours.downloading / row.possible
        yield Goal(f"{row.label}: images/s downloading, of what concurrency / latency allows", share, 0.9)


if __name__ == "__main__":
    sys.exit(main())
