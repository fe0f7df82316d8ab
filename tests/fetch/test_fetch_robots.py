"""What hosts ask of robots, in headers and in robots.txt."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch import ByteBudget, Fetcher
from ocr_pipeline.fetch.robots import opt_out, product_token
from ocr_pipeline.records import ImageRef
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings
from tests.fetch.conftest import IMPATIENT, QUICK, Fetch, failure_of, image_of
from tests.misbehaving_server import MisbehavingServer

RULES = "User-agent: *\nDisallow: /image?id=no*\nDisallow: /status\nUser-agent: kind-robot\nDisallow: /image\n"


def robots_requests(server: MisbehavingServer) -> int:
    return len(server.times(f"{server.origin}/robots.txt"))


def saying(text: str) -> str:
    return f"/text?say={quote(text)}"


@pytest.mark.parametrize(
    ("tags", "directive"),
    [
        (["noai"], "noai"),
        (["max-snippet: 5, NoImageAI"], "noimageai"),
        (["all", "noindex, nofollow"], "noindex"),
        (["other: noindex, noai"], None),
        (["other: noindex", "mine: noai"], "noai"),
        (["other: noindex, mine: noimageindex"], "noimageindex"),
        (["*: none"], "none"),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST"], None),
        (["", ":,", "nofollow, notranslate"], None),
        ([], None),
    ],
)
def test_directives_of_a_tag(tags: list[str], directive: str | None) -> None:
    assert opt_out(tags, "mine") == directive


@pytest.mark.parametrize(("agent", "token"), [("My-Robot/1.0 (x)", "my-robot"), ("robot of mine", "robot"), ("/", "")])
def test_token_of_a_user_agent(agent: str, token: str) -> None:
    assert product_token(agent) == token


def test_tagged_images_are_left_alone(fetch: Fetch, server: MisbehavingServer) -> None:
    failure, image = fetch(server.url("image", tag="noai, noimageai"), server.url("image", tag="somebody: noai"))
    refused = failure_of(failure)
    assert (refused.category, refused.http_status, refused.attempts) == (ErrorCategory.ROBOTS_REFUSED, 200, 1)
    assert "X-Robots-Tag: noai" in refused.detail
    image_of(image)
    assert robots_requests(server) == 0


def test_tags_are_ignored_when_told_so(fetch: Fetch, server: MisbehavingServer) -> None:
    image_of(fetch(server.url("image", tag="noai"), robots="ignore")[0])


def test_robots_txt_is_obeyed_and_asked_for_once(server: MisbehavingServer) -> None:
    server.robots_txt = saying(RULES)
    links = [server.url("image", id=f"{'no' if number % 2 else 'yes'}-{number}") for number in range(20)]

    async def run() -> None:
        settings = FetchSettings(robots="all")
        async with Fetcher(settings, Allowances.parse(server.address), policy=QUICK) as fetcher:
            results = await asyncio.gather(*(fetcher.fetch(ImageRef(row, link)) for row, link in enumerate(links)))
        for number, result in enumerate(results):
            if number % 2:
                assert failure_of(result).category is ErrorCategory.ROBOTS_REFUSED
                assert server.address in failure_of(result).detail
            else:
                image_of(result)

    asyncio.run(run())
    assert robots_requests(server) == 1
    assert len(server.requests) == 1 + 10
    assert {request.headers["user-agent"] for request in server.requests} == {FetchSettings().user_agent}


def test_robots_txt_needs_no_room_beside_that_of_the_images_waiting_for_it(server: MisbehavingServer) -> None:
    server.robots_txt = saying("")
    budget = ByteBudget(1)  # room for one body at a time, whatever it is

    async def run() -> None:
        settings = FetchSettings(robots="all")
        async with (
            asyncio.timeout(60),
            Fetcher(settings, Allowances.parse(server.address), budget=budget, policy=QUICK) as fetcher,
        ):
            for row in range(2):
                image = image_of(await fetcher.fetch(ImageRef(row, server.url("image", id=row))))
                budget.release(len(image.body))

    asyncio.run(run())
    assert budget.held == 0


def test_rules_are_those_for_our_name(fetch: Fetch, server: MisbehavingServer) -> None:
    server.robots_txt = saying(RULES)
    link = server.url("image", id="yes")
    assert failure_of(fetch(link, robots="all", user_agent="Kind-Robot/2.0")[0]).category is (
        ErrorCategory.ROBOTS_REFUSED
    )
    image_of(fetch(link, robots="all", user_agent="Other/2.0")[0])


def test_robots_txt_holds_for_redirects_as_well(
    fetch: Fetch, server: MisbehavingServer, other_server: MisbehavingServer
) -> None:
    other_server.robots_txt = saying(RULES)
    link = server.url("redirect", to=other_server.url("image", id="no"))
    failure = failure_of(fetch(link, allow=[server.address, other_server.address], robots="all")[0])
    assert (failure.category, failure.http_status) == (ErrorCategory.ROBOTS_REFUSED, 302)


@pytest.mark.parametrize(
    "instead",
    ["/status?code=403", "/redirect-loop", "/image?bytes=600000", "/page", "/image", "/redirect?to=/status%3Fcode=404"],
)
def test_no_usable_robots_txt_allows_everything(fetch: Fetch, server: MisbehavingServer, instead: str) -> None:
    server.robots_txt = instead
    images = fetch(*(server.url("image", id=number) for number in range(3)), robots="all")
    assert [image_of(image).attempts for image in images] == [1, 1, 1]
    assert 1 <= robots_requests(server) <= 6


def test_robots_txt_may_be_elsewhere(fetch: Fetch, server: MisbehavingServer) -> None:
    server.robots_txt = f"/redirect?to={quote(saying(RULES))}"
    assert failure_of(fetch(server.url("image", id="no"), robots="all")[0]).category is ErrorCategory.ROBOTS_REFUSED


@pytest.mark.parametrize(
    ("instead", "category"),
    [("/status?code=503", ErrorCategory.HTTP_SERVER_ERROR), ("/silent", ErrorCategory.TIMEOUT)],
)
def test_robots_txt_that_cannot_be_had_now_is_waited_for(
    fetch: Fetch, server: MisbehavingServer, instead: str, category: ErrorCategory
) -> None:
    server.robots_txt = instead
    failure = failure_of(fetch(server.url("image"), robots="all", attempts=2, **IMPATIENT)[0])
    assert (failure.category, failure.attempts) == (category, 2)
    assert failure.detail.startswith("robots.txt: ")
    assert server.times(server.url("image")) == []
    server.robots_txt = saying("")
    image_of(fetch(server.url("image"), robots="all")[0])


def test_failed_robots_txt_fails_each_waiting_image_on_its_own(server: MisbehavingServer) -> None:
    server.robots_txt = "/status?code=500"
    links = [server.url("image", id=number) for number in range(8)]

    async def run() -> None:
        settings = FetchSettings(robots="all", attempts=1)
        async with Fetcher(settings, Allowances.parse(server.address), policy=QUICK) as fetcher:
            results = await asyncio.gather(*(fetcher.fetch(ImageRef(row, link)) for row, link in enumerate(links)))
        assert {failure_of(result).category for result in results} == {ErrorCategory.HTTP_SERVER_ERROR}
        assert {failure_of(result).detail.count("robots.txt") for result in results} == {1}

    asyncio.run(run())
    assert len(server.requests) == robots_requests(server) == 1


def test_robots_txt_is_no_way_to_a_forbidden_address(fetch: Fetch, server: MisbehavingServer) -> None:
    server.robots_txt = "/redirect?to=http://127.0.0.2/robots.txt"
    failure = failure_of(fetch(server.url("image"), robots="all")[0])
    assert failure.category is ErrorCategory.FORBIDDEN_ADDRESS
