"""What a batch counts for metrics, and that sending it holds nothing up."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np
import pytest

from ocr_pipeline.errors import BatchCancelledError, ErrorCategory, ImageError
from ocr_pipeline.metrics import NONE, Metric, Tag
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.reading.meter import Meter, ReaderState
from ocr_pipeline.records import (
    Failure,
    FetchedImage,
    ImageRef,
    Page,
    PageText,
    ResultRow,
    TextLine,
    read_row,
    unfetched_row,
    unread_row,
)
from ocr_pipeline.run.staging import BatchProgress
from ocr_pipeline.settings.deployment import Allowances
from tests.conftest import DrawImage, MakePlan, WriteCsv, reading_with

IMAGE = FetchedImage(ImageRef(0, "y"), b"12345", "00", 200, 2, 0.25)
FAILURE = Failure(ImageRef(1, "x"), ErrorCategory.TIMEOUT, "why", attempts=3, seconds=1.5)
CORNERS = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
ENGINE = {Tag.ENGINE: "openvino", Tag.MODEL: "m"}
NOTHING_READ = {Tag.ENGINE: NONE, Tag.MODEL: NONE}


class Sent:
    """Takes what is sent, and keeps it."""

    def __init__(self) -> None:
        self.values: list[tuple[Metric, float, dict[Tag, str]]] = []

    def __call__(self, metric: Metric, value: float, tags: Mapping[Tag, str]) -> None:
        self.values.append((metric, value, dict(tags)))

    def of(self, metric: Metric) -> list[tuple[float, dict[Tag, str]]]:
        """The values of one metric, with their tags."""
        return [(value, tags) for sent, value, tags in self.values if sent is metric]


def sent_by(meter: Meter, at: BatchProgress | None = None) -> Sent:
    """What ``meter`` sends now."""
    sent = Sent()
    meter.send(sent, at or BatchProgress())
    return sent


def page(text: str, number: int = 0) -> ResultRow:
    """The row of a page that was read in 20 ms."""
    lines = (TextLine(text, 0.9, CORNERS),) if text else ()
    pixels = np.zeros((4, 4, 3), np.uint8)
    return read_row(IMAGE, Page(number, pixels), PageText(lines), 0.02, "openvino/m")


def outcome(status: str, category: str = NONE) -> dict[Tag, str]:
    return {Tag.STATUS: status, Tag.CATEGORY: category}


def test_fetching_is_added_up() -> None:
    meter = Meter()
    meter.fetched(IMAGE)
    meter.fetched(FAILURE)
    sent = sent_by(meter)
    assert sent.of(Metric.FETCH_REQUESTS) == [(5, {})]
    assert sent.of(Metric.FETCH_TIME) == [(1750, {})]
    assert sent.of(Metric.FETCH_BYTES) == [(5, {})]


def test_what_was_sent_is_not_sent_again() -> None:
    meter = Meter()
    meter.finished([page("text")])
    assert sent_by(meter).of(Metric.IMAGES) == [(1, ENGINE | outcome("ok"))]
    assert sent_by(meter).of(Metric.IMAGES) == []
    meter.finished([page("text")])
    meter.finished([page("text")])
    assert sent_by(meter).of(Metric.IMAGES) == [(2, ENGINE | outcome("ok"))]


def test_an_image_counts_once_by_what_became_of_it_and_its_pages_each() -> None:
    failed = unread_row(IMAGE, ImageError(ErrorCategory.ENGINE_ERROR, "why"), 1, None, 0.5)
    meter = Meter()
    meter.finished([page(""), page("text", 1)])
    meter.finished([page("text"), failed])
    meter.finished([unfetched_row(FAILURE)])
    sent = sent_by(meter)
    assert sent.of(Metric.IMAGES) == [
        (1, ENGINE | outcome("ok")),
        (1, NOTHING_READ | outcome("read_failed", "engine_error")),
        (1, NOTHING_READ | outcome("fetch_failed", "timeout")),
    ]
    assert sent.of(Metric.PAGES) == [(3, ENGINE)]
    assert sent.of(Metric.READ_TIME) == [(60, ENGINE)]


def test_of_memory_the_most_is_sent_and_of_restarts_the_new_ones() -> None:
    meter = Meter()
    meter.look(3, 2, 1, ReaderState(1, 500, 1000))
    meter.look(0, 4, 2, ReaderState(3, 300, 1000))
    sent = sent_by(meter)
    assert sent.of(Metric.QUEUE) == [
        (0, {Tag.STAGE: "fetching"}),
        (4, {Tag.STAGE: "waiting"}),
        (2, {Tag.STAGE: "reading"}),
    ]
    assert sent.of(Metric.MEMORY) == [(500, {})]
    assert sent.of(Metric.MEMORY_LIMIT) == [(1000, {})]
    assert sent.of(Metric.READER_RESTARTS) == [(3, {})]
    meter.look(0, 0, 0, ReaderState(3, 550, 600))
    meter.look(0, 0, 0, ReaderState(3, 600, 800))
    sent = sent_by(meter)
    assert sent.of(Metric.MEMORY) == [(550, {})]  # of the process that was nearest to its limit
    assert sent.of(Metric.MEMORY_LIMIT) == [(600, {})]
    meter.look(0, 0, 0, ReaderState(3, 100))
    sent = sent_by(meter)
    assert sent.of(Metric.MEMORY) == [(100, {})]
    assert sent.of(Metric.MEMORY_LIMIT) == []
    assert sent.of(Metric.READER_RESTARTS) == [(0, {})]


def test_a_batch_is_idle_since_the_last_image_came_or_was_finished() -> None:
    now = [100.0]
    meter = Meter(lambda: now[0])
    now[0] = 130.0
    assert sent_by(meter).of(Metric.IDLE) == [(30.0, {})]
    meter.fetched(FAILURE)
    now[0] = 131.0
    assert sent_by(meter).of(Metric.IDLE) == [(1.0, {})]
    meter.finished([page("text")])
    assert sent_by(meter).of(Metric.IDLE) == [(0.0, {})]


@pytest.mark.parametrize(
    ("at", "counted"),
    [
        (BatchProgress(1, 0, 2), []),
        (BatchProgress(2, 0, 2, staged=True), [(1, {Tag.OUTCOME: "staged"})]),
        (BatchProgress(1, 0, 2, error="BatchCancelledError"), [(1, {Tag.OUTCOME: "failed"})]),
    ],
)
def test_a_batch_that_has_ended_is_counted(at: BatchProgress, counted: list[tuple[float, dict[Tag, str]]]) -> None:
    assert sent_by(Meter(), at).of(Metric.BATCHES) == counted


def test_every_value_has_the_tags_that_the_table_says() -> None:
    meter = Meter()
    meter.fetched(IMAGE)
    meter.finished([page("text")])
    meter.look(0, 0, 0, ReaderState(0, 1, 2))
    sent = sent_by(meter, BatchProgress(1, 0, 1, staged=True, images_per_second=1.5))
    assert {metric for metric, _, _ in sent.values} == set(Metric) - {Metric.MISSING, Metric.NEXT_DUE}
    assert [metric for metric, _, tags in sent.values if (Tag.DATASET, *tags) != metric.tags] == []
    assert sent.of(Metric.RATE) == [(1.5, {})]


def test_a_batch_sends_all_that_it_did(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    links = [draw_image(30), draw_image(30), *(f"{number}.png" for number in range(30))]
    _, plan = make_plan(write_csv(enumerate(links)), max_failures=1)
    sent = Sent()
    Batch(plan.batches[0], allowances, reading_with(), send_metric=sent).run()
    assert sum(value for value, _ in sent.of(Metric.IMAGES)) == 31  # the repeated link is read once
    assert sent.of(Metric.BATCHES) == [(1, {Tag.OUTCOME: "staged"})]


def test_a_batch_that_is_stopped_sends_that_it_failed(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    _, plan = make_plan(write_csv(enumerate([draw_image(30)])))
    sent = Sent()
    batch = Batch(plan.batches[0], allowances, reading_with(), send_metric=sent)
    batch.stop()
    with pytest.raises(BatchCancelledError):
        batch.run()
    assert sent.of(Metric.BATCHES) == [(1, {Tag.OUTCOME: "failed"})]


def test_a_server_that_hangs_holds_no_batch_up(
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    allowances: Allowances,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ocr_pipeline.reading.reporting._END_SECONDS", 0.01)
    hanging = threading.Event()

    def hang(metric: Metric, value: float, tags: Mapping[Tag, str]) -> None:
        hanging.wait()

    _, plan = make_plan(write_csv(enumerate([draw_image(30)])))
    batch = Batch(plan.batches[0], allowances, reading_with(), send_metric=hang)
    assert batch.run().statuses == {"ok": 1}
    hanging.set()


def test_a_server_that_refuses_ends_no_batch(
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    allowances: Allowances,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(metric: Metric, value: float, tags: Mapping[Tag, str]) -> None:
        raise OSError("no route")

    _, plan = make_plan(write_csv(enumerate([draw_image(30)])))
    assert Batch(plan.batches[0], allowances, reading_with(), send_metric=refuse).run().statuses == {"ok": 1}
    assert caplog.text.count("no route") == 1
