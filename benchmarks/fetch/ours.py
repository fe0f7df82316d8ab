"""Our fetcher in a process of its own: ``python -m benchmarks.fetch.ours CONCURRENCY ALLOWED < links``.

Drives it as a batch does, drops the bodies, and prints what came of it as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator

from ocr_pipeline.allowances import Allowances
from ocr_pipeline.config import FetchSettings
from ocr_pipeline.fetch import Fetcher
from ocr_pipeline.records import FetchedImage, ImageRef


async def fetch_all(refs: list[ImageRef], concurrency: int, allowances: Allowances) -> int:
    """Fetch every image; returns how many came."""
    # There is one host, so what one host may take is all that may be asked for.
    settings = FetchSettings(concurrency=concurrency, per_host=concurrency)
    fetched = 0

    async def fetch(left: Iterator[ImageRef]) -> None:
        nonlocal fetched
        for ref in left:
            outcome = await fetcher.fetch(ref)
            fetched += isinstance(outcome, FetchedImage) and len(outcome.sha256) == 64

    left = iter(refs)
    async with Fetcher(settings, allowances) as fetcher, asyncio.TaskGroup() as tasks:
        for _ in range(concurrency):
            tasks.create_task(fetch(left))
    return fetched


def main() -> None:
    """Read links from standard input and fetch them."""
    refs = [ImageRef(row, link) for row, link in enumerate(sys.stdin.read().split())]
    started = time.monotonic()
    fetched = asyncio.run(fetch_all(refs, int(sys.argv[1]), Allowances.parse(sys.argv[2])))
    print(json.dumps({"fetched": fetched, "seconds": time.monotonic() - started}))


if __name__ == "__main__":
    main()
