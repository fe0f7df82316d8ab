"""What becomes of a link, for every way in which a host can answer or fail to."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch import MAX_REDIRECTS, Fetcher, RetryPolicy
from ocr_pipeline.records import Failure, FetchedImage, ImageRef
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import USER_AGENT, FetchSettings
from tests.fetch.conftest import IMPATIENT, QUICK, Fetch, failure_of, image_of
from tests.misbehaving_server import MEGABYTE, MisbehavingServer, body_of, gzipped_zeros


@pytest.mark.parametrize("size", [1, 1000, 3 * MEGABYTE])
def test_image_arrives_whole(fetch: Fetch, server: MisbehavingServer, size: int) -> None:
    image = image_of(fetch("  " + server.url("image", bytes=size) + "\n")[0])
    assert image.body == body_of(size)
    assert image.sha256 == hashlib.sha256(body_of(size)).hexdigest()
    assert (image.http_status, image.attempts) == (200, 1)
    assert image.seconds > 0


@pytest.mark.parametrize("behaviour", ["chunked", "gzipped", "until-close", "hints"])
def test_body_arrives_whole_however_it_is_transferred(fetch: Fetch, server: MisbehavingServer, behaviour: str) -> None:
    image = image_of(fetch(server.url(behaviour, bytes=300_000))[0])
    assert image.body == body_of(300_000)
    assert image.sha256 == hashlib.sha256(body_of(300_000)).hexdigest()


def test_empty_body_is_left_to_the_decoder(fetch: Fetch, server: MisbehavingServer) -> None:
    assert image_of(fetch(server.url("image", bytes=0))[0]).body == b""


def test_requests_say_who_asks_and_for_what(fetch: Fetch, server: MisbehavingServer) -> None:
    fetch(server.url("image"))
    fetch(server.url("image"), user_agent="tester/1 (mail@example.org)")
    first, second = (request.headers for request in server.requests)
    assert first["user-agent"] == USER_AGENT
    assert second["user-agent"] == "tester/1 (mail@example.org)"
    assert first["accept"] == "image/*,*/*;q=0.1"
    assert first["accept-encoding"] == "identity, gzip;q=0.5, deflate;q=0.4, br;q=0.3, zstd;q=0.2"
    assert "cookie" not in first


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=8))
def test_nothing_in_a_link_adds_to_the_request(texts: list[str]) -> None:
    """No text in a path, a query, a fragment or a login makes another header or another request."""
    with MisbehavingServer() as server:
        links = [server.origin + form + text for text in texts for form in ("/image/", "/image?", "/image?a=1#")]
        logins = [re.sub(r"[/?#\\]", "", text) for text in texts]  # these would end the login, and begin the host
        links += [f"http://{login}%0D%0AX-Smuggled:%201:{login}@{server.address}/image" for login in logins]
        links += [link + extra for link in links for extra in ("\r\nX-Smuggled: 1", "%0D%0AX-Smuggled:%201")]
        refs = [ImageRef(row, link) for row, link in enumerate(links)]
        asyncio.run(fetch_each(refs, Allowances.parse(server.address)))
    names = {"host", "user-agent", "accept", "accept-encoding"}
    assert 9 * len(texts) <= len(server.requests) <= len(links)
    for request in server.requests:
        assert set(filter(None, request.headers)) - {"authorization"} == names
        assert request.headers["host"] == server.address


async def fetch_each(refs: list[ImageRef], allowances: Allowances) -> None:
    async with Fetcher(FetchSettings(attempts=1), allowances) as fetcher:
        await fetcher.fetch_all(refs, lambda _: None)


def test_connection_is_used_again(fetch: Fetch, server: MisbehavingServer) -> None:
    fetch(*(server.url("image", id=number) for number in range(20)))
    assert len(server.requests) == 20
    assert len({request.peer for request in server.requests}) == 1


def test_a_connection_that_was_closed_after_a_whole_answer_costs_no_image(server: MisbehavingServer) -> None:
    """The next request may be on its way already; a repeat of it must not take another such connection."""
    refs = [ImageRef(row, server.url("close-after", id=row)) for row in range(500)]
    outcomes: list[FetchedImage | Failure] = []

    async def run() -> None:
        async with Fetcher(FetchSettings(attempts=1), Allowances.parse(server.address), policy=QUICK) as fetcher:
            await fetcher.fetch_all(refs, outcomes.append)

    asyncio.run(run())
    assert {image_of(outcome).ref.row for outcome in outcomes} == set(range(500))
    assert {image_of(outcome).attempts for outcome in outcomes} == {1}


def test_what_breaks_on_a_new_connection_as_well_is_a_failed_attempt(server: MisbehavingServer) -> None:
    async def run() -> Failure:
        async with Fetcher(FetchSettings(attempts=3), Allowances.parse(server.address), policy=QUICK) as fetcher:
            image_of(await fetcher.fetch(ImageRef(0, server.url("image"))))  # its connection is kept
            return failure_of(await fetcher.fetch(ImageRef(1, server.url("reset-at-once"))))

    failure = asyncio.run(run())
    assert (failure.category, failure.attempts) == (ErrorCategory.CONNECTION_LOST, 3)
    kept, *others = [request.peer for request in server.requests]
    assert others[0] == kept
    assert len(others) == 1 + 3
    assert len({*others}) == 4


def test_cookies_are_not_kept(fetch: Fetch, server: MisbehavingServer) -> None:
    for cookie in ("a=b", 'a="b; c', "\x01;=", "a=b; domain=" + "x" * 4000):
        fetch(server.url("image", cookie=cookie), server.url("image"))
    assert len(server.requests) == 8
    assert not any("cookie" in request.headers for request in server.requests)


@pytest.mark.parametrize(
    ("code", "category", "attempts"),
    [
        (404, ErrorCategory.NOT_FOUND, 1),
        (410, ErrorCategory.NOT_FOUND, 1),
        (400, ErrorCategory.HTTP_REFUSED, 1),
        (401, ErrorCategory.HTTP_REFUSED, 1),
        (403, ErrorCategory.HTTP_REFUSED, 1),
        (429, ErrorCategory.THROTTLED, 3),
        (408, ErrorCategory.HTTP_SERVER_ERROR, 3),
        (425, ErrorCategory.HTTP_SERVER_ERROR, 3),
        (500, ErrorCategory.HTTP_SERVER_ERROR, 3),
        (503, ErrorCategory.HTTP_SERVER_ERROR, 3),
        (599, ErrorCategory.HTTP_SERVER_ERROR, 3),
        (205, ErrorCategory.BAD_RESPONSE, 1),
        (206, ErrorCategory.BAD_RESPONSE, 1),
        (300, ErrorCategory.BAD_RESPONSE, 1),
        (302, ErrorCategory.BAD_RESPONSE, 1),  # without a Location
    ],
)
def test_status(fetch: Fetch, server: MisbehavingServer, code: int, category: ErrorCategory, attempts: int) -> None:
    url = server.url("status", code=code)
    failure = failure_of(fetch(url, attempts=3)[0])
    assert (failure.category, failure.http_status, failure.attempts) == (category, code, attempts)
    assert len(server.times(url)) == attempts
    assert str(code) in failure.detail


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behaviour", "category", "attempts", "status", "says"),
    [
        ("silent", ErrorCategory.TIMEOUT, 2, {None}, "read_timeout=0.6"),
        ("stall", ErrorCategory.TIMEOUT, 2, {200}, "read_timeout=0.6"),
        ("slow-headers", ErrorCategory.TIMEOUT, 2, {None}, "total_timeout=1.5"),
        ("drip", ErrorCategory.TIMEOUT, 2, {200}, "total_timeout=1.5"),
        ("short", ErrorCategory.CONNECTION_LOST, 2, {200}, "500 of 1000"),
        ("cut-chunks", ErrorCategory.CONNECTION_LOST, 2, {200}, "too early"),
        ("reset", ErrorCategory.CONNECTION_LOST, 2, {200}, "too early"),
        ("reset-at-once", ErrorCategory.CONNECTION_LOST, 2, {None}, "reset"),
        ("not-http", ErrorCategory.BAD_RESPONSE, 1, {None}, "not valid HTTP"),
        ("garbage-chunks", ErrorCategory.BAD_RESPONSE, 1, {None, 200}, "not valid HTTP"),
        ("bad-gzip", ErrorCategory.BAD_RESPONSE, 1, {200}, "gzip"),
    ],
)
def test_misbehaviour(
    fetch: Fetch,
    server: MisbehavingServer,
    behaviour: str,
    category: ErrorCategory,
    attempts: int,
    status: set[int | None],
    says: str,
) -> None:
    url = server.url(behaviour)
    failure = failure_of(fetch(url, attempts=2, **IMPATIENT)[0])
    assert (failure.category, failure.attempts) == (category, attempts)
    assert failure.http_status in status
    assert says in failure.detail
    assert len(failure.detail) < 200
    # What is not HTTP is asked for once more by the lenient reader.
    assert len(server.times(url)) == attempts + (behaviour == "not-http")
    assert category.retryable == (attempts > 1)


def test_more_than_content_length_spoils_no_other_image(fetch: Fetch, server: MisbehavingServer) -> None:
    links = [server.url(behaviour, id=number) for number in range(10) for behaviour in ("long", "image")]
    results = fetch(*links)
    for long in results[::2]:  # whether the surplus comes in time to be noticed is up to the network
        if isinstance(long, FetchedImage):
            assert long.body == body_of(1000)[:500]
        else:
            assert long.category is ErrorCategory.BAD_RESPONSE
    for number, image in enumerate(results[1::2]):
        assert image_of(image).body == body_of(1000, str(number))


@pytest.mark.parametrize("behaviour", ["image", "chunked", "gzipped", "bomb"])
def test_too_large(fetch: Fetch, server: MisbehavingServer, behaviour: str) -> None:
    failure = failure_of(fetch(server.url(behaviour, bytes=2 * MEGABYTE), max_bytes=MEGABYTE)[0])
    assert failure.category is ErrorCategory.TOO_LARGE
    assert "max_bytes=1,000,000" in failure.detail
    assert failure.attempts == 1


@pytest.mark.parametrize("behaviour", ["image", "chunked", "gzipped"])
def test_image_of_just_the_largest_size(fetch: Fetch, server: MisbehavingServer, behaviour: str) -> None:
    assert len(image_of(fetch(server.url(behaviour, bytes=5000), max_bytes=5000)[0]).body) == 5000


def test_bomb_takes_little_memory(fetch: Fetch, server: MisbehavingServer) -> None:
    unpacked = 400 * MEGABYTE
    assert len(gzipped_zeros(unpacked)) < MEGABYTE
    tracemalloc.start()
    try:
        failure = failure_of(fetch(server.url("bomb", bytes=unpacked), max_bytes=MEGABYTE)[0])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert failure.category is ErrorCategory.TOO_LARGE
    assert peak < 20 * MEGABYTE


@pytest.mark.parametrize("behaviour", ["short", "stall"])
def test_what_had_come_of_a_failed_body_is_let_go(server: MisbehavingServer, behaviour: str) -> None:
    """At once, without the garbage collector, and although the image waits to be tried again."""
    half = 3 * MEGABYTE
    refs = [ImageRef(row, server.url(behaviour, bytes=2 * half, id=row)) for row in range(20)]
    policy = RetryPolicy(backoff=10_000, max_backoff=10_000, failures_to_open=1000)
    impatient = FetchSettings(concurrency=2, attempts=2, read_timeout=0.2)

    async def run() -> None:
        async with Fetcher(impatient, Allowances.parse(server.address), policy=policy) as fetcher:
            fetching = asyncio.create_task(fetcher.fetch_all(refs, lambda _: None))
            while len(server.requests) < len(refs) or any(fetcher.under_way):
                await asyncio.sleep(0.01)
            fetching.cancel()

    gc.disable()
    tracemalloc.start()
    try:
        asyncio.run(run())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert peak < 10 * half


def test_the_garbage_collector_runs_less_often_while_fetching_and_as_before_afterwards() -> None:
    async def run() -> int:
        async with Fetcher(FetchSettings(), Allowances()):
            return gc.get_threshold()[0]

    before = gc.get_threshold()
    try:
        for threshold, while_fetching in ((700, 10_000), (50_000, 50_000), (0, 0)):  # 0: not at all
            gc.set_threshold(threshold, 12, 13)
            assert asyncio.run(run()) == while_fetching
            assert gc.get_threshold() == (threshold, 12, 13)
    finally:
        gc.set_threshold(*before)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed(fetch: Fetch, server: MisbehavingServer, code: int) -> None:
    absolute, relative = server.url("image", bytes=7), "/image?bytes=7"
    results = fetch(*(server.url("redirect", code=code, to=to) for to in (absolute, relative)))
    for image in map(image_of, results):
        assert (image.body, image.http_status, image.attempts) == (body_of(7), 200, 1)


def test_redirect_loop_ends(fetch: Fetch, server: MisbehavingServer) -> None:
    failure = failure_of(fetch(server.url("redirect-loop"))[0])
    assert (failure.category, failure.http_status, failure.attempts) == (ErrorCategory.TOO_MANY_REDIRECTS, 302, 1)
    assert len(server.requests) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "to",
    ["file:///etc/passwd", "ftp://example.org/a.jpg", "http://:80/", "http://[::bad/", "data:,x", "s3://bucket/a.jpg"],
)
def test_redirect_to_what_is_no_web_address(fetch: Fetch, server: MisbehavingServer, to: str) -> None:
    failure = failure_of(fetch(server.url("redirect", to=to))[0])
    assert (failure.category, failure.http_status) == (ErrorCategory.BAD_RESPONSE, 302)
    assert "redirects" in failure.detail


def test_redirect_target_that_fails_is_what_the_failure_tells(
    fetch: Fetch, server: MisbehavingServer, other_server: MisbehavingServer
) -> None:
    url = server.url("redirect", to=other_server.url("status", code=404))
    failure = failure_of(fetch(url, allow=[server.address, other_server.address])[0])
    assert (failure.category, failure.http_status) == (ErrorCategory.NOT_FOUND, 404)
    assert other_server.address in failure.detail


def test_cancelling_ends_a_fetch_and_frees_its_place(server: MisbehavingServer) -> None:
    async def run() -> bytes:
        async with Fetcher(FetchSettings(per_host=1), Allowances.parse(server.address)) as fetcher:
            stuck = asyncio.create_task(fetcher.fetch(ImageRef(0, server.url("silent"))))
            waiting = asyncio.create_task(fetcher.fetch(ImageRef(1, server.url("image"))))
            last = asyncio.create_task(fetcher.fetch(ImageRef(2, server.url("image", bytes=3))))
            while not server.requests:
                await asyncio.sleep(0.01)
            waiting.cancel()
            stuck.cancel()
            cancelled = await asyncio.gather(stuck, waiting, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in cancelled)
            return image_of(await asyncio.wait_for(last, 10)).body

    assert asyncio.run(run()) == body_of(3)
