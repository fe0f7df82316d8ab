"""Reading on many cores, simulated: ``make bench-cores``.

The networks sleep as long as they compute, on as many cores as are simulated, and give what they gave before. All else
is real: what the processes say to each other, boxes from the detector's map, cutting out lines, characters from the
recogniser's probabilities, the order of reading. So what readers wait for besides the cores shows, above all the
interpreter's lock of a process. What is real needs real cores: where they would be busy, the simulated ones are made
slower, which is printed. The page is drawn and not compressed; decoding, which waits for nothing, is left out.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.goals import Goal, check
from ocr_pipeline.images import whole_pages
from ocr_pipeline.ocr.doubts import Doubts
from ocr_pipeline.ocr.engine import load_onnx
from ocr_pipeline.ocr.inference import LoadedModel, Network, Shape
from ocr_pipeline.ocr.models import find_model
from ocr_pipeline.ocr.openvino import OpenVinoRunner
from ocr_pipeline.ocr.pipeline import PipelineEngine
from ocr_pipeline.reading.reader import ReaderProcess
from ocr_pipeline.reading.readers import CORES_A_PROCESS, ReaderGroup
from ocr_pipeline.records import FetchedImage, ImageRef, Page, PageText, Pixels
from ocr_pipeline.settings.run import ReadSettings

LEAST = 0.9
"""Of what so many cores could read, what they must."""

_SECONDS = 12.0
"""How long is counted, times how much slower the cores are; before that, half as long is not: images that begin
together end together."""

_REPEATS = 20
_FOLDER, _SLOWER = "BENCH_CORES_FOLDER", "BENCH_CORES_SLOWER"
_RECORD, _PAGE = "networks", "page.bmp"


@dataclass(slots=True)
class Computed:
    """What a network gives for pixels of a shape, the seconds that it takes, and how often a page asks for that."""

    outputs: tuple[npt.NDArray[Any], ...]
    seconds: float
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Record:
    """What reading the page takes, in seconds of one core: its networks by the shape of their pixels, and the rest."""

    detect: dict[Shape, Computed]
    recognise: dict[Shape, Computed]
    characters: tuple[str, ...]
    rest: float
    """What is not the networks."""

    @property
    def network_seconds(self) -> float:
        """What the networks take."""
        return sum(known.seconds * known.calls for known in (*self.detect.values(), *self.recognise.values()))


class SimulatedEngine:
    """Reads the page with networks that sleep, in a thread for each simulated core."""

    model = "simulated/simulated"

    def __init__(self, settings: ReadSettings) -> None:
        assert settings.threads is not None
        record: Record = pickle.loads((Path(os.environ[_FOLDER]) / _RECORD).read_bytes())
        slower = float(os.environ[_SLOWER])
        self.threads = settings.threads
        self._engine = _pipeline(
            _sleeping(record.detect, slower), _sleeping(record.recognise, slower), record.characters
        )

    def read(self, page: Page) -> PageText:
        """Read a page."""
        return self._engine.read(page)

    def close(self) -> None:
        """Nothing to release."""


def main() -> int:
    """Simulate, print, and compare with the goals; returns the exit code."""
    goals = []
    with tempfile.TemporaryDirectory(prefix="bench-cores-") as temporary:
        folder = Path(temporary)
        os.environ[_FOLDER] = temporary
        record = _record(folder)
        networks, rest = record.network_seconds, record.rest
        print(f"a page takes {networks * 1000:.0f} ms of a core for networks, {rest * 1000:.1f} for the rest")
        rate, busy = _simulate(folder, cores=CORES_A_PROCESS, processes=1, slower=0.0)
        print(f"with networks that take no time, one process reads {rate:.0f} images/s, {busy:.1f} real cores busy\n")
        print(
            f"{'cores':>5}{'processes':>11}{'slower':>8}{'images/s':>10}{'possible':>10}{'share':>7}  real cores busy"
        )
        for cores, processes, slower in ((2, 1, 1), (4, 1, 1), (8, 1, 1), (8, 2, 1), (16, 4, 2), (64, 16, 4)):
            rate, busy = _simulate(folder, cores=cores, processes=processes, slower=slower)
            possible = cores / (networks * slower + rest)
            print(
                f"{cores:5}{processes:11}{slower:8}{rate:10.1f}{possible:10.1f}{rate / possible:7.2f}{busy:17.2f}",
                flush=True,
            )
            if cores <= processes * CORES_A_PROCESS:
                name = f"{cores} cores, {processes} processes, share of what is possible"
                goals.append(Goal(name, rate / possible, LEAST))
    return check(goals)


def _record(folder: Path) -> Record:
    """Read the page with real networks, and note what they give."""
    (folder / _PAGE).write_bytes(_draw_page())
    (page,) = whole_pages((folder / _PAGE).read_bytes(), max_pixels=1 << 24)
    loaded = load_onnx(OpenVinoRunner(1), find_model("small", "openvino"), ())
    detect: dict[Shape, Computed] = {}
    recognise: dict[Shape, Computed] = {}
    _pipeline(_counting(loaded.detect, detect), _counting(loaded.recognise, recognise), loaded.characters).read(page)
    engine = _pipeline(_timing(loaded.detect, detect), _timing(loaded.recognise, recognise), loaded.characters)
    for _ in range(_REPEATS):
        engine.read(page)
    record = Record(detect, recognise, loaded.characters, _rest(page, detect, recognise, loaded.characters))
    (folder / _RECORD).write_bytes(pickle.dumps(record))
    return record


def _rest(
    page: Page, detect: dict[Shape, Computed], recognise: dict[Shape, Computed], characters: tuple[str, ...]
) -> float:
    """Seconds that a page takes with networks that take none."""
    engine = _pipeline(_sleeping(detect, 0.0), _sleeping(recognise, 0.0), characters)
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        engine.read(page)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _draw_page() -> bytes:
    """A receipt of 25 items with prices, as long as the detector sees it, in a file that is not compressed."""
    pixels = np.full((960, 640, 3), 255, np.uint8)
    for line in range(25):
        at = (20, 30 + line * 37)
        cv2.putText(pixels, f"{line:02} ARTICLE OF SOME KIND", at, cv2.FONT_HERSHEY_DUPLEX, 0.7, (30, 30, 30), 1)
        cv2.putText(pixels, f"{line * 137 % 100}.50", (500, at[1]), cv2.FONT_HERSHEY_DUPLEX, 0.7, (30, 30, 30), 1)
    return cv2.imencode(".bmp", pixels)[1].tobytes()


def _pipeline(detect: Network, recognise: Network, characters: tuple[str, ...]) -> PipelineEngine:
    model = LoadedModel(SimulatedEngine.model, detect, recognise, characters, batching=False)
    return PipelineEngine(model, threads=1, min_confidence=0.5, stretch=False, doubts=Doubts("small", ()))


def _counting(network: Network, known: dict[Shape, Computed]) -> Network:
    def compute(pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
        outputs = tuple(output.copy() for output in network(pixels))  # the next call may overwrite them
        if pixels.shape in known:
            known[pixels.shape].calls += 1
        else:
            known[pixels.shape] = Computed(outputs, float("inf"))
        return outputs

    return compute


def _timing(network: Network, known: dict[Shape, Computed]) -> Network:
    def compute(pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
        started = time.perf_counter()
        outputs = network(pixels)
        known[pixels.shape].seconds = min(known[pixels.shape].seconds, time.perf_counter() - started)
        return outputs

    return compute


def _sleeping(known: dict[Shape, Computed], slower: float) -> Network:
    def compute(pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
        computed = known[pixels.shape]
        time.sleep(computed.seconds * slower)
        return computed.outputs

    return compute


def _simulate(folder: Path, *, cores: int, processes: int, slower: float) -> tuple[float, float]:
    """Images a second that so many cores read, and how many real cores were busy."""
    os.environ[_SLOWER] = str(slower)
    return asyncio.run(_read((folder / _PAGE).read_bytes(), cores, processes, _SECONDS * max(slower, 1.0)))


async def _read(body: bytes, cores: int, processes: int, seconds: float) -> tuple[float, float]:
    settings = ReadSettings(threads=cores // processes)
    engine = f"benchmarks.cores:{SimulatedEngine.__name__}"
    rows = count()
    finished = 0

    async def keep_reading(reader: ReaderGroup) -> None:
        nonlocal finished
        while True:
            (row,) = await reader.read(FetchedImage(ImageRef(next(rows), ""), body, "", None, 1, 0.0))
            assert row.text, row
            finished += 1

    async with ReaderGroup([ReaderProcess(settings, engine=engine) for _ in range(processes)]) as reader:
        at_once = await reader.ready(lambda: None)
        tasks = [asyncio.create_task(keep_reading(reader)) for _ in range(at_once)]
        await asyncio.sleep(seconds / 2)
        started, before, busy = time.perf_counter(), finished, _busy_seconds()
        await asyncio.sleep(seconds)
        seconds = time.perf_counter() - started
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return (finished - before) / seconds, (_busy_seconds() - busy) / seconds


def _busy_seconds() -> float:
    """Of processor time that this process and the readers have taken."""
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children())]
    return sum(time.user + time.system for time in times)


if __name__ == "__main__":
    from benchmarks import cores

    sys.exit(cores.main())  # by its own name, by which the readers know its classes
