"""How hosts are treated: limits, pauses and the circuit breaker."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from ocr_pipeline.allowances import Allowances
from ocr_pipeline.config import FetchSettings
from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch import Fetcher, Manners
from ocr_pipeline.fetch.politeness import Host, Hosts, HostUnavailableError
from ocr_pipeline.records import Failure, FetchedImage, ImageRef
from tests.fetch.conftest import QUICK, Fetch, failure_of, image_of
from tests.misbehaving_server import MisbehavingServer

TOUCHY = replace(QUICK, failures_to_open=3, seconds_to_open=0, cooldown=0.3)


async def fetch_together(fetcher: Fetcher, links: list[str]) -> list[FetchedImage | Failure]:
    return list(await asyncio.gather(*(fetcher.fetch(ImageRef(row, link)) for row, link in enumerate(links))))


def run_with_fetcher(
    allow: list[str], body: Callable[[Fetcher], Awaitable[None]], manners: Manners = TOUCHY, **settings: int
) -> None:
    async def main() -> None:
        async with Fetcher(FetchSettings(**settings), Allowances.parse(allow), manners=manners) as fetcher:  # type: ignore[arg-type]
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
    results = fetch(*links, attempts=1, manners=TOUCHY, read_timeout=0.2)
    assert [failure_of(result).category is ErrorCategory.HOST_UNAVAILABLE for result in results] == [
        False, False, False, True, True
    ]  # fmt: skip


@pytest.mark.parametrize("code", [429, 503])
def test_host_that_only_throttles_is_left_alone(fetch: Fetch, server: MisbehavingServer, code: int) -> None:
    links = [server.url("status", code=code, id=number) for number in range(5)]
    results = [failure_of(result) for result in fetch(*links, attempts=1, manners=TOUCHY)]
    assert [failure.attempts for failure in results] == [1, 1, 1, 0, 0]
    assert results[-1].category is ErrorCategory.HOST_UNAVAILABLE
    assert f"HTTP {code}" in results[-1].detail


def test_bad_images_do_not_condemn_their_host(fetch: Fetch, server: MisbehavingServer) -> None:
    bad = ["status", "stall", "short", "reset", "bad-gzip", "redirect-loop", "garbage-chunks"]
    links = [server.url(behaviour, id=number) for number in range(2) for behaviour in bad]
    links += [server.url("silent"), server.url("reset-at-once")]  # one image that never answers proves nothing
    *failures, image = fetch(*links, server.url("image"), manners=TOUCHY, read_timeout=0.5, attempts=2)
    assert ErrorCategory.HOST_UNAVAILABLE not in {failure_of(failure).category for failure in failures}
    assert image_of(image)


def test_redirect_to_a_dead_host_condemns_that_one_only(
    fetch: Fetch, server: MisbehavingServer, closed_port: int
) -> None:
    dead = f"127.0.0.1:{closed_port}"
    links = [server.url("redirect", to=f"http://{dead}/", id=number) for number in range(4)]
    *failures, image = fetch(*links, server.url("image"), allow=[server.address, dead], manners=TOUCHY)
    last = failure_of(failures[-1])
    assert last.category is ErrorCategory.HOST_UNAVAILABLE
    assert (last.attempts, last.http_status) == (1, 302)
    assert image_of(image)


def test_settled_hosts_are_forgotten(server: MisbehavingServer) -> None:
    async def main() -> None:
        hosts = Hosts(4, None, Manners())
        with hosts.use(("good.example", 80)) as host:
            since = await host.enter()
            assert len(hosts) == 1
            host.answered(since)
            host.leave()
        assert len(hosts) == 0
        with hosts.use(("bad.example", 80)) as host:
            host.failed(await host.enter(), 1.0, "down")
            host.leave()
        assert len(hosts) == 1

    asyncio.run(main())


async def entered(host: Host, tries: int = 20) -> int:
    """How many requests ``host`` lets through at once."""
    tasks = [asyncio.create_task(host.enter()) for _ in range(tries)]
    done, waiting = await asyncio.wait(tasks, timeout=0.2)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for _ in done:
        host.leave()
    return len(done)


def test_throttling_halves_the_limit_once_a_round_and_answers_restore_it() -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time
        host = Host(8, None, Manners())
        assert await entered(host) == 8
        since = [await host.enter() for _ in range(8)]
        for start in since:  # eight requests of one round, all throttled
            host.throttled(start, now(), "HTTP 429", pause=0)
            host.leave()
        assert await entered(host) == 4
        for _ in range(3):
            host.throttled(await host.enter(), now(), "HTTP 429", pause=0)
            host.leave()
        assert await entered(host) == 1
        for _ in range(40):
            await host.enter()
            host.answered(now())
            host.leave()
        assert await entered(host) == 8

    asyncio.run(main())


def test_brief_trouble_opens_no_circuit() -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time()
        host = Host(8, None, Manners(failures_to_open=3, seconds_to_open=5))
        for second in (0, 1, 2, 3, 4):
            host.failed(now + second, now + second, "down")
        assert await entered(host) == 1
        host.failed(now + 5, now - 30 + 5, "down")
        assert await entered(host) == 1
        host.failed(now + 5, now + 5, "down")
        with pytest.raises(HostUnavailableError, match="7 times in a row"):
            await host.enter()

    asyncio.run(main())


def test_probes_come_one_at_a_time_and_less_and_less_often() -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time
        host = Host(8, None, Manners(failures_to_open=1, seconds_to_open=0, cooldown=0.1, max_cooldown=0.4))
        host.failed(await host.enter(), now(), "down")
        host.leave()
        for cooldown in (0.1, 0.2, 0.4, 0.4):
            with pytest.raises(HostUnavailableError, match="down"):
                await host.enter()
            await asyncio.sleep(cooldown + 0.01)
            since = await host.enter()
            with pytest.raises(HostUnavailableError):
                await host.enter()
            before = now()
            host.failed(since, before, "still down")
            host.leave()
        await asyncio.sleep(0.41)
        await host.enter()
        host.answered(now())
        host.leave()
        assert await entered(host) == 2  # it is trusted again little by little

    asyncio.run(main())


def test_failures_from_before_the_circuit_opened_are_no_failed_probes() -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time
        host = Host(8, None, Manners(failures_to_open=1, seconds_to_open=0, cooldown=0.1))
        for since in [await host.enter() for _ in range(8)]:
            host.failed(since, now(), "down")
            host.leave()
        await asyncio.sleep(0.11)
        await host.enter()

    asyncio.run(main())


def test_request_that_waits_out_a_pause_learns_that_the_circuit_opened() -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time
        host = Host(1, None, Manners(failures_to_open=2, seconds_to_open=0))
        host.throttled(await host.enter(), now(), "HTTP 429", pause=0.2)
        host.leave()
        pausing, queued = (asyncio.create_task(host.enter()) for _ in range(2))
        await asyncio.sleep(0)
        host.failed(now(), now(), "down")
        for task in (pausing, queued):
            with pytest.raises(HostUnavailableError, match="down"):
                await task

    asyncio.run(main())


def test_turns_are_taken_in_order() -> None:
    async def main() -> None:
        host = Host(1, None, Manners())
        order: list[int] = []

        async def take(number: int) -> None:
            await host.enter()
            order.append(number)
            await asyncio.sleep(0)
            host.leave()
            if number < 3:  # whoever has had a turn and wants another queues behind those who wait
                await take(number + 10)

        await asyncio.gather(*(take(number) for number in range(5)))
        assert order == [0, 1, 2, 3, 4, 10, 11, 12]

    asyncio.run(main())


def test_turn_of_a_cancelled_request_goes_to_the_next() -> None:
    async def main() -> None:
        host = Host(1, None, Manners())
        await host.enter()
        first, second = asyncio.create_task(host.enter()), asyncio.create_task(host.enter())
        await asyncio.sleep(0)
        host.leave()  # the turn is given to the first, which is cancelled before it can take it
        first.cancel()
        await asyncio.wait_for(second, 10)
        assert first.cancelled()

    asyncio.run(main())


def test_connection_refused_by_every_address_is_no_forbidden_address(fetch: Fetch, closed_port: int) -> None:
    failure = failure_of(fetch(f"http://localhost:{closed_port}/", allow=["127.0.0.1", "::1"])[0])
    assert failure.category is ErrorCategory.CONNECT_FAILED
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", closed_port))
