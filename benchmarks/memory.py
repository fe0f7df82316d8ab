"""Resident memory over many images of mixed shapes: ``make bench-memory [IMAGES=5000]``.

Pages from 32 to 1,600 pixels a side, no two alike, with a few words each, are drawn as they are read, by as many
threads as the engine wants. Prints the curve of the process's resident memory.
"""

from __future__ import annotations

import argparse
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import psutil

from benchmarks.goals import Goal, check
from ocr_pipeline.ocr import load_engine
from ocr_pipeline.records import Page
from ocr_pipeline.settings.run import ReadSettings

LEAST_SIDE, MOST_SIDE = 32, 1600
POINTS = 20
"""How many figures the curve has."""

WARM_UP = 0.2
"""Share of the images after which memory must have levelled off."""

GROWTH_MB = 100.0


def draw_mixed(seed: int) -> Page:
    """A page of a size of its own, its sides spread evenly over their logarithms, with up to three lines."""
    chance = random.Random(seed)
    width, height = (int(LEAST_SIDE * (MOST_SIDE / LEAST_SIDE) ** chance.random()) for _ in range(2))
    pixels = np.full((height, width, 3), 255, np.uint8)
    for _ in range(chance.randint(1, 3)):
        text = f"item {chance.randrange(10 ** chance.randint(1, 9))}"
        place = chance.randint(0, width // 2), chance.randint(12, height)
        cv2.putText(pixels, text, place, cv2.FONT_HERSHEY_SIMPLEX, chance.uniform(0.4, 1.5), (0, 0, 0), 2)
    return Page(0, pixels)


def resident_mb() -> float:
    """Memory of this process that is in RAM, in megabytes."""
    return float(psutil.Process().memory_info().rss) / 1e6


def curve(images: int, settings: ReadSettings) -> list[float]:
    """Resident memory after each of :data:`POINTS` equal parts of ``images``, in megabytes."""
    engine = load_engine(settings)
    print(f"{engine.model}, {engine.threads} threads: {resident_mb():.0f} MB before the first image", flush=True)
    figures = []
    try:
        with ThreadPoolExecutor(engine.threads) as pool:
            for part in range(POINTS):
                seeds = range(part * images // POINTS, (part + 1) * images // POINTS)
                for _ in pool.map(lambda seed: engine.read(draw_mixed(seed)), seeds):
                    pass
                figures.append(resident_mb())
                print(f"{seeds.stop:7,} images  {figures[-1]:6.0f} MB", flush=True)
    finally:
        engine.close()
    return figures


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--engine", default="auto")
    arguments = parser.parse_args()
    figures = curve(arguments.images, ReadSettings.model_validate({"engine": arguments.engine}))
    level = figures[int(WARM_UP * POINTS) - 1]
    return check([Goal("growth over the last 80 % of the images, MB", figures[-1] - level, most=GROWTH_MB)])


if __name__ == "__main__":
    sys.exit(main())
