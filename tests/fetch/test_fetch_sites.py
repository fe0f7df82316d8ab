"""Origins that the deployment has credentials for: those go there and nowhere else."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from dataclasses import asdict

import pytest

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.settings.deployment import Allowances, Connection
from tests.fetch.conftest import IMPATIENT, Fetch, failure_of, image_of
from tests.fetch.test_fetch_addresses import Answers
from tests.misbehaving_server import BEHAVIOURS, MisbehavingServer

LOGIN = "Basic " + base64.b64encode(b"reader:secret-word").decode()
HEADERS = {"authorization": LOGIN, "x-api-key": "secret-key"}
Sites = Callable[..., Allowances]


@pytest.fixture
def site(server: MisbehavingServer) -> Sites:
    """Allows ``server`` as a site with credentials, and the networks that are named."""

    def allow(*networks: str, host: str = "127.0.0.1", extra: dict[str, str] | None = None) -> Allowances:
        extra = {"X-Api-Key": "secret-key"} if extra is None else extra
        connection = Connection("photos", "http", host, server.port, None, "reader", "secret-word", extra)
        return Allowances.parse(["connection:photos", *networks], lambda _: connection)

    return allow


def sent(server: MisbehavingServer) -> list[dict[str, str]]:
    """Of each request to ``server``, the headers that are secret."""
    return [{name: request.headers[name] for name in HEADERS if name in request.headers} for request in server.requests]


def test_requests_to_the_site_carry_its_headers(fetch: Fetch, server: MisbehavingServer, site: Sites) -> None:
    links = (server.url("image"), server.url("redirect", to="/image"), server.url("status", code=500, times=1))
    for image in fetch(*links, allow=site(server.address)):
        image_of(image)
    assert sent(server) == [HEADERS] * 5


def test_robots_txt_of_the_site_is_asked_for_with_them(fetch: Fetch, server: MisbehavingServer, site: Sites) -> None:
    image_of(fetch(server.url("image"), allow=site(server.address), robots="all")[0])
    assert sent(server) == [HEADERS] * 2


def test_they_follow_to_no_other_origin(
    fetch: Fetch, server: MisbehavingServer, other_server: MisbehavingServer, site: Sites
) -> None:
    back = other_server.url("redirect", to=server.url("image"))
    allow = site(server.address, other_server.address)
    image_of(fetch(server.url("redirect", to=back), allow=allow)[0])
    assert sent(other_server) == [{}]
    assert sent(server) == [HEADERS] * 2
    # The same address by another name, and the same host at another port, are other origins.
    for link in (f"http://localhost:{server.port}/image", other_server.url("image")):
        image_of(fetch(link, allow=allow)[0])
    assert sent(server)[2:] + sent(other_server)[1:] == [{}, {}]


def test_the_connections_login_counts_before_the_links(fetch: Fetch, server: MisbehavingServer, site: Sites) -> None:
    link = server.url("image").replace("://", "://someone:else@")
    image_of(fetch(link, allow=site(server.address))[0])
    assert sent(server) == [HEADERS]


def test_without_a_login_of_its_own_the_links_is_sent(fetch: Fetch, server: MisbehavingServer) -> None:
    connection = Connection("photos", "http", server.address, extra={"X-Api-Key": "secret-key"})
    allow = Allowances.parse(["connection:photos", server.address], lambda _: connection)
    image_of(fetch(server.url("image").replace("://", "://reader:secret-word@"), allow=allow)[0])
    assert sent(server) == [HEADERS]


def test_headers_of_the_site_replace_those_of_the_settings(
    fetch: Fetch, server: MisbehavingServer, site: Sites
) -> None:
    image_of(fetch(server.url("image"), allow=site(server.address, extra={"User-Agent": "agreed-name"}))[0])
    assert server.requests[0].headers["user-agent"] == "agreed-name"


def test_a_private_address_of_the_site_still_needs_a_network(
    fetch: Fetch, server: MisbehavingServer, site: Sites
) -> None:
    failure = failure_of(fetch(server.url("image"), allow=site())[0])
    assert failure.category is ErrorCategory.FORBIDDEN_ADDRESS
    named = f"http://photos.example:{server.port}/image"
    failure = failure_of(fetch(named, allow=site(host="photos.example"), resolver=Answers(["127.0.0.1"]))[0])
    assert failure.category is ErrorCategory.FORBIDDEN_ADDRESS
    assert not server.requests


@pytest.mark.slow
def test_they_are_in_no_result_and_no_log(
    fetch: Fetch, server: MisbehavingServer, site: Sites, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    links = [server.url(behaviour, to="http://[::bad/") for behaviour in BEHAVIOURS]
    links += [server.url("redirect", to="http://169.254.169.254/")]
    results = fetch(*links, allow=site(server.address), attempts=1, max_bytes=100, **IMPATIENT)
    assert all(headers == HEADERS for headers in sent(server))
    told = caplog.text + "".join(repr(asdict(result)) for result in results)
    for secret in ("secret", LOGIN.removeprefix("Basic ")):
        assert secret not in told
