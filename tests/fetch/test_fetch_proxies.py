"""Proxies of the environment: used only where the deployment allows them, and no way round the address guard."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator

import pytest
import trustme

from ocr_pipeline.errors import ErrorCategory, SettingsError
from tests.fetch.conftest import Fetch, failure_of, image_of
from tests.fetch.test_fetch_credentials import server_with_certificate
from tests.misbehaving_server import MisbehavingServer
from tests.proxy_server import ProxyServer

IMAGE = "http://images.example/image?bytes=7"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment, without any proxy of the machine."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.fixture
def proxy(server: MisbehavingServer, environment: pytest.MonkeyPatch) -> Iterator[ProxyServer]:
    with ProxyServer(server.port) as proxy:
        environment.setenv("HTTP_PROXY", f"http://user:secret@{proxy.address}")
        yield proxy


def test_proxy_is_used_where_the_deployment_allows_it(fetch: Fetch, proxy: ProxyServer) -> None:
    # Only the proxy knows the name's address.
    assert len(image_of(fetch(IMAGE, allow=["proxy", proxy.address])[0]).body) == 7
    assert proxy.requests == [f"GET {IMAGE} HTTP/1.1"]
    assert proxy.credentials == ["Basic " + base64.b64encode(b"user:secret").decode()]


def test_proxy_is_not_used_otherwise(fetch: Fetch, proxy: ProxyServer, server: MisbehavingServer) -> None:
    image_of(fetch(server.url("image"), allow=[proxy.address, server.address])[0])
    assert proxy.requests == []


def test_proxy_needs_an_allowed_address_itself(fetch: Fetch, proxy: ProxyServer) -> None:
    failure = failure_of(fetch(IMAGE, allow=["proxy"])[0])
    assert failure.category is ErrorCategory.FORBIDDEN_ADDRESS
    assert proxy.address in failure.detail
    assert "secret" not in failure.detail
    assert proxy.requests == []


def test_no_proxy_is_honoured(
    fetch: Fetch, proxy: ProxyServer, server: MisbehavingServer, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("NO_PROXY", "127.0.0.1,other.example")
    image_of(fetch(server.url("image"), allow=["proxy", proxy.address, server.address])[0])
    assert proxy.requests == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "[::1]", "[::ffff:10.0.0.1]", "169.254.169.254", "localhost",
     "a.localhost", "10.0.0.1."],
)  # fmt: skip
def test_refused_addresses_stay_refused(fetch: Fetch, proxy: ProxyServer, host: str) -> None:
    links = [f"http://{host}/image", f"http://images.example/redirect?to=http://{host}/image"]
    direct, redirected = map(failure_of, fetch(*links, allow=["proxy", proxy.address]))
    assert direct.category is redirected.category is ErrorCategory.FORBIDDEN_ADDRESS
    assert len(proxy.requests) == 1


def test_https_goes_through_a_tunnel(fetch: Fetch, environment: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with server_with_certificate(authority, "images.example") as server, ProxyServer(server.port) as proxy:
        environment.setenv("ALL_PROXY", proxy.address)
        result = fetch("https://images.example/image", allow=["proxy", proxy.address], tls=trust)[0]
        assert len(image_of(result).body) == 1000
        assert proxy.requests == ["CONNECT images.example:443 HTTP/1.1"]


def test_proxy_that_refuses_to_connect(
    fetch: Fetch, server: MisbehavingServer, environment: pytest.MonkeyPatch
) -> None:
    with ProxyServer(server.port, tunnel_status=502) as proxy:
        environment.setenv("HTTPS_PROXY", f"http://user:secret@{proxy.address}")
        failure = failure_of(fetch("https://images.example/image", allow=["proxy", proxy.address])[0])
    assert (failure.category, failure.attempts) == (ErrorCategory.CONNECT_FAILED, 3)
    assert "the proxy answered HTTP 502" in failure.detail
    assert "secret" not in failure.detail


def test_proxy_that_is_not_there(fetch: Fetch, closed_port: int, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{closed_port}")
    failure = failure_of(fetch(IMAGE, allow=["proxy", f"127.0.0.1:{closed_port}"])[0])
    assert (failure.category, failure.attempts) == (ErrorCategory.CONNECT_FAILED, 3)
    assert "no connection to the proxy" in failure.detail
    assert "secret" not in failure.detail


@pytest.mark.parametrize("value", ["socks5://user:secret@proxy:1080", "http://", "http://[::bad"])
def test_proxy_that_cannot_be_used_is_refused(fetch: Fetch, environment: pytest.MonkeyPatch, value: str) -> None:
    environment.setenv("HTTPS_PROXY", value)
    with pytest.raises(SettingsError, match="HTTPS_PROXY") as caught:
        fetch(IMAGE, allow=["proxy"])
    assert "secret" not in str(caught.value)
