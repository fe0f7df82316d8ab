"""The image server: good images as they are, each bad one as promised, and an end with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pytest

from ocr_demo import DemoDataset, ImageServer
from ocr_demo.server import HOST
from ocr_demo.spoiled import BAD_ENTRIES, BOMB_SIDE, BadEntry, bodies, bomb
from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.fetch import Fetcher
from ocr_pipeline.images import whole_pages
from ocr_pipeline.records import Failure, ImageRef
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings

pytestmark = pytest.mark.slow  # draws the demo

PARENT = """
import sys, time
from pathlib import Path
from ocr_demo import ImageServer
with ImageServer(Path(sys.argv[1])) as server:
    print(server.url, flush=True)
    time.sleep(600)
"""


def accepts(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def wait_until_closed(url: str) -> None:
    deadline = time.monotonic() + 60
    while accepts(url):
        assert time.monotonic() < deadline, f"{url} still accepts connections"
        time.sleep(0.05)


async def outcome(link: str, settings: FetchSettings) -> ErrorCategory | int:
    """What the pipeline makes of ``link``: the category of its error, or the number of its pages."""
    async with Fetcher(settings, Allowances.parse(HOST)) as fetcher:
        answer = await fetcher.fetch(ImageRef(0, link))
    if isinstance(answer, Failure):
        return answer.category
    try:
        return len(list(whole_pages(answer.body, max_pixels=100_000_000)))
    except ImageError as error:
        return error.category


@pytest.mark.parametrize("entry", [e for e in BAD_ENTRIES if e.kind != "empty-cell"], ids=lambda entry: entry.kind)
def test_a_bad_entry_fails_as_promised(demo_server: ImageServer, entry: BadEntry) -> None:
    # Only the slow host is meant to run into a deadline, so only it gets a short one.
    settings = FetchSettings(attempts=1, read_timeout=0.3 if entry.kind == "slow" else 60)
    assert asyncio.run(outcome(entry.link.format(base=demo_server.url), settings)) == entry.expected


def test_good_images_come_as_they_are(demo: DemoDataset, demo_server: ImageServer) -> None:
    for image in (demo.images[0], demo.images[-1]):
        with urllib.request.urlopen(f"{demo_server.url}/images/{image.file}") as response:
            assert response.read() == (demo.folder / "images" / image.file).read_bytes()


def test_an_unknown_spoiled_name_is_missing(demo_server: ImageServer) -> None:
    with pytest.raises(URLError, match="404"):
        urllib.request.urlopen(f"{demo_server.url}/spoiled/other.jpg")


def test_spoiled_bodies_are_small_and_the_same_every_time() -> None:
    assert bodies() == bodies()
    assert len(bodies()["bomb.png"]) < 200_000
    assert BOMB_SIDE**2 > 500_000_000


def test_a_small_bomb_is_a_whole_image() -> None:
    (page,) = whole_pages(bomb(100), max_pixels=10_000)
    assert (page.width, page.height) == (100, 100)


def test_the_server_ends_with_the_context(demo: DemoDataset) -> None:
    with ImageServer(demo.folder) as server:
        assert accepts(server.url)
    assert not accepts(server.url)


def test_the_server_ends_although_a_slow_request_is_open(demo: DemoDataset) -> None:
    with ImageServer(demo.folder) as server:
        host, port = server.url.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)))
        connection.sendall(b"GET /slow/x.jpg HTTP/1.1\r\nHost: x\r\n\r\n")
    assert not accepts(server.url)
    connection.close()


def test_the_server_ends_when_its_parent_is_killed(demo: DemoDataset) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(demo.folder)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout is not None
    try:
        url = parent.stdout.readline().strip()
        assert accepts(url)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
    wait_until_closed(url)


def test_a_server_that_cannot_start_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="did not start"), ImageServer(tmp_path / "nowhere"):
        pass
