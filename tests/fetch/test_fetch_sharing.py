"""Answers that are asked for once by several processes, and the rate of a host whatever its requests wait for."""

from __future__ import annotations

import asyncio
import json
import time
from hashlib import sha256
from pathlib import Path

import pytest

from ocr_pipeline.fetch import ByteBudget, Fetcher
from ocr_pipeline.fetch.sharing import SharedAnswers
from ocr_pipeline.records import Failure, FetchedImage, ImageRef
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings
from ocr_pipeline.storage.folders import Folder
from ocr_pipeline.storage.opening import open_folder
from tests.fetch.conftest import image_of
from tests.misbehaving_server import MisbehavingServer

pytestmark = pytest.mark.slow

QUESTION = "https://example.org"
NAME = sha256(QUESTION.encode()).hexdigest()
DAY = 24 * 3600.0


@pytest.fixture(params=["disk", "bucket"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A folder on a disk and one in a bucket."""
    if request.param == "disk":
        folder = open_folder(str(tmp_path), Allowances.parse(str(tmp_path)))
    else:
        bucket = request.getfixturevalue("bucket")
        folder = open_folder(f"s3://{bucket}/run", request.getfixturevalue("s3_allowances"))
    return folder.folder("robots")


class Asking:
    """Asks, slowly, and counts; fails the first ``failures`` times."""

    def __init__(self, seconds: float = 0.3, failures: int = 0) -> None:
        self.times = 0
        self._seconds = seconds
        self._failures = failures

    async def __call__(self) -> bytes:
        self.times += 1
        number = self.times
        await asyncio.sleep(self._seconds)
        if number <= self._failures:
            raise ConnectionError("down")
        return f"answer {number}".encode()


async def ask_at_once(
    folder: Folder, asking: Asking, count: int = 5, patience: float = 30.0
) -> list[bytes | BaseException]:
    """What so many who know nothing of each other get."""
    sharing = [SharedAnswers(folder, patience, DAY) for _ in range(count)]
    answers = await asyncio.gather(*(shared.get(QUESTION, asking) for shared in sharing), return_exceptions=True)
    for shared in sharing:
        shared.close()
    return answers


def test_one_asks_and_all_get_the_answer(folder: Folder) -> None:
    asking = Asking()
    assert asyncio.run(ask_at_once(folder, asking)) == [b"answer 1"] * 5
    assert asyncio.run(ask_at_once(folder, asking)) == [b"answer 1"] * 5
    assert asking.times == 1
    assert [file.name for file in folder.files()] == [NAME]


def test_where_one_fails_the_next_one_asks(folder: Folder) -> None:
    asking = Asking(failures=2)
    answers = asyncio.run(ask_at_once(folder, asking))
    assert sum(isinstance(answer, ConnectionError) for answer in answers) == 2
    assert answers.count(b"answer 3") == 3
    assert asking.times == 3


@pytest.mark.parametrize(("since", "longest"), [(-100.0, 2.0), (-1.0, 6.0), (1e6, 2.0)])
def test_who_is_gone_while_asking_is_waited_for_only_so_long(folder: Folder, since: float, longest: float) -> None:
    assert folder.file(f"{NAME}.asked-0").create_bytes(json.dumps(["gone", time.time() + since]).encode())
    asking = Asking()
    started = time.monotonic()
    assert asyncio.run(ask_at_once(folder, asking, patience=3)) == [b"answer 1"] * 5
    assert asking.times == 1
    assert time.monotonic() - started < longest


def test_an_answer_is_good_for_a_day(folder: Folder) -> None:
    asking = Asking()
    folder.file(NAME).write_bytes(f"{time.time() - DAY + 100}\nfresh".encode())
    assert asyncio.run(ask_at_once(folder, asking)) == [b"fresh"] * 5
    folder.file(NAME).write_bytes(f"{time.time() - DAY - 100}\nold".encode())
    assert asyncio.run(ask_at_once(folder, asking)) == [b"answer 1"] * 5


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_what_makes_no_sense_is_passed_over(folder: Folder, content: bytes) -> None:
    for name in (NAME, f"{NAME}.asked-0"):
        folder.file(name).write_bytes(content)
    asking = Asking()
    assert asyncio.run(ask_at_once(folder, asking)) == [b"answer 1"] * 5
    assert asking.times == 1


def test_without_the_folder_each_asks_for_itself(tmp_path: Path) -> None:
    gone = open_folder(str(tmp_path / "gone"), Allowances.parse(str(tmp_path)))
    asking = Asking()
    assert len(set(asyncio.run(ask_at_once(gone, asking)))) == 5
    assert asking.times == 5


def fetch_at_rate(server: MisbehavingServer, budget: ByteBudget, count: int, **settings: object) -> None:
    """Fetch so many images of the server, 10 a second; in the first two seconds all of them are held."""

    async def main() -> None:
        wanted = FetchSettings.parse({"host_rate": 10, **settings})
        held: list[int] = []
        since = time.monotonic()

        def release() -> None:
            while held:
                budget.release(held.pop())

        def take(outcome: FetchedImage | Failure) -> None:
            held.append(len(image_of(outcome).body))
            if time.monotonic() - since > 2:
                release()

        async with Fetcher(wanted, Allowances.parse(server.address), budget=budget) as fetcher:
            asyncio.get_running_loop().call_later(2.1, release)
            refs = [ImageRef(row, server.url("image", id=row, bytes=1000)) for row in range(count)]
            await fetcher.fetch_all(refs, take)

    asyncio.run(main())


def least_pause(server: MisbehavingServer) -> float:
    """The least seconds between requests, on the average over five of them: a busy machine delays single ones."""
    times = sorted(request.time for request in server.requests)
    return min((later - earlier) / 5 for earlier, later in zip(times, times[5:], strict=False))


def test_those_who_wait_for_robots_txt_keep_to_the_rate(server: MisbehavingServer) -> None:
    server.robots_txt = "/image?delay=1"
    fetch_at_rate(server, ByteBudget(1 << 20), 16, robots="all")
    assert len(server.requests) == 17
    assert least_pause(server) > 0.07


def test_those_who_wait_for_room_keep_to_the_rate(server: MisbehavingServer) -> None:
    fetch_at_rate(server, ByteBudget(12_000), 14)
    assert least_pause(server) > 0.07
