"""Who is requested next, and who waits without taking a place."""

from __future__ import annotations

import asyncio

import pytest

from ocr_pipeline.fetch import Fetcher, RetryPolicy
from ocr_pipeline.fetch.scheduler import Scheduler
from ocr_pipeline.records import Failure, FetchedImage, ImageRef
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings
from tests.fetch.conftest import QUICK, image_of
from tests.misbehaving_server import MisbehavingServer


async def taken(queues: Scheduler[str], count: int) -> list[str]:
    """The next ``count`` jobs, none of which ends."""
    return [(await asyncio.wait_for(queues.next(), 5))[1] for _ in range(count)]


async def nothing_is_next(queues: Scheduler[str]) -> bool:
    try:
        await asyncio.wait_for(queues.next(), 0.02)
    except TimeoutError:
        return True
    return False


def test_the_host_with_the_fewest_requests_is_next() -> None:
    async def main() -> None:
        queues = Scheduler[str](4, None, RetryPolicy())
        for number in range(6):
            queues.add("big", f"big {number}")
        assert await taken(queues, 3) == ["big 0", "big 1", "big 2"]
        queues.add("small", "small 0")
        queues.add("small", "small 1")
        assert await taken(queues, 3) == ["small 0", "small 1", "big 3"]
        assert await nothing_is_next(queues)

    asyncio.run(main())


def test_a_job_that_ends_makes_room_for_the_next_of_its_host_and_settled_hosts_are_forgotten() -> None:
    async def main() -> None:
        queues = Scheduler[str](1, None, RetryPolicy())
        queues.add("host", "first")
        queues.add("host", "second")
        queue, _, _ = await queues.next()
        waiting = asyncio.create_task(queues.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        queues.leave(queue)
        queue, job, _ = await waiting
        assert job == "second"
        assert len(queues) == 1
        queues.leave(queue)
        assert len(queues) == 0

    asyncio.run(main())


def test_a_host_in_trouble_is_remembered() -> None:
    async def main() -> None:
        queues = Scheduler[str](1, None, RetryPolicy())
        queues.add("host", "only")
        queue, _, _ = await queues.next()
        queue.host.failed(asyncio.get_running_loop().time(), 1.0, "down")
        queues.leave(queue)
        assert len(queues) == 1

    asyncio.run(main())


def test_the_turn_of_a_cancelled_waiter_goes_to_the_next() -> None:
    async def main() -> None:
        queues = Scheduler[str](1, None, RetryPolicy())
        first, second = asyncio.create_task(queues.next()), asyncio.create_task(queues.next())
        await asyncio.sleep(0)
        queues.add("host", "job")  # wakes the first, which is cancelled before it can take it
        first.cancel()
        _, job, _ = await asyncio.wait_for(second, 5)
        assert job == "job"
        assert first.cancelled()

    asyncio.run(main())


def test_what_waits_for_its_time_comes_before_the_rest_of_its_host() -> None:
    async def main() -> None:
        queues = Scheduler[str](1, None, RetryPolicy())
        soon = asyncio.get_running_loop().time() + 0.03
        queues.add_later("host", "again", soon)
        assert await taken(queues, 1) == ["again"]
        assert asyncio.get_running_loop().time() >= soon - 0.01
        queues.close()

    asyncio.run(main())


def test_jobs_of_a_dead_host_are_handed_out_at_once() -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time()
        queues = Scheduler[str](1, None, RetryPolicy(failures_to_open=1, seconds_to_open=0))
        for number in range(3):
            queues.add("host", f"job {number}")
        queue, _, _ = await queues.next()
        queue.host.failed(now, now, "down")
        queues.leave(queue)
        for number in (1, 2):
            _, job, left_alone = await asyncio.wait_for(queues.next(), 5)
            assert (job, left_alone is not None) == (f"job {number}", True)

    asyncio.run(main())


@pytest.mark.parametrize(
    "bad", [{"name": "status", "code": 429, "retry_after": 2}, {"name": "status", "code": 500}, {"name": "image"}]
)
def test_hosts_that_must_wait_take_no_place(
    server: MisbehavingServer, other_server: MisbehavingServer, bad: dict[str, object]
) -> None:
    """With two places and a host that throttles, keeps failing or is limited by rate, the other is not held up."""
    name = str(bad.pop("name"))
    rate = 2.0 if name == "image" else None
    links = [server.url(name, id=number, **bad) for number in range(6)]
    good = [other_server.url("image", id=number) for number in range(2 if rate else 40)]

    async def main() -> list[FetchedImage | Failure]:
        outcomes: list[FetchedImage | Failure] = []
        settings = FetchSettings(concurrency=2, per_host=2, host_rate=rate)
        policy = RetryPolicy(backoff=2.0)
        async with Fetcher(settings, Allowances.parse([server.address, other_server.address]), policy=policy) as f:
            refs = [ImageRef(row, link) for row, link in enumerate([*links, *good])]
            fetching = asyncio.create_task(f.fetch_all(refs, outcomes.append))
            async with asyncio.timeout(20):
                while sum(isinstance(o, FetchedImage) and o.ref.row >= len(links) for o in outcomes) < len(good):
                    await asyncio.sleep(0.01)
            fetching.cancel()
        return outcomes

    outcomes = asyncio.run(main())
    assert sum(outcome.ref.row < len(links) for outcome in outcomes) < len(links)


def test_a_redirect_waits_for_the_host_that_it_leads_to(
    server: MisbehavingServer, other_server: MisbehavingServer
) -> None:
    async def main() -> None:
        settings = FetchSettings(concurrency=8, per_host=1)
        async with Fetcher(settings, Allowances.parse([server.address, other_server.address])) as fetcher:
            outcomes: list[FetchedImage | Failure] = []
            links = [
                server.url("redirect", to=other_server.url("image", delay=0.02, id=number), id=number)
                for number in range(6)
            ]
            await fetcher.fetch_all([ImageRef(row, link) for row, link in enumerate(links)], outcomes.append)
            assert [image_of(outcome).attempts for outcome in outcomes] == [1] * 6
        assert other_server.most_at_once == 1

    asyncio.run(main())


def test_what_takes_the_outcomes_may_end_it(server: MisbehavingServer) -> None:
    class EnoughError(Exception):
        pass

    seen: list[object] = []

    def tell(outcome: object) -> None:
        seen.append(outcome)
        raise EnoughError

    async def main() -> None:
        async with Fetcher(FetchSettings(), Allowances.parse(server.address), policy=QUICK) as fetcher:
            refs = [ImageRef(row, server.url("image", id=row, delay=0.05)) for row in range(200)]
            with pytest.raises(EnoughError):
                await fetcher.fetch_all(refs, tell)
            count = len(server.requests)
            assert image_of(await fetcher.fetch(ImageRef(0, server.url("image"))))
            assert count <= 2 * 16

    asyncio.run(main())
