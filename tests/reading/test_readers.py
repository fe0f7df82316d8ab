"""Several reader processes as one reader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Self

import cv2
import pytest

from ocr_pipeline.errors import EngineError
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.reading.meter import ReaderState
from ocr_pipeline.reading.previews import PreviewWriter
from ocr_pipeline.reading.reader import ReaderProcess
from ocr_pipeline.reading.readers import ReaderGroup, memory_for, open_reader, share_threads
from ocr_pipeline.reading.stream import ImageReader
from ocr_pipeline.records import FetchedImage, ImageRef, ResultRow
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import ReadSettings
from tests.conftest import DrawImage, MakePlan, WriteCsv, reading_with, staged_rows
from tests.ocr.drawing import draw_page
from tests.reading.engines import CRASH, KILL

GB = 1 << 30


class _Reader:
    """Takes its time for each image, two at once."""

    state = ReaderState()

    def __init__(self, seconds: float) -> None:
        self.read_rows: list[int] = []
        self._seconds = seconds

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def ready(self, compiling: Callable[[], None]) -> int:
        return 2

    async def read(self, image: FetchedImage) -> list[ResultRow]:
        await asyncio.sleep(self._seconds)
        self.read_rows.append(image.ref.row)
        return []


@pytest.mark.parametrize(("threads", "shares"), [(1, [1]), (4, [4]), (5, [2, 3]), (10, [3, 3, 4]), (64, [4] * 16)])
def test_many_threads_are_shared_by_processes(threads: int, shares: list[int]) -> None:
    assert share_threads(threads) == shares


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int, int], None]:
    """Says how many cores and bytes this machine has, of which nobody else has claimed any."""

    def set_to(cores: int, bytes_: int) -> None:
        monkeypatch.setattr("ocr_pipeline.reading.readers.usable_cores", lambda: cores)
        monkeypatch.setattr("ocr_pipeline.reading.readers.reader_memory", lambda: bytes_)
        monkeypatch.setattr("ocr_pipeline.reading.claims.claims_folder", lambda: tmp_path / "claims")

    return set_to


def threads_of(reader: ImageReader) -> list[int]:
    """In how many threads each process of a reader computes."""
    assert isinstance(reader, ReaderGroup)
    return [process._settings["threads"] for process in reader._readers if isinstance(process, ReaderProcess)]


def limits_of(reader: ImageReader) -> list[int]:
    """How much memory each process of a reader may take."""
    assert isinstance(reader, ReaderGroup)
    return [process._memory for process in reader._readers if isinstance(process, ReaderProcess)]


@pytest.mark.parametrize(
    ("cores", "gigabytes", "threads"),
    [(2, 64, [2]), (10, 64, [3, 3, 4]), (8, 4, [4]), (8, 6, [2, 3]), (8, 7.9, [3, 4]), (2, 0.5, [1])],
)
def test_there_are_no_more_threads_than_cores_and_memory_for_them(
    cores: int, gigabytes: float, threads: list[int], memory: Callable[[int, int], None]
) -> None:
    memory(cores, int(gigabytes * GB))
    assert threads_of(open_reader(ReadSettings())) == threads


@pytest.mark.parametrize("cores", range(1, 17))
def test_memory_as_the_documentation_says_is_enough_for_all_cores(
    cores: int, memory: Callable[[int, int], None]
) -> None:
    memory(cores, int(0.8 * 1.6e9 * cores))
    assert sum(threads_of(open_reader(ReadSettings()))) == cores


def test_threads_may_be_said(memory: Callable[[int, int], None]) -> None:
    memory(2, GB)
    assert threads_of(open_reader(ReadSettings(threads=9))) == [3, 3, 3]
    assert isinstance(open_reader(ReadSettings(threads=9, device="gpu:0")), ReaderProcess)


@pytest.mark.slow
def test_batches_of_one_container_share_its_memory(
    memory: Callable[[int, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    memory(8, 8 * GB)
    settings = ReadSettings()
    first, second, third = (open_reader(settings, alone=False) for _ in range(3))
    assert [threads_of(reader) for reader in (first, second, third)] == [[4], [4], [1]]
    assert [limits_of(reader) for reader in (first, second)] == [[8 * GB], [4 * GB]]
    read = "cores read: batches here may take 8.6 GB, others have set aside"
    assert [record.message for record in caplog.records] == [
        f"for want of memory only 4 of 8 {read} 0.0, and one of several has half at most",
        f"for want of memory only 4 of 8 {read} 4.3, and one of several has half at most",
        f"for want of memory only 1 of 8 {read} 8.6, and one of several has half at most",
    ]

    async def leave(reader: ImageReader) -> None:
        with pytest.raises(ZeroDivisionError):
            async with reader:
                raise ZeroDivisionError

    for reader in (first, second, third):
        asyncio.run(leave(reader))
    assert threads_of(open_reader(settings)) == [4, 4]


@pytest.mark.slow
def test_what_is_set_aside_is_enough_for_all_widths_of_lines(
    memory: Callable[[int, int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCR_CACHE", str(tmp_path / "cache"))
    memory(2, memory_for(2))
    lengths = (3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 22, 24, 26, 30, 34, 36, 38, 42, 46, 48, 52, 60, 80)
    lines = [("0123456789 " * 9)[:length] for length in lengths]
    bodies = []
    for height in range(1400, 1900, 30):  # each a new shape for detection
        page = draw_page(1900, height, [(line, 40, 30 + 52 * n) for n, line in enumerate(lines)], size=36)
        bodies.append(cv2.imencode(".png", page.pixels)[1].tobytes())

    async def read() -> tuple[list[ResultRow], ReaderState]:
        async with open_reader(ReadSettings()) as reader:
            await reader.ready(lambda: None)
            images = [FetchedImage(ImageRef(row, ""), body, "", None, 1, 0.0) for row, body in enumerate(2 * bodies)]
            rows = await asyncio.gather(*map(reader.read, images))
            return [row for (row,) in rows], reader.state

    rows, state = asyncio.run(read())
    assert state.restarts == 0
    assert [row.error_detail for row in rows if row.error] == []
    assert all(row.text.count("0123") >= len(lines) for row in rows)


@pytest.mark.parametrize(
    ("at_once", "places", "alone"),
    [(1, None, True), (None, 1, True), (2, 1, True), (None, None, False), (2, 3, False)],
)
def test_who_is_alone_in_a_container_takes_all_its_memory(
    at_once: int | None,
    places: int | None,
    alone: bool,
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    allowances: Allowances,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[bool] = []

    def note(settings: ReadSettings, previews: PreviewWriter, *, alone: bool) -> ImageReader:
        told.append(alone)
        return reading_with()(settings, previews)

    monkeypatch.setattr("ocr_pipeline.reading.batch.open_reader", note)
    _, plan = make_plan(write_csv(enumerate([draw_image(30)])))
    Batch(plan.batches[0], allowances, at_once=at_once, places=places).run()
    assert told == [alone]


def test_memory_is_shared_by_processes_as_threads_are(memory: Callable[[int, int], None]) -> None:
    memory(7, 14 * GB)
    reader = open_reader(ReadSettings())
    assert (threads_of(reader), limits_of(reader)) == ([3, 4], [6 * GB, 8 * GB])


def test_threads_that_are_said_are_claimed_whole(memory: Callable[[int, int], None]) -> None:
    memory(8, 8 * GB)
    greedy = open_reader(ReadSettings(threads=12))
    assert threads_of(open_reader(ReadSettings())) == [1]
    del greedy
    assert threads_of(open_reader(ReadSettings())) == [4, 4]


def test_the_fullest_process_is_reported() -> None:
    readers = [_Reader(0.0) for _ in range(3)]
    for reader, state in zip(readers, [(1, 6, 10), (0, 9, 10), (2, 6, 12)], strict=True):
        reader.state = ReaderState(*state)
    assert ReaderGroup(readers).state == ReaderState(3, 9, 10)


@pytest.mark.slow
def test_a_batch_is_read_by_several_processes_of_which_some_die(
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    allowances: Allowances,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noted = tmp_path / "readers"
    monkeypatch.setenv("OCR_TESTS_READERS", str(noted))
    groups: list[ReaderGroup] = []

    def reader(settings: ReadSettings, previews: PreviewWriter) -> ReaderGroup:
        engine = "tests.reading.engines:NotingEngine"
        groups.append(ReaderGroup([ReaderProcess(settings, previews, engine=engine, memory=GB) for _ in range(3)]))
        return groups[-1]

    poison = {20: CRASH, 40: KILL}
    run, plan = make_plan(write_csv(enumerate(draw_image(poison.get(row, 100 + row)) for row in range(60))))
    Batch(plan.batches[0], allowances, reader).run()
    rows = staged_rows(run, plan)
    assert [row.text for row in rows] == ["" if n in poison else f"width {100 + n}" for n in range(60)]
    assert {row.row: row.error for row in rows if row.error} == dict.fromkeys(poison, "engine_crashed")
    restarts = groups[0].state.restarts
    assert restarts >= 3, "each image kills the process that has it alone, and before that one, if not the same"
    assert len(set(noted.read_text().split())) == 3 + restarts
    assert groups[0].state.memory_limit == GB


@pytest.mark.slow
def test_each_image_goes_where_there_is_room() -> None:
    async def read() -> None:
        slow, idle = _Reader(1.0), _Reader(0.0)
        async with ReaderGroup([slow, idle]) as group:
            assert await group.ready(lambda: None) == 4
            images = [FetchedImage(ImageRef(row, ""), b"", "", None, 1, 0.0) for row in range(20)]
            first = [asyncio.create_task(group.read(image)) for image in images[:2]]
            await asyncio.sleep(0.1)
            for image in images[2:]:
                await group.read(image)
            await asyncio.gather(*first)
        assert (slow.read_rows, idle.read_rows) == ([0], list(range(1, 20)))

    asyncio.run(read())


@pytest.mark.slow
def test_one_that_cannot_be_loaded_ends_all() -> None:
    async def read() -> None:
        engines = ("tests.conftest:WidthEngine", "tests.reading.engines:NoEngine")
        async with ReaderGroup([ReaderProcess(ReadSettings(), engine=engine) for engine in engines]) as group:
            await group.ready(lambda: None)

    with pytest.raises(EngineError, match="no such device: gpu:7"):
        asyncio.run(read())
