"""Credentials in links, and certificates of hosts."""

from __future__ import annotations

import base64
import logging
import socket
import ssl

import pytest
import trustme

from ocr_pipeline.errors import ErrorCategory
from tests.fetch.conftest import IMPATIENT, Fetch, failure_of, image_of
from tests.misbehaving_server import BEHAVIOURS, MisbehavingServer

AUTHORIZATION = "Basic " + base64.b64encode(b"user:secret").decode()


def with_credentials(url: str) -> str:
    return url.replace("://", "://user:secret@")


def test_credentials_of_a_link_are_sent_to_its_host(fetch: Fetch, server: MisbehavingServer) -> None:
    image_of(fetch(with_credentials(server.url("redirect", to="/image")))[0])
    assert [request.headers.get("authorization") for request in server.requests] == [AUTHORIZATION] * 2
    assert not any("secret" in request.target for request in server.requests)


def test_a_login_that_cannot_be_sent_is_an_invalid_link(fetch: Fetch, server: MisbehavingServer) -> None:
    """Basic authentication has no way to write a colon in a name."""
    bad, good = fetch(server.url("image").replace("://", "://us%3Aer:secret@"), server.url("image"))
    assert failure_of(bad).category is ErrorCategory.INVALID_LINK
    assert "login" in failure_of(bad).detail
    assert image_of(good)
    assert len(server.requests) == 1


def test_credentials_do_not_follow_to_another_host(
    fetch: Fetch, server: MisbehavingServer, other_server: MisbehavingServer
) -> None:
    back = other_server.url("redirect", to=server.url("image"))
    link = with_credentials(server.url("redirect", to=back))
    image_of(fetch(link, allow=[server.address, other_server.address])[0])
    assert [request.headers.get("authorization") for request in server.requests] == [AUTHORIZATION, None]
    assert [request.headers.get("authorization") for request in other_server.requests] == [None]


@pytest.mark.slow
def test_credentials_are_in_no_detail_and_no_log(
    fetch: Fetch, server: MisbehavingServer, closed_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    links = [server.url(behaviour, to="/status") for behaviour in BEHAVIOURS]
    links += [
        server.url("redirect", to="http://user:secret@[::bad/"),
        server.url("redirect", to="ftp://user:secret@x/"),
    ]
    links += [server.url("redirect", to="http://user:secret@169.254.169.254/"), f"http://127.0.0.1:{closed_port}/"]
    links += ["http://name.invalid/", "http://127.1/", "http://a..b/", "https://" + server.address, "http://[::1/"]
    links += ["http://x:99999/", "ftp://host/", "file://host/x", "http://./"]
    allow = [server.address, f"127.0.0.1:{closed_port}"]
    results = fetch(*map(with_credentials, links), allow=allow, attempts=1, max_bytes=100, **IMPATIENT)
    details = [failure_of(result).detail for result in results if not hasattr(result, "body")]
    assert len(details) > len(links) / 2
    assert "secret" not in "\n".join(details)
    assert "secret" not in caplog.text


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_with_certificate(authority: trustme.CA, name: str) -> MisbehavingServer:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return MisbehavingServer(tls=context)


def test_certificates_are_verified(fetch: Fetch, authority: trustme.CA) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with server_with_certificate(authority, "127.0.0.1") as server:
        allow = [server.address]
        assert image_of(fetch(server.url("image"), allow=allow, tls=trusting)[0]).http_status == 200
        unknown = failure_of(fetch(server.url("image"), allow=allow)[0])
    with server_with_certificate(authority, "other.example") as server:
        misnamed = failure_of(fetch(server.url("image"), allow=[server.address], tls=trusting)[0])
        assert not server.requests
    for failure, reason in ((unknown, "issuer"), (misnamed, "mismatch")):
        assert (failure.category, failure.attempts) == (ErrorCategory.TLS_FAILED, 1)
        assert reason in failure.detail


def test_host_that_speaks_no_tls(fetch: Fetch, server: MisbehavingServer) -> None:
    link = server.url("image").replace("http:", "https:")
    failure = failure_of(fetch(link)[0])
    assert (failure.category, failure.attempts) == (ErrorCategory.TLS_FAILED, 1)
    assert not server.requests


def test_connecting_has_a_deadline(fetch: Fetch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # it never accepts, so TLS is never agreed on
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        failure = failure_of(fetch(f"https://{address}/", allow=[address], connect_timeout=0.3, attempts=2)[0])
    assert (failure.category, failure.attempts) == (ErrorCategory.TIMEOUT, 2)
    assert "connect_timeout=0.3" in failure.detail
