"""Whole batches: every category from its real cause, and many links of which a third misbehave."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
import trustme

from ocr_pipeline.errors import ErrorCategory, Status
from ocr_pipeline.fetch import Fetcher
from ocr_pipeline.records import Failure, ImageRef
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings
from tests.fetch.conftest import IMPATIENT, QUICK, Fetch, failure_of
from tests.fetch.test_fetch_credentials import server_with_certificate
from tests.misbehaving_server import MEGABYTE, MisbehavingServer, body_of


@dataclass
class World:
    """What there is to go wrong."""

    server: MisbehavingServer
    busy_server: MisbehavingServer
    tls_server: MisbehavingServer
    folder: Path
    closed_port: int


@pytest.fixture
def world(
    server: MisbehavingServer, other_server: MisbehavingServer, tmp_path: Path, closed_port: int
) -> Iterator[World]:
    with server_with_certificate(trustme.CA(), "127.0.0.1") as tls_server:
        yield World(server, other_server, tls_server, tmp_path, closed_port)


CAUSES: dict[ErrorCategory, Callable[[World], str]] = {
    ErrorCategory.MISSING_LINK: lambda world: " ",
    ErrorCategory.INVALID_LINK: lambda world: "http://[::1/",
    ErrorCategory.FORBIDDEN_ADDRESS: lambda world: "http://127.0.0.2/",
    ErrorCategory.FORBIDDEN_PATH: lambda world: "/etc/hostname",
    ErrorCategory.FORBIDDEN_STORE: lambda world: "s3://bucket/a.jpg",
    ErrorCategory.NOT_FOUND: lambda world: world.server.url("status", code=404),
    ErrorCategory.HTTP_REFUSED: lambda world: world.server.url("status", code=403),
    ErrorCategory.ROBOTS_REFUSED: lambda world: world.server.url("image", tag="noai"),
    ErrorCategory.THROTTLED: lambda world: world.busy_server.url("status", code=429),
    ErrorCategory.NOT_READY: lambda world: world.server.url("status", code=202, retry_after=0),
    ErrorCategory.HTTP_SERVER_ERROR: lambda world: world.server.url("status", code=500),
    ErrorCategory.TOO_MANY_REDIRECTS: lambda world: world.server.url("redirect-loop"),
    ErrorCategory.NAME_NOT_RESOLVED: lambda world: "http://name.invalid/",
    ErrorCategory.CONNECT_FAILED: lambda world: f"http://127.0.0.1:{world.closed_port}/",
    ErrorCategory.HOST_UNAVAILABLE: lambda world: f"http://127.0.0.1:{world.closed_port}/again",
    ErrorCategory.CONNECTION_LOST: lambda world: world.server.url("reset"),
    ErrorCategory.BAD_RESPONSE: lambda world: world.server.url("not-http"),
    ErrorCategory.TLS_FAILED: lambda world: world.tls_server.url("image"),
    ErrorCategory.TIMEOUT: lambda world: world.server.url("silent"),
    ErrorCategory.TOO_LARGE: lambda world: world.server.url("image", bytes=10_001),
    ErrorCategory.FILE_UNREADABLE: lambda world: str(world.folder),
}


def test_every_category_has_a_real_cause(fetch: Fetch, world: World) -> None:
    assert set(CAUSES) == {category for category in ErrorCategory if category.status is Status.FETCH_FAILED}
    servers = (world.server, world.busy_server, world.tls_server)
    allow = [*(server.address for server in servers), f"127.0.0.1:{world.closed_port}", str(world.folder)]
    links = [cause(world) for cause in CAUSES.values()]
    policy = replace(QUICK, failures_to_open=3, seconds_to_open=0)
    results = fetch(*links, allow=allow, policy=policy, max_bytes=10_000, attempts=3, **IMPATIENT)
    assert [failure_of(result).category for result in results] == list(CAUSES)
    for result, link in zip(results, links, strict=True):
        failure = failure_of(result)
        assert failure.ref.link == link
        assert failure.detail
        if failure.category.retryable and failure.category is not ErrorCategory.HOST_UNAVAILABLE:
            assert failure.attempts == 3
        else:
            assert failure.attempts <= 1


GOOD = ("image", "chunked", "gzipped")
QUICK_FAILURES = {
    "short": ErrorCategory.CONNECTION_LOST,
    "cut-chunks": ErrorCategory.CONNECTION_LOST,
    "reset": ErrorCategory.CONNECTION_LOST,
    "reset-at-once": ErrorCategory.CONNECTION_LOST,
    "not-http": ErrorCategory.BAD_RESPONSE,
    "garbage-chunks": ErrorCategory.BAD_RESPONSE,
    "bad-gzip": ErrorCategory.BAD_RESPONSE,
    "redirect-loop": ErrorCategory.TOO_MANY_REDIRECTS,
    "bomb": ErrorCategory.TOO_LARGE,
    "status": ErrorCategory.HTTP_SERVER_ERROR,
    "unknown": ErrorCategory.NOT_FOUND,
}
SLOW_FAILURES = dict.fromkeys(("silent", "stall", "drip", "slow-headers"), ErrorCategory.TIMEOUT)


@pytest.mark.slow
def test_ten_thousand_links_of_which_a_third_misbehave(
    server: MisbehavingServer, other_server: MisbehavingServer, closed_port: int
) -> None:
    links, expected = many_links(server, other_server, closed_port)
    assert len(links) == 10_000
    allow = [server.address, other_server.address, f"127.0.0.1:{closed_port}"]
    memory = Memory()
    outcomes = asyncio.run(fetch_all(links, allow, memory))
    assert sorted(row for row, _ in outcomes) == list(range(len(links)))
    for row, outcome in outcomes:
        wanted = expected[row]
        if isinstance(wanted, str):
            assert outcome == wanted, links[row]
        else:
            assert outcome in wanted, links[row]
    assert sum(isinstance(outcome, ErrorCategory) for _, outcome in outcomes) == 3_334
    # The images have 200 MB together; links, outcomes and the server's record of requests take their share.
    assert memory.growth < 120 * MEGABYTE


class Memory:
    """How much the resident memory of this process grows, looked at again and again."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._start = self._peak = self._process.memory_info().rss

    def look(self) -> None:
        self._peak = max(self._peak, self._process.memory_info().rss)

    @property
    def growth(self) -> int:
        return self._peak - self._start


def many_links(
    server: MisbehavingServer, other_server: MisbehavingServer, closed_port: int
) -> tuple[list[str], list[str | set[ErrorCategory]]]:
    """10,000 links in random order, and for each the digest of its image or the categories it may fail with."""
    unavailable = ErrorCategory.HOST_UNAVAILABLE
    entries: list[tuple[str, str | set[ErrorCategory]]] = []
    for number in range(6_566):
        size = 100 + 75 * (number % 800)
        digest = hashlib.sha256(body_of(size, str(number))).hexdigest()
        entries.append((server.url(GOOD[number % len(GOOD)], bytes=size, id=number), digest))
    for number in range(100):
        digest = hashlib.sha256(body_of(1000, str(number))).hexdigest()
        entries.append((other_server.url("status", code=429, times=1, retry_after=0, id=number), digest))
    for number in range(2_222):
        name, category = list(QUICK_FAILURES.items())[number % len(QUICK_FAILURES)]
        entries.append((f"{server.origin}/{name}?id={number}", {category, unavailable}))
    for number in range(550):
        dead = f"http://127.0.0.1:{closed_port}/{number}"
        entries.append((dead, {ErrorCategory.CONNECT_FAILED, unavailable}))
        entries.append((f"http://10.0.{number // 250}.{number % 250}/", {ErrorCategory.FORBIDDEN_ADDRESS}))
    rng = random.Random(7)
    rng.shuffle(entries)
    for number in range(12):  # in the first half, so that their deadlines pass while others are fetched
        name, category = list(SLOW_FAILURES.items())[number % len(SLOW_FAILURES)]
        entries.insert(rng.randrange(5_000), (f"{server.origin}/{name}?pause=0.5&id={number}", {category, unavailable}))
    return [link for link, _ in entries], [wanted for _, wanted in entries]


async def fetch_all(links: list[str], allow: list[str], memory: Memory) -> list[tuple[int, str | ErrorCategory]]:
    """Of each row in the order they end, the digest of its image or the category of its failure."""
    settings = FetchSettings(
        concurrency=64, per_host=64, attempts=2, read_timeout=6, total_timeout=10, max_bytes=1_000_000
    )
    refs = iter([ImageRef(row, link) for row, link in enumerate(links)])
    outcomes: list[tuple[int, str | ErrorCategory]] = []
    async with Fetcher(settings, Allowances.parse(allow), policy=QUICK) as fetcher:

        async def work() -> None:
            for ref in refs:
                result = await fetcher.fetch(ref)
                if isinstance(result, Failure):
                    outcomes.append((ref.row, result.category))
                else:
                    assert result.sha256 == hashlib.sha256(result.body).hexdigest()
                    outcomes.append((ref.row, result.sha256))
                if not ref.row % 50:
                    memory.look()

        async with asyncio.timeout(300), asyncio.TaskGroup() as group:
            for _ in range(settings.concurrency):
                group.create_task(work())
    return outcomes
