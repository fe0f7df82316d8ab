"""Whatever a batch logs carries its run and its batch, as Airflow puts them into each record, and the row it is about.

Airflow binds the run and the number of the batch in the context of the task (``run_id``, ``map_index``). A thread
begins without a context, so what is logged in one has them only where it was given a copy.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from ocr_pipeline.errors import StorageError
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.reading.previews import PreviewWriter
from ocr_pipeline.reading.reader import ReaderProcess
from ocr_pipeline.records import ResultRow
from ocr_pipeline.run.staging import BatchProgress
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.storage.disk import LocalFile
from tests.conftest import DrawImage, MakePlan, WriteCsv
from tests.reading.engines import CRASH

TASK: contextvars.ContextVar[str] = contextvars.ContextVar("task", default="none")


@contextmanager
def noting_the_task(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Have each record carry the task of the context that it is logged in, which is ``run/3`` in the block."""

    def note(record: logging.LogRecord) -> bool:
        record.task = TASK.get()
        return True

    caplog.set_level(logging.DEBUG)
    caplog.handler.addFilter(note)
    token = TASK.set("run/3")
    try:
        yield
    finally:
        TASK.reset(token)
        caplog.handler.removeFilter(note)


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Task and text of what the core logged."""
    records = [record for record in caplog.records if record.name.startswith("ocr_pipeline.")]
    return [(record.__dict__["task"], record.getMessage()) for record in records]


def test_what_is_logged_of_an_image_names_its_row(
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    allowances: Allowances,
    caplog: pytest.LogCaptureFixture,
) -> None:
    links = [draw_image(30), draw_image(13), draw_image(CRASH), "http://user:S3CR3T@10.0.0.1/?S3CR3T"]
    _, plan = make_plan(write_csv(enumerate(links)), max_failures=1)
    reader = partial(ReaderProcess, engine="tests.reading.engines:PoisonedEngine")
    with noting_the_task(caplog):
        Batch(plan.batches[0], allowances, reader).run()
    said = logged(caplog)
    assert {task for task, _ in said} == {"run/3"}
    texts = [text for _, text in said]
    for wanted in (
        "row 2: test/width failed on page 0",  # from the reader process
        "while reading row 3: starting another",
        "1 engine_error, such as row 2, ",
        "1 engine_crashed, such as row 3, ",
        "1 forbidden_address, such as row 4, http://10.0.0.1/: ",
    ):
        assert any(wanted in text for text in texts), (wanted, texts)
    assert "S3CR3T" not in "".join(str(record.__dict__) for record in caplog.records)


def test_what_is_logged_in_threads_names_the_task(
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    allowances: Allowances,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, plan = make_plan(write_csv(enumerate([draw_image(30)])))

    def refuse(progress: BatchProgress) -> None:
        raise RuntimeError("nobody listens")

    write, add = LocalFile.write_bytes, PreviewWriter.add
    handed_over = threading.Event()

    def add_picture(writer: PreviewWriter, row: ResultRow, picture: bytes) -> None:
        add(writer, row, picture)
        handed_over.set()

    def write_no_picture(file: LocalFile, data: bytes) -> None:
        if file.path.suffix == ".webp":
            handed_over.wait(30)  # so that its failing is noted in the thread
            raise StorageError("the disk is full")
        write(file, data)

    monkeypatch.setattr(PreviewWriter, "add", add_picture)
    monkeypatch.setattr(LocalFile, "write_bytes", write_no_picture)
    with noting_the_task(caplog):
        reader = partial(ReaderProcess, engine="tests.conftest:WidthEngine")
        Batch(plan.batches[0], allowances, reader, observer=refuse).run()
    said = logged(caplog)
    assert any("nobody listens" in text for _, text in said)
    assert any("the disk is full" in text for _, text in said)
    assert {task for task, _ in said} == {"run/3"}
