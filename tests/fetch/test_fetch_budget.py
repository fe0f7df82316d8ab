"""The bytes that are held at once."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_pipeline.fetch import ByteBudget, Fetcher
from ocr_pipeline.fetch.budget import ITEM_BYTES
from ocr_pipeline.records import Failure, FetchedImage, ImageRef
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings
from tests.fetch.conftest import QUICK
from tests.misbehaving_server import MisbehavingServer

LIMIT = 1_000_000


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2 * LIMIT), min_size=1, max_size=4), min_size=1, max_size=40), st.integers(0, 9)
)
def test_every_body_gets_through_and_no_more_than_one_at_a_time_is_too_much(bodies: list[list[int]], seed: int) -> None:
    """Bodies grow in steps, in any interleaving, and some come to nothing."""
    dice = random.Random(seed)

    async def main() -> None:
        budget = ByteBudget(LIMIT)
        most_once = max(sum(steps) for steps in bodies) + ITEM_BYTES

        async def receive(steps: list[int]) -> None:
            lease = await budget.lease()
            size = 0
            for step in steps:
                size += step
                await lease.grow(size)
                assert budget.held <= LIMIT + most_once
                for _ in range(dice.randrange(3)):
                    await asyncio.sleep(0)
            if dice.random() < 0.2:
                lease.drop()
                return
            lease.keep(size)
            for _ in range(dice.randrange(3)):
                await asyncio.sleep(0)
            budget.release(size)

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for steps in bodies:
                group.create_task(receive(steps))
        assert budget.held == 0

    asyncio.run(main())


def test_a_cancelled_wait_gives_its_place_back() -> None:
    async def main() -> None:
        budget = ByteBudget(LIMIT)
        lease = await budget.lease()
        await lease.grow(LIMIT - ITEM_BYTES)
        waiting = asyncio.create_task(budget.lease())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        lease.drop()
        waiting = asyncio.create_task(budget.lease())
        await asyncio.sleep(0)
        assert waiting.done()
        waiting.result().drop()
        assert budget.held == 0

    asyncio.run(main())


@pytest.mark.parametrize("behaviour", ["image", "chunked"])
def test_a_slow_reader_stalls_the_network(server: MisbehavingServer, behaviour: str) -> None:
    sizes = [90_000] * 60 + [3 * LIMIT] + [90_000] * 20
    links = [server.url(behaviour, bytes=size, id=number) for number, size in enumerate(sizes)]

    async def main() -> tuple[list[int], int]:
        budget = ByteBudget(LIMIT)
        images: asyncio.Queue[FetchedImage] = asyncio.Queue()
        seen: list[int] = []
        most = 0

        def tell(outcome: FetchedImage | Failure) -> None:
            assert isinstance(outcome, FetchedImage), outcome
            images.put_nowait(outcome)

        async def read() -> None:
            nonlocal most
            while len(seen) < len(links):
                image = await images.get()
                await asyncio.sleep(0.005)
                if budget.held <= LIMIT + ITEM_BYTES * 10:
                    most = max(most, budget.held)
                else:
                    assert budget.held < LIMIT + 3 * LIMIT + ITEM_BYTES
                seen.append(len(image.body))
                budget.release(len(image.body))

        # Waiting for the reader takes longer than the deadlines, which must not count it.
        limits = FetchSettings(concurrency=32, per_host=32, read_timeout=5, total_timeout=0.4, attempts=1)
        allowed = Allowances.parse(server.address)
        async with (
            Fetcher(limits, allowed, budget=budget, policy=QUICK) as fetcher,
            asyncio.timeout(60),
            asyncio.TaskGroup() as group,
        ):
            group.create_task(read())
            await fetcher.fetch_all([ImageRef(row, link) for row, link in enumerate(links)], tell)
        assert budget.held == 0
        return seen, most

    seen, most = asyncio.run(main())
    assert sorted(seen) == sorted(sizes)
    assert LIMIT / 2 < most <= LIMIT
