"""What the page of a run says of its batches."""

from __future__ import annotations

from types import SimpleNamespace

from ocr_airflow.pages.batches import Batches
from ocr_airflow.pages.database import AirflowRun, TaskState
from ocr_airflow.pages.links import Links
from ocr_airflow.pages.rendering import render
from ocr_pipeline.records import BatchRef
from ocr_pipeline.run.staging import BatchProgress
from ocr_pipeline.viewing.answers import BatchOverview, BatchState

HOSTILE = "<b>.example.org"


def running(index: int, done: int, rate: float | None) -> BatchOverview:
    """A batch of 100 images that reports what it does."""
    now = BatchProgress(
        done,
        1,
        100,
        doing="reading",
        images_per_second=rate,
        seconds_left=8.0,
        slowest_hosts={HOSTILE: 2.5},
    )
    return BatchOverview(
        batch=BatchRef("run", index, index * 100, 100, 100), state=BatchState.RUNNING, total=100, done=done, failed=1,
        error="", pages=0, bytes=0, statuses={}, errors={}, warnings={}, models=(), seconds=0.0, finished_at=None,
        resumed=0, now=now,
    )  # fmt: skip


def test_batches_that_run_say_together_when_the_run_is_done() -> None:
    reported = [running(0, 40, 3.0), running(1, 20, 1.0), running(2, 0, None)]
    tasks = {0: TaskState("running", 1), 1: TaskState("running", 1), 2: TaskState("running", 1)}
    batches = Batches.of(reported, tasks)
    assert (batches.images_per_second, batches.seconds_left) == (4.0, 60.0)
    # What a killed task has left says nothing of now.
    batches = Batches.of(reported, tasks | {1: TaskState("up_for_retry", 1)})
    assert (batches.images_per_second, batches.seconds_left) == (3.0, 80.0)
    batches = Batches.of(reported, {})
    assert (batches.images_per_second, batches.seconds_left) == (None, None)


def test_a_line_says_what_its_batch_does() -> None:
    html = render(
        "_batches.html",
        links=Links.below("/ocr"),
        run=AirflowRun("ocr_images", "run", "running", None, None, ours=True),
        overview=SimpleNamespace(images=100, done=40),
        batches=Batches.of([running(0, 40, 3.0)], {0: TaskState("running", 1)}),
        retry_address=None,
    )
    assert "reading, 3 images/s, 8.0 s left; slowest: <bdi>&lt;b&gt;.example.org</bdi> 2.5 s" in html
    assert "3 images/s, 20 s left" in html
    assert HOSTILE not in html
