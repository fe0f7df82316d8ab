"""How hosts are treated: limits, pauses and the circuit breaker."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch import Fetcher, RetryPolicy
from ocr_pipeline.fetch.politeness import Host
from ocr_pipeline.records import Failure, FetchedImage, ImageRef
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings
from tests.fetch.conftest import QUICK, Fetch, failure_of, image_of
from tests.misbehaving_server import MisbehavingServer

TOUCHY = replace(QUICK, failures_to_open=3, seconds_to_open=0, cooldown=0.3)


async def fetch_together(fetcher: Fetcher, links: list[str]) -> list[FetchedImage | Failure]:
    return list(await asyncio.gather(*(fetcher.fetch(ImageRef(row, link)) for row, link in enumerate(links))))


def run_with_fetcher(
    allow: list[str], body: Callable[[Fetcher], Awaitable[None]], policy: RetryPolicy = TOUCHY, **settings: int
) -> None:
    async def main() -> None:
        async with Fetcher(FetchSettings(**settings), Allowances.parse(allow), policy=policy) as fetcher:
            await body(fetcher)

    asyncio.run(main())


def test_no_more_requests_at_once_than_per_host(server: MisbehavingServer) -> None:
    links = [server.url("image", delay=0.05, id=number) for number in range(20)]

    async def body(fetcher: Fetcher) -> None:
        for result in await fetch_together(fetcher, links):
            assert image_of(result).attempts == 1

    run_with_fetcher([server.address], body, per_host=4)
    assert server.most_at_once == 4
    assert len(server.requests) == 20


def test_hosts_do_not_wait_for_each_other(server: MisbehavingServer, other_server: MisbehavingServer) -> None:
    async def body(fetcher: Fetcher) -> None:
        stuck = asyncio.create_task(fetcher.fetch(ImageRef(0, server.url("silent"))))
        assert image_of(await fetcher.fetch(ImageRef(1, other_server.url("image"))))
        stuck.cancel()

    run_with_fetcher([server.address, other_server.address], body, per_host=1)


def test_no_more_requests_a_second_than_host_rate(server: MisbehavingServer) -> None:
    links = [server.url("image", id=number) for number in range(11)]

    async def body(fetcher: Fetcher) -> None:
        await fetch_together(fetcher, links)

    run_with_fetcher([server.address], body, host_rate=20)
    times = sorted(request.time for request in server.requests)
    assert len(times) == 11
    assert times[-1] - times[0] > 0.45


def test_dead_host_is_left_alone_and_taken_up_again(closed_port: int) -> None:
    origin = f"http://127.0.0.1:{closed_port}"

    async def body(fetcher: Fetcher) -> None:
        first = [failure_of(await fetcher.fetch(ImageRef(row, f"{origin}/image?id={row}"))) for row in range(5)]
        assert first[0].category is ErrorCategory.CONNECT_FAILED
        assert first[0].attempts == 3
        for failure in first[1:]:
            assert (failure.category, failure.attempts) == (ErrorCategory.HOST_UNAVAILABLE, 0)
            assert "3 times in a row" in failure.detail
            assert f"127.0.0.1:{closed_port}" in failure.detail
        with MisbehavingServer(port=closed_port) as server:
            async with asyncio.timeout(30):
                while isinstance(result := await fetcher.fetch(ImageRef(9, server.url("image"))), Failure):
                    assert result.category is ErrorCategory.HOST_UNAVAILABLE
                    await asyncio.sleep(0.05)
            assert len(server.requests) == 1
            results = await fetch_together(fetcher, [server.url("image", id=number) for number in range(10)])
            assert all(image_of(result) for result in results)

    run_with_fetcher([f"127.0.0.1:{closed_port}"], body)


def test_waiting_links_of_a_host_fail_with_it(closed_port: int) -> None:
    async def body(fetcher: Fetcher) -> None:
        links = [f"http://127.0.0.1:{closed_port}/{number}" for number in range(50)]
        failures = [failure_of(result) for result in await fetch_together(fetcher, links)]
        categories = {failure.category for failure in failures}
        assert categories == {ErrorCategory.CONNECT_FAILED, ErrorCategory.HOST_UNAVAILABLE}
        assert sum(failure.attempts for failure in failures) <= 6

    run_with_fetcher([f"127.0.0.1:{closed_port}"], body, per_host=2)


@pytest.mark.parametrize("behaviour", ["silent", "reset-at-once"])
def test_host_that_never_answers_is_left_alone(fetch: Fetch, server: MisbehavingServer, behaviour: str) -> None:
    links = [server.url(behaviour, id=number) for number in range(5)]
    results = fetch(*links, attempts=1, policy=TOUCHY, read_timeout=0.2)
    assert [failure_of(result).category is ErrorCategory.HOST_UNAVAILABLE for result in results] == [
        False, False, False, True, True
    ]  # fmt: skip


@pytest.mark.parametrize("code", [429, 503])
def test_host_that_only_throttles_is_left_alone(fetch: Fetch, server: MisbehavingServer, code: int) -> None:
    links = [server.url("status", code=code, id=number) for number in range(5)]
    results = [failure_of(result) for result in fetch(*links, attempts=1, policy=TOUCHY)]
    assert [failure.attempts for failure in results] == [1, 1, 1, 0, 0]
    assert results[-1].category is ErrorCategory.HOST_UNAVAILABLE
    assert f"HTTP {code}" in results[-1].detail


@pytest.mark.slow
def test_bad_images_do_not_condemn_their_host(fetch: Fetch, server: MisbehavingServer) -> None:
    bad = ["status", "stall", "short", "reset", "bad-gzip", "redirect-loop", "garbage-chunks"]
    links = [server.url(behaviour, id=number) for number in range(2) for behaviour in bad]
    links += [server.url("silent"), server.url("reset-at-once")]  # one image that never answers proves nothing
    *failures, image = fetch(*links, server.url("image"), policy=TOUCHY, read_timeout=0.5, attempts=2)
    assert ErrorCategory.HOST_UNAVAILABLE not in {failure_of(failure).category for failure in failures}
    assert image_of(image)


def test_redirect_to_a_dead_host_condemns_that_one_only(
    fetch: Fetch, server: MisbehavingServer, closed_port: int
) -> None:
    dead = f"127.0.0.1:{closed_port}"
    links = [server.url("redirect", to=f"http://{dead}/", id=number) for number in range(4)]
    *failures, image = fetch(*links, server.url("image"), allow=[server.address, dead], policy=TOUCHY)
    last = failure_of(failures[-1])
    assert last.category is ErrorCategory.HOST_UNAVAILABLE
    assert (last.attempts, last.http_status) == (1, 302)
    assert image_of(image)


@pytest.mark.slow
def test_host_that_slows_gets_fewer_requests_at_once(server: MisbehavingServer) -> None:
    quick = [server.url("crowded", room=99, id=number) for number in range(64)]
    slow = [server.url("crowded", room=2, delay=0.4, id=number) for number in range(64)]

    async def body(fetcher: Fetcher) -> None:
        for links in (quick, slow):
            for result in await fetch_together(fetcher, links):
                assert image_of(result)

    run_with_fetcher([server.address], body, replace(QUICK, slow_after=0.2), per_host=16)
    at_once = [request.at_once for request in server.requests[len(quick) :]]
    assert max(at_once) == 16
    assert max(at_once[-24:]) <= 8


def room(host: Host, now: float) -> int:
    """How many requests ``host`` lets through at once."""
    count = 0
    while not host.full and host.unavailable(now) is None:
        host.begin(now)
        count += 1
    for _ in range(count):
        host.leave()
    return count


def test_throttling_halves_the_limit_once_a_round_and_answers_restore_it() -> None:
    host = Host(8, None, RetryPolicy())
    assert room(host, 0) == 8
    for _ in range(8):  # eight requests of one round, all throttled
        host.throttled(0, 1, "HTTP 429", pause=0)
    assert room(host, 1) == 4
    for second in (2, 3, 4):
        host.throttled(second, second + 0.5, "HTTP 429", pause=0)
    assert room(host, 5) == 1
    for second in range(40):
        host.answered(6 + second)
    assert room(host, 50) == 8


def test_slow_answers_halve_the_limit_once_a_round_until_they_are_usual() -> None:
    host = Host(16, None, RetryPolicy())
    for _ in range(100):
        host.answered(1, 0, 0.1)
    for now in (2, 4, 6):  # now and then an image that takes its time
        for waited in (5, 5, 5, 0.1):
            host.answered(now, now - 1, waited)
    for _ in range(100):
        host.answered(8, 7, 0.9)  # longer than usual, but nobody minds
    assert room(host, 8) == 16
    for _ in range(16):
        host.answered(10, 9, 4.0)
    assert room(host, 10) == 8
    for _ in range(8):
        host.answered(15, 11, 4.0)
    assert room(host, 15) == 4
    for now in range(20, 520):  # it stays as it is, and so be it
        host.answered(now, now - 4, 4.0)
    assert room(host, 520) == 16


def test_brief_trouble_opens_no_circuit() -> None:
    host = Host(8, None, RetryPolicy(failures_to_open=3, seconds_to_open=5))
    for second in (10, 11, 12, 13, 14):
        host.failed(second, second, "down")
    assert room(host, 14) == 1
    host.failed(15, 15, "down")
    assert "6 times in a row" in (host.unavailable(15) or "")


def test_probes_come_one_at_a_time_and_less_and_less_often() -> None:
    host = Host(8, None, RetryPolicy(failures_to_open=1, seconds_to_open=0, cooldown=10, max_cooldown=40))
    host.begin(1)
    host.failed(1, 2, "down")
    host.leave()
    now = 2.0
    for cooldown in (10, 20, 40, 40):
        assert "down" in (host.unavailable(now + cooldown - 0.1) or "")
        now += cooldown
        assert host.unavailable(now) is None
        host.begin(now)
        assert host.unavailable(now)  # the probe has not told yet
        host.failed(now, now + 1, "still down")
        host.leave()
        now += 1
    assert host.unavailable(now + 39)
    now += 41
    host.begin(now)
    host.answered(now)
    host.leave()
    assert room(host, now) == 2  # it is trusted again little by little


def test_failures_from_before_the_circuit_opened_are_no_failed_probes() -> None:
    host = Host(8, None, RetryPolicy(failures_to_open=1, seconds_to_open=0, cooldown=10))
    for _ in range(8):
        host.failed(1, 2, "down")
    assert host.unavailable(11)
    assert host.unavailable(12.1) is None


def test_connection_refused_by_every_address_is_no_forbidden_address(fetch: Fetch, closed_port: int) -> None:
    failure = failure_of(fetch(f"http://localhost:{closed_port}/", allow=["127.0.0.1", "::1"])[0])
    assert failure.category is ErrorCategory.CONNECT_FAILED
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", closed_port))
