"""What is told of a batch while it runs, and that telling does it no harm."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.reading.hosts import MOST_HOSTS, HostStatistics
from ocr_pipeline.reading.progress import Progress
from ocr_pipeline.reading.reporting import Reporter, describe_progress
from ocr_pipeline.records import Failure, ImageRef, known_row, unfetched_row
from ocr_pipeline.run.staging import BatchProgress
from ocr_pipeline.settings.deployment import Allowances
from tests.conftest import DrawImage, MakePlan, ThreadReader, WidthEngine, WriteCsv


class Clock:
    """A clock that shows what it is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def finish(progress: Progress, count: int) -> None:
    for row in range(count):
        progress.count([known_row(row, "a run")])


def test_how_fast_it_is_is_told_from_the_last_minute() -> None:
    clock = Clock()
    progress = Progress(1000, 100, clock=clock)
    assert (progress.look().images_per_second, progress.look().seconds_left) == (None, None)
    for clock.now in range(0, 100, 5):
        finish(progress, 5)
        progress.look()
    assert (progress.look().images_per_second, progress.look().seconds_left) == (1.0, 800.0)
    for clock.now in range(100, 200, 5):
        finish(progress, 20)
        progress.look()
    assert (progress.look().images_per_second, progress.look().seconds_left) == (4.0, 100.0)
    clock.now += 1000  # nothing has come since
    assert (progress.look().images_per_second, progress.look().seconds_left) == (None, None)


def test_the_slowest_hosts_are_named_and_those_that_were_not_asked_are_not() -> None:
    progress = Progress(10)
    for host, seconds, attempts in (
        ("a", 1.0, 1),
        ("b", 5.0, 3),
        ("b", 7.0, 1),
        ("c", 2.0, 1),
        ("d", 0.5, 1),
        ("e", 0, 0),
    ):
        failure = Failure(ImageRef(0, "x"), ErrorCategory.HOST_UNAVAILABLE, "why", attempts=attempts, seconds=seconds)
        progress.fetched(host, failure)
    assert progress.look().slowest_hosts == {"b": 6.0, "c": 2.0, "a": 1.0}
    assert progress.hosts.most_failed() == ", most of all 2 of 2 at b, 1 of 1 at a, 1 of 1 at c"


def test_a_host_for_every_image_takes_no_more_memory() -> None:
    hosts = HostStatistics()
    hosts.add("down.example", 0.1, failed=True)
    hosts.add("slow.example", 99.0)
    for number in range(10 * MOST_HOSTS):
        hosts.add(f"h{number}.example", 1.0)
    assert len(hosts) <= MOST_HOSTS
    assert hosts.slowest(1) == [("slow.example", 99.0)]
    assert "down.example" in hosts.most_failed()


def test_a_line_of_the_log_says_what_is_known() -> None:
    at = BatchProgress(120, 3, 1000, doing="fetching and reading")
    assert describe_progress(at) == "120 of 1,000 images, 3 failed, fetching and reading"
    at = BatchProgress(1, 0, 1000, doing="x", images_per_second=5.25, seconds_left=4000.4, slowest_hosts={"h:80": 2.34})
    assert describe_progress(at) == (
        "1 of 1,000 images, 0 failed, x; 5.2 images/s; about 1:06:40 left; slowest hosts: h:80 (2.3 s an image)"
    )


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (BatchProgress(8, 1, 8), "7 read, 1 failed"),
        (BatchProgress(8, 8, 8), "0 read, 8 failed"),
        (BatchProgress(8, 0, 8, 3), "5 read, 3 known"),
        (BatchProgress(1200, 3, 2000), "1,200 of 2,000 finished, 3 failed"),
        (BatchProgress(), "nothing to read"),
    ],
)
def test_an_outcome_is_told_in_short(at: BatchProgress, said: str) -> None:
    assert at.outcome == said


def test_a_batch_tells_how_far_it_is_from_the_beginning_to_the_end(
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    allowances: Allowances,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    _, plan = make_plan(write_csv(enumerate([draw_image(30), draw_image(40), "none.png"])))
    told: list[BatchProgress] = []
    doing: list[str] = []
    first = threading.Event()

    def observe(progress: BatchProgress) -> None:
        told.append(progress)
        first.set()
        raise RuntimeError("nobody listens")

    class WaitingReader(ThreadReader):
        async def ready(self, compiling: Callable[[], None]) -> int:
            assert await asyncio.to_thread(first.wait, 30)
            compiling()
            doing.append(batch.progress.doing)
            return await super().ready(compiling)

    batch = Batch(plan.batches[0], allowances, partial(WaitingReader, WidthEngine()), observer=observe)
    batch.run()
    assert told[0].doing == "fetching, and loading the engine"
    assert doing == ["compiling networks (once a machine)"]
    assert (told[0].staged, told[0].total) == (False, 3)
    assert replace(told[-1], images_per_second=None, seconds_left=None) == BatchProgress(3, 1, 3, staged=True)
    assert "0 of 3 images, 0 failed, fetching, and loading the engine" in caplog.text
    assert caplog.text.count("nobody listens") == 1


def test_an_observer_that_hangs_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocr_pipeline.reading.reporting._END_SECONDS", 0.01)
    hanging, told = threading.Event(), []

    def observe(progress: BatchProgress) -> None:
        told.append(progress)
        hanging.wait()

    with pytest.raises(ValueError, match="why"), Reporter("batch", Progress(1), [observe]):
        raise ValueError("why")
    hanging.set()
    assert [progress.error for progress in told] == ["ValueError"]


def test_a_host_is_not_blamed_for_what_it_does_not_have() -> None:
    progress = Progress(1)
    failure = Failure(ImageRef(0, "x"), ErrorCategory.NOT_FOUND, "why", attempts=1, seconds=1.0)
    progress.fetched("a", failure)
    progress.count([unfetched_row(failure)])
    assert progress.hosts.most_failed() == ""
    assert progress.look().failed == 1
