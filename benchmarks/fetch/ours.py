"""Our fetcher in a process of its own: ``python -m benchmarks.fetch.ours ALLOWED CONCURRENCY < links``.

Drives it as a batch does, drops the bodies, and prints what came of it as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from ocr_pipeline.fetch import ByteBudget, Fetcher
from ocr_pipeline.records import Failure, FetchedImage, ImageRef
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings

HELD_BYTES = 256 << 20
"""As many as a batch may hold."""


async def fetch_all(refs: list[ImageRef], concurrency: int, allowances: Allowances) -> int:
    """Fetch every image; returns how many came."""
    # There is one host, so what one host may take is all that may be asked for.
    settings = FetchSettings(concurrency=concurrency, per_host=concurrency)
    budget = ByteBudget(HELD_BYTES)
    fetched = 0

    def take(outcome: FetchedImage | Failure) -> None:
        nonlocal fetched
        if isinstance(outcome, FetchedImage):
            fetched += len(outcome.sha256) == 64
            budget.release(len(outcome.body))

    async with Fetcher(settings, allowances, budget=budget) as fetcher:
        await fetcher.fetch_all(refs, take)
    return fetched


def main() -> None:
    """Read links from standard input and fetch them."""
    refs = [ImageRef(row, link) for row, link in enumerate(sys.stdin.read().split())]
    started = time.monotonic()
    fetched = asyncio.run(fetch_all(refs, int(sys.argv[2]), Allowances.parse(sys.argv[1])))
    print(json.dumps({"fetched": fetched, "seconds": time.monotonic() - started}))


if __name__ == "__main__":
    main()
