"""What one host is asked by the batches of a run together, each in a process of its own, on a real server."""

from __future__ import annotations

import subprocess
import sys
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ocr_pipeline.settings.run import FetchSettings
from tests.conftest import MakePlan, WriteCsv, bare_environment, staged_rows
from tests.misbehaving_server import MisbehavingServer, Request

pytestmark = pytest.mark.slow  # reads four batches in processes of their own

BATCHES = 4


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with MisbehavingServer() as server:
        yield server


def read_at_once(
    links: list[str], server: MisbehavingServer, tmp_path: Path, write_csv: WriteCsv, make_plan: MakePlan,
    at_once: int = 0, **settings: Any,
) -> list[Request]:  # fmt: skip
    """Read all batches of a run at the same time; gives the requests for images."""
    run, plan = make_plan(write_csv(enumerate(links)), batch_size=len(links) // BATCHES, **settings)
    assert len(plan.batches) == BATCHES
    with ExitStack() as stack:
        readers = []
        for batch in plan.batches:
            arguments = [run.uri, str(batch.index), str(at_once), str(tmp_path), server.address]
            command = [sys.executable, "-m", "tests.reading.one_batch", *arguments]
            pipe = subprocess.PIPE
            reader = subprocess.Popen(command, env=bare_environment(), stdin=pipe, stdout=pipe, text=True)
            readers.append(stack.enter_context(reader))
        for reader in readers:
            assert reader.stdout
            assert reader.stdout.readline() == "ready\n"
        for reader in readers:
            assert reader.stdin
            reader.stdin.write("\n")
            reader.stdin.flush()
        assert [reader.wait() for reader in readers] == [0] * BATCHES
    fetched = [row.http_status for batch in plan.batches for row in staged_rows(run, plan, batch.index)]
    assert fetched == [200] * len(links)
    return [request for request in server.requests if request.target != "/robots.txt"]


def most_in_a_second(times: list[float]) -> int:
    """The most of ``times`` that lie within one second."""
    return max(bisect_left(times, since + 1) - number for number, since in enumerate(times))


def test_batches_share_the_rate_of_a_host_and_its_robots_txt(
    server: MisbehavingServer, tmp_path: Path, write_csv: WriteCsv, make_plan: MakePlan
) -> None:
    server.robots_txt = "/image?delay=1.2"  # all wait for it meanwhile; it makes no sense, and so allows everything
    links = [server.url("image", id=number) for number in range(80)]
    images = read_at_once(links, server, tmp_path, write_csv, make_plan, host_rate=10, robots="all")
    assert len(server.times(f"{server.origin}/robots.txt")) == 1
    assert len(images) == 80
    times = sorted(request.time for request in server.requests)
    # Each of four may ask for the third time within a second, 2.5 times a second; without a share it is 40 in all. A
    # busy machine delays some, so that they come with the next.
    assert most_in_a_second(times) <= 18
    assert 0.8 * 10 < (len(times) - BATCHES) / (times[-1] - times[0]) < 1.05 * 10


def test_batches_share_the_requests_that_a_host_gets_at_once(
    server: MisbehavingServer, tmp_path: Path, write_csv: WriteCsv, make_plan: MakePlan
) -> None:
    links = [server.url("image", id=number, delay=0.2) for number in range(80)]
    read_at_once(links, server, tmp_path, write_csv, make_plan, per_host=8)
    assert 6 <= server.most_at_once <= 8


def test_where_fewer_are_read_at_once_each_has_a_larger_share(
    server: MisbehavingServer, tmp_path: Path, write_csv: WriteCsv, make_plan: MakePlan
) -> None:
    links = [server.url("image", id=number, delay=0.2) for number in range(80)]
    read_at_once(links, server, tmp_path, write_csv, make_plan, per_host=6, at_once=2)  # in truth, four are
    assert 10 <= server.most_at_once <= 12


def test_a_share_is_at_least_one_request_at_once() -> None:
    share = FetchSettings(per_host=3, host_rate=1).shared_by(4)
    assert (share.per_host, share.host_rate) == (1, 0.25)
    assert FetchSettings(per_host=9).shared_by(2) == FetchSettings(per_host=4)
