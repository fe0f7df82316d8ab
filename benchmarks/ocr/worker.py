"""One system in a process of its own: ``python worker.py SYSTEM READERS THREADS MODELS IMAGE…``.

Loads the files into memory, makes READERS readers of THREADS threads each, and says ``{"ready": true}``. For
each line ``N`` on its standard input it then reads the first N images (all when N is 0) and prints what came
of it as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import resource
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from systems import Read, make_reader


def main() -> None:
    system, readers, threads, models, *paths = sys.argv[1:]
    # Libraries print to standard output; it carries our answers alone.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    bodies = [Path(path).read_bytes() for path in paths]
    make = make_reader(system, int(threads), Path(models))
    free: queue.SimpleQueue[Read] = queue.SimpleQueue()
    with ThreadPoolExecutor(int(readers)) as pool:
        for reader in [make() for _ in range(int(readers))]:
            free.put(reader)
        local = threading.local()

        def read(body: bytes) -> str:
            if not hasattr(local, "reader"):
                local.reader = free.get()
            return str(local.reader(body))

        # Every reader warms up on its own: models load parts of themselves on first use.
        list(pool.map(read, bodies[: 2 * int(readers)]))
        print(json.dumps({"ready": True}), file=answers)
        for line in sys.stdin:
            chosen = bodies[: int(line) or None]
            before, started = _cpu_seconds(), time.perf_counter()
            texts = (
                asyncio.run(_recipe(pool, read, chosen))
                if system == "original_recipe"
                else list(pool.map(read, chosen))
            )
            print(
                json.dumps(
                    {
                        "seconds": time.perf_counter() - started,
                        "cpu_seconds": _cpu_seconds() - before,
                        "peak_mb": _peak_mb(),
                        "texts": texts,
                    }
                ),
                file=answers,
            )


async def _recipe(pool: ThreadPoolExecutor, read: Read, bodies: list[bytes]) -> list[str]:
    """The original recipe's way: images fetched with aiohttp, read in a thread pool."""
    import aiohttp
    from aiohttp import web

    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=bodies[int(request.match_info["number"])])

    application = web.Application()
    application.router.add_get("/{number}", serve)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    loop = asyncio.get_running_loop()
    limit = asyncio.Semaphore(8)

    async def one(session: aiohttp.ClientSession, number: int) -> str:
        async with limit, session.get(f"http://127.0.0.1:{port}/{number}") as response:
            return await loop.run_in_executor(pool, read, await response.read())

    async with aiohttp.ClientSession() as session:
        texts = await asyncio.gather(*(one(session, number) for number in range(len(bodies))))
    await runner.cleanup()
    return list(texts)


def _cpu_seconds() -> float:
    """CPU time of this process and of those it started and waited for, in core-seconds."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_mb() -> float:
    """Largest resident memory so far, in megabytes; of several processes, the largest one's."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


if __name__ == "__main__":
    main()
