"""Images that crash, hang or starve the process that reads them, with real processes that really die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from ocr_pipeline.errors import BatchCancelledError, DeadlineError, ReaderError
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.reading.reader import ReaderProcess
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import ReadSettings
from tests.conftest import DrawImage, MakePlan, WriteCsv, bare_environment, reading_with, staged_rows
from tests.reading.engines import CRASH, GREEDY, HANG, HOG, HOLD, KILL, CompiledEngine

pytestmark = pytest.mark.slow

MEMORY = 600 << 20

poisoned = partial(ReaderProcess, engine="tests.reading.engines:PoisonedEngine", page_seconds=4.0, memory=MEMORY)


@pytest.fixture
def readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """Gives the numbers of the reader processes that loaded a :class:`~tests.reading.engines.NotingEngine`."""
    noted = tmp_path / "readers"
    monkeypatch.setenv("OCR_TESTS_READERS", str(noted))
    return lambda: [int(line) for line in noted.read_text().split()] if noted.exists() else []


def test_images_that_crash_hang_or_starve_the_reader_cost_themselves_alone(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    poison = {10: CRASH, 30: HANG, 50: HOLD, 51: HOG, 90: KILL}
    links = [draw_image(poison.get(row, 100 + row)) for row in range(100)]
    run, plan = make_plan(write_csv(enumerate(links)))
    statistics = Batch(plan.batches[0], allowances, poisoned).run()
    rows = staged_rows(run, plan)
    assert [row.text for row in rows] == ["" if n in poison else f"width {100 + n}" for n in range(100)]
    assert {row.row: row.error for row in rows if row.error} == dict.fromkeys(poison, "engine_crashed")
    assert statistics.failed == 5
    details = {poison[row.row]: row.error_detail or "" for row in rows if row.error}
    assert "crashed (SIGSEGV)" in details[CRASH]
    assert "took more than 4 s for a page" in details[HANG]
    assert "took more than 4 s for a page" in details[HOLD]
    assert "MB of memory, more than" in details[HOG]
    assert "was killed from outside (SIGKILL)" in details[KILL]
    # A person who clears the task has them tried again.
    for width in poison.values():
        Path(plan.base, draw_image(40)).replace(Path(plan.base, draw_image(width)))
    Batch(plan.batches[0], allowances, reading_with()).run()
    assert [row.error for row in staged_rows(run, plan)] == [None] * 100


def test_a_page_that_asks_for_too_much_memory_fails_alone(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    run, plan = make_plan(write_csv(enumerate(draw_image(width) for width in (70, GREEDY, 71))))
    Batch(plan.batches[0], allowances, poisoned).run()
    rows = staged_rows(run, plan)
    assert [row.error for row in rows] == [None, "engine_error", None]
    assert "memory" in (rows[1].error_detail or "")


def test_only_poison_is_marked_and_the_batch_goes_on(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    links = [draw_image(CRASH)]
    for n in range(3):
        copy = Path(allowances.folders[0], f"copy-{n}.png")
        copy.write_bytes(Path(allowances.folders[0], links[0]).read_bytes() + bytes(n + 1))
        links.append(copy.name)
    run, plan = make_plan(write_csv(enumerate([*links, draw_image(70)])))
    Batch(plan.batches[0], allowances, poisoned).run()
    errors = [row.error for row in staged_rows(run, plan)]
    assert errors == ["engine_crashed"] * 4 + [None]


def test_a_reader_that_never_gets_ready_ends_the_batch_as_an_error_to_retry(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    run, plan = make_plan(write_csv([(0, draw_image(30))]))
    crashing = partial(ReaderProcess, engine="tests.reading.engines:CrashingEngine")
    with pytest.raises(ReaderError, match=r"ended 3 times in a row .* crashed \(SIGSEGV\)") as caught:
        Batch(plan.batches[0], allowances, crashing).run()
    assert caught.value.retryable
    assert not run.marker(0).exists()


def test_no_engine_is_loaded_where_nothing_is_left_to_read(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    _, plan = make_plan(write_csv([(0, draw_image(30))]))
    Batch(plan.batches[0], allowances, reading_with()).run()
    unusable = partial(ReaderProcess, engine="tests.reading.engines:NoEngine")
    statistics = Batch(plan.batches[0], allowances, unusable).run()
    assert (statistics.statuses, statistics.models) == ({"ok": 1}, ["test/width"])


def test_the_reader_is_ended_by_a_deadline_although_it_hangs(
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    allowances: Allowances,
    readers: Callable[[], list[int]],
) -> None:
    run, plan = make_plan(write_csv(enumerate(draw_image(width) for width in (HOLD, *range(70, 79)))))
    noting = partial(ReaderProcess, engine="tests.reading.engines:NotingEngine")
    with pytest.raises(DeadlineError):
        Batch(plan.batches[0], allowances, noting, seconds=4.0).run()
    (reader,) = readers()
    assert not psutil.pid_exists(reader)
    assert not run.marker(0).exists()


def test_the_reader_is_ended_when_the_batch_is_stopped(
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    allowances: Allowances,
    readers: Callable[[], list[int]],
) -> None:
    _, plan = make_plan(write_csv(enumerate(draw_image(width) for width in (HANG, *range(70, 79)))))
    noting = partial(ReaderProcess, engine="tests.reading.engines:NotingEngine")
    batch = Batch(plan.batches[0], allowances, noting, checkpoint_seconds=0.05)

    def stop_later() -> None:
        until(lambda: readers() and any(Path(plan.batches[0].run, "checkpoints", "batch-00000").glob("part-*")))
        batch.stop()

    stopper = threading.Thread(target=stop_later)
    stopper.start()
    started = time.monotonic()
    with pytest.raises(BatchCancelledError):
        batch.run()
    stopper.join()
    assert time.monotonic() - started < 60
    assert not psutil.pid_exists(readers()[0])
    assert 0 < Batch(plan.batches[0], allowances, reading_with()).run().resumed < 10


ATTEMPT = """
import sys
from functools import partial
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.reading.reader import ReaderProcess
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.settings.deployment import Allowances

allowances = Allowances.parse(sys.argv[2])
(batch,) = Plan.load(RunFolder.open(sys.argv[1], allowances)).batches
noting = partial(ReaderProcess, engine="tests.reading.engines:NotingEngine")
Batch(batch, allowances, noting, checkpoint_seconds=0.05).run()
"""


@pytest.mark.parametrize("poison", [HANG, HOLD])
def test_the_reader_ends_with_its_killed_parent(
    poison: int,
    tmp_path: Path,
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    readers: Callable[[], list[int]],
) -> None:
    run: RunFolder
    run, plan = make_plan(write_csv(enumerate(draw_image(width) for width in (*range(70, 79), poison))))
    environment = bare_environment() | {"OCR_TESTS_READERS": os.environ["OCR_TESTS_READERS"]}
    command = [sys.executable, "-c", ATTEMPT, run.uri, str(tmp_path)]
    with subprocess.Popen(command, env=environment) as attempt:
        until(lambda: any(file.name.startswith("part-") for file in run.checkpoints(0).files()))
        time.sleep(0.2)
        attempt.send_signal(signal.SIGKILL)
    until(lambda: not psutil.pid_exists(readers()[0]))
    # What was finished is there for the next attempt.
    statistics = Batch(plan.batches[0], Allowances.parse(str(tmp_path)), reading_with()).run()
    assert 0 < statistics.resumed < 10
    assert statistics.statuses == {"ok": 10}


def test_the_reader_is_what_the_kernel_kills_first(
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    allowances: Allowances,
    readers: Callable[[], list[int]],
) -> None:
    scores: list[str] = []
    _, plan = make_plan(write_csv([(0, draw_image(HANG))]))
    noting = partial(ReaderProcess, engine="tests.reading.engines:NotingEngine")
    batch = Batch(plan.batches[0], allowances, noting)

    def look() -> None:
        until(readers)
        scores.append(Path(f"/proc/{readers()[0]}/oom_score_adj").read_text().strip())
        batch.stop()

    looking = threading.Thread(target=look)
    looking.start()
    with pytest.raises(BatchCancelledError):
        batch.run()
    looking.join()
    assert scores == ["1000"]


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until ``condition`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_that_networks_are_compiled_is_told_where_they_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCR_CACHE", str(tmp_path))
    told: list[str] = []
    for start in ("first", "second"):
        reader = ReaderProcess(ReadSettings(), engine="tests.reading.engines:CompiledEngine")
        asyncio.run(_ready(reader, partial(told.append, start)))
    assert told == ["first"]


async def _ready(reader: ReaderProcess, compiling: Callable[[], None]) -> None:
    async with reader:
        assert await reader.ready(compiling) == CompiledEngine.threads + 1
