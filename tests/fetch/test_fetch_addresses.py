"""Where connections may go: the public internet and what is allowed, however the address is written or reached."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch import Fetcher
from ocr_pipeline.fetch.addresses import AddressGuard, AddressRefusedError, why_not_public
from ocr_pipeline.fetch.names import SystemResolver
from ocr_pipeline.records import Failure, FetchedImage, ImageRef
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings
from tests.fetch.conftest import QUICK, Fetch, failure_of, image_of
from tests.fetch.offline import offline
from tests.misbehaving_server import MisbehavingServer, body_of

IPV4: st.SearchStrategy[ipaddress.IPv4Address] = st.ip_addresses(v=4).map(ipaddress.IPv4Address) | st.sampled_from(
    ["127.0.0.1", "10.0.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.0.8", "8.8.8.8", "93.184.216.34"]
).map(ipaddress.IPv4Address)  # fmt: skip
FORMS = {
    "mapped": "::ffff:0:0",
    "compatible": "::",
    "NAT64": "64:ff9b::",
    "local NAT64": "64:ff9b:1::",
    "ISATAP": "2606:4700::5efe:0:0",
    "universal ISATAP": "2606:4700::200:5efe:0:0",
    "link-local ISATAP": "fe80::5efe:0:0",
}


def spellings(ip: ipaddress.IPv4Address) -> list[str]:
    """Hosts of URLs that resolvers, browsers or libraries take for ``ip``."""
    number = int(ip)
    parts = [int(part) for part in str(ip).split(".")]
    tail = number & 0xFFFFFF
    plain = [
        str(ip),
        f"{ip}.",
        str(number),
        hex(number),
        f"0{number:o}",
        f"{parts[0]}.{tail}",
        f"{parts[0]}.{parts[1]}.{number & 0xFFFF}",
        f"{parts[0]:#x}.{tail:#X}",
        ".".join(f"{part:#x}" for part in parts),
        ".".join(f"0{part:o}" for part in parts),
        ".".join(f"{part:03}" for part in parts),
        "%" + "%".join(f"{byte:02x}" for byte in str(ip).encode()),
        str(ip).replace(".", "。"),
        "".join(chr(0xFF10 + int(digit)) if digit.isdigit() else digit for digit in str(ip)),
        "".join(chr(0x2460 + int(digit) - 1) if digit in "123456789" else digit for digit in str(ip)),
    ]
    carried = [ipaddress.IPv6Address(int(ipaddress.IPv6Address(form)) + number) for form in FORMS.values()]
    carried.append(ipaddress.IPv6Address((0x2002 << 112) + (number << 80)))
    six = [text for address in carried for text in (str(address), address.exploded, str(address).upper())]
    six += [f"::ffff:{ip}", f"64:ff9b::{ip}", f"::{ip}", f"::ffff:0:{ip}", f"{carried[0]}%eth0", f"{carried[0]}%25lo"]
    return plain + [f"[{text}]" for text in six]


class Numeric(AbstractResolver):
    """What the system makes of a host that spells out an address; it knows no names."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        flags = socket.AI_NUMERICHOST
        found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=flags)
        return [
            ResolveResult(hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=flags)
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        pass


class Answers(AbstractResolver):
    """A resolver that gives the next of ``answers``, and the last of them for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


def is_public(ip: ipaddress.IPv4Address) -> bool:
    """What the standard library calls public, which is our reference; that it leaves out multicast is made good."""
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def is_special(ip: ipaddress.IPv4Address) -> bool:
    return not is_public(ip)


@given(IPV4)
def test_no_special_ipv4_address_is_public(ip: ipaddress.IPv4Address) -> None:
    if not is_public(ip):
        assert why_not_public(str(ip))


@given(st.ip_addresses(v=6))
@example(ipaddress.IPv6Address("2002:100::"))
def test_no_special_ipv6_address_is_public(ip: ipaddress.IPv6Address) -> None:
    forms = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96"))
    if any(ip in form for form in forms):
        return  # as public as what they carry: a test below
    if not ip.is_global or ip.is_multicast or ip not in ipaddress.IPv6Network("2000::/3"):
        assert why_not_public(str(ip))


@given(IPV4, st.sampled_from(sorted(FORMS)))
def test_no_special_address_is_public_in_disguise(ip: ipaddress.IPv4Address, form: str) -> None:
    disguised = ipaddress.IPv6Address(int(ipaddress.IPv6Address(FORMS[form])) + int(ip))
    if not is_public(ip):
        assert why_not_public(str(disguised))


@given(IPV4, st.integers(0, 2**80 - 1))
def test_no_special_address_is_public_by_6to4_or_teredo(ip: ipaddress.IPv4Address, rest: int) -> None:
    if not is_public(ip):
        assert why_not_public(str(ipaddress.IPv6Address((0x2002 << 112) + (int(ip) << 80) + rest)))
    hidden = int(ip) ^ 0xFFFFFFFF  # Teredo carries the client's address with every bit inverted
    assert why_not_public(str(ipaddress.IPv6Address((0x20010000 << 96) + (rest >> 32 << 32) + hidden)))


@settings(deadline=None)
@given(st.data(), IPV4.filter(is_special), st.integers(1, 65535))
def test_no_spelling_of_a_special_address_is_connected_to(
    data: st.DataObject, ip: ipaddress.IPv4Address, port: int
) -> None:
    host = data.draw(st.sampled_from(spellings(ip)))
    failure, connected = attempt(f"http://{host}:{port}/a.png")
    assert failure.category in REFUSALS, failure
    assert not connected


@settings(deadline=None)
@given(st.ip_addresses(v=6), st.sampled_from([str, str.upper, lambda text: ipaddress.IPv6Address(text).exploded]))
def test_no_spelling_of_a_special_ipv6_address_is_connected_to(
    ip: ipaddress.IPv6Address, spell: Callable[[str], str]
) -> None:
    failure, connected = attempt(f"http://[{spell(str(ip))}]/a.png")
    if why_not_public(str(ip)):
        assert failure.category is ErrorCategory.FORBIDDEN_ADDRESS
        assert not connected
    else:
        assert failure.category is ErrorCategory.CONNECT_FAILED
        assert connected


@pytest.mark.parametrize("host", ["8.8.8.8", "134744072", "0x8.8.8.8", "[::ffff:8.8.8.8]", "[2606:4700:4700::1111]"])
def test_a_public_address_would_be_connected_to(host: str) -> None:
    """What shows that the tests above can fail."""
    failure, connected = attempt(f"http://{host}/a.png")
    if failure.category is ErrorCategory.CONNECT_FAILED:
        assert connected
    else:
        assert failure.category is ErrorCategory.INVALID_LINK


REFUSALS = (ErrorCategory.FORBIDDEN_ADDRESS, ErrorCategory.INVALID_LINK, ErrorCategory.NAME_NOT_RESOLVED)


def attempt(link: str) -> tuple[Failure, list[object]]:
    """What becomes of ``link`` where nothing is allowed, and which addresses were to be connected to."""

    async def run() -> FetchedImage | Failure:
        async with Fetcher(FetchSettings(attempts=1), Allowances(), policy=QUICK, resolver=Numeric()) as fetcher:
            return await fetcher.fetch(ImageRef(0, link))

    with offline() as connected:
        return failure_of(asyncio.run(run())), connected


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "2001:4860:4860::8888",
     "::ffff:8.8.8.8", "64:ff9b::808:808"],
)  # fmt: skip
def test_public_addresses_are_public(address: str) -> None:
    assert why_not_public(address) is None
    AddressGuard(Allowances()).check(address, 443)


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("127.0.0.1", "loopback"),
        ("10.1.2.3", "private"),
        ("169.254.1.1", "link-local"),
        ("169.254.169.254", "metadata"),
        ("168.63.129.16", "metadata"),
        ("100.100.100.200", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.64.0.1", "shared"),
        ("0.0.0.0", "unspecified"),
        ("239.1.1.1", "multicast"),
        ("250.1.1.1", "reserved"),
        ("::1", "loopback"),
        ("fe80::1%eth0", "link-local"),
        ("fd12::1", "private"),
        ("ff02::1", "multicast"),
        ("::ffff:127.0.0.1", "IPv4-mapped form of 127.0.0.1, a loopback"),
        ("2002:a00:1::", "6to4 form of 10.0.0.1, a private"),
        ("64:ff9b::a9fe:a9fe", "NAT64 form of 169.254.169.254, a cloud metadata"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
    ],
)
def test_refusal_says_what_the_address_is(address: str, what: str) -> None:
    with pytest.raises(AddressRefusedError, match=what):
        AddressGuard(Allowances()).check(address, 80)


def test_allowance_is_for_its_network_and_port() -> None:
    guard = AddressGuard(Allowances.parse("10.0.0.0/8, 127.0.0.1:8000, fd00::/8"))
    for address, port in (("10.9.9.9", 1), ("127.0.0.1", 8000), ("::ffff:127.0.0.1", 8000), ("fd00::1", 80)):
        guard.check(address, port)
    for address, port in (("11.0.0.1", 1), ("8.8.8.8", 1)):
        guard.check(address, port)
    for address, port in (("127.0.0.1", 8001), ("127.0.0.2", 8000), ("192.168.0.1", 80), ("2002:a00:1::", 80)):
        with pytest.raises(AddressRefusedError, match="ALLOW="):
            guard.check(address, port)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "0x7f.1", "10.0.0.1"],
)
def test_forbidden_hosts(fetch: Fetch, server: MisbehavingServer, host: str) -> None:
    failure = failure_of(fetch(f"http://{host}:{server.port}/image", allow=[])[0])
    assert (failure.category, failure.http_status) == (ErrorCategory.FORBIDDEN_ADDRESS, None)
    assert f":{server.port} with make run" in failure.detail
    assert "ocr_allow" in failure.detail
    assert not server.requests


@pytest.mark.parametrize("host", ["2130706433", "017700000001", "127.1", "127.0.0.1.", "0177.0.0.1"])
def test_odd_spellings_of_loopback_lead_nowhere(fetch: Fetch, server: MisbehavingServer, host: str) -> None:
    failure = failure_of(fetch(f"http://{host}:{server.port}/image", allow=[])[0])
    assert failure.category in (ErrorCategory.INVALID_LINK, ErrorCategory.FORBIDDEN_ADDRESS)
    assert not server.requests


def test_allowed_host_by_name(fetch: Fetch, server: MisbehavingServer) -> None:
    assert image_of(fetch(f"http://localhost:{server.port}/image")[0]).http_status == 200


def test_allowed_port_allows_no_other(fetch: Fetch, server: MisbehavingServer, other_server: MisbehavingServer) -> None:
    direct, redirected = fetch(other_server.url("image"), server.url("redirect", to=other_server.url("image")))
    assert failure_of(direct).category is ErrorCategory.FORBIDDEN_ADDRESS
    assert failure_of(redirected).category is ErrorCategory.FORBIDDEN_ADDRESS
    assert failure_of(redirected).http_status == 302
    assert not other_server.requests


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://[::ffff:a9fe:a9fe]/",
     "//169.254.169.254/", "https://192.168.0.1/"],
)  # fmt: skip
def test_redirect_to_forbidden_address(fetch: Fetch, server: MisbehavingServer, target: str) -> None:
    failure = failure_of(fetch(server.url("redirect", to=target))[0])
    assert (failure.category, failure.http_status) == (ErrorCategory.FORBIDDEN_ADDRESS, 302)
    assert failure.attempts == 1


def test_name_that_resolves_differently_the_second_time(
    fetch: Fetch, server: MisbehavingServer, other_server: MisbehavingServer
) -> None:
    # The first answer is allowed; the redirect to another port makes the name be resolved again.
    resolver = Answers(["127.0.0.1"], ["127.0.0.2"])
    url = f"http://images.example:{server.port}/redirect?to=http://images.example:{other_server.port}/image"
    failure = failure_of(fetch(url, allow=["127.0.0.1"], resolver=resolver)[0])
    assert resolver.asked == ["images.example"] * 2
    assert failure.category is ErrorCategory.FORBIDDEN_ADDRESS
    assert "127.0.0.2" in failure.detail
    assert len(server.requests) == 1


def test_the_socket_is_checked_whatever_the_resolver_says() -> None:
    guard = AddressGuard(Allowances())
    with pytest.raises(AddressRefusedError):
        guard.socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)))
    with pytest.raises(AddressRefusedError):
        guard.socket((socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::1", 80, 0, 0)))


def test_allowed_address_among_forbidden_ones_is_used(fetch: Fetch, server: MisbehavingServer) -> None:
    resolver = Answers(["10.0.0.1", "169.254.169.254", "127.0.0.1", "::1"])
    url = f"http://images.example:{server.port}/image"
    assert image_of(fetch(url, resolver=resolver)[0]).body == body_of(1000)


def test_forbidden_address_does_not_hide_that_the_allowed_one_is_dead(
    fetch: Fetch, server: MisbehavingServer, closed_port: int
) -> None:
    resolver = Answers(["127.0.0.1", "10.0.0.1"])
    url = f"http://images.example:{closed_port}/image"
    failure = failure_of(fetch(url, allow=["127.0.0.1"], resolver=resolver)[0])
    assert failure.category is ErrorCategory.CONNECT_FAILED


def test_name_is_resolved_once(fetch: Fetch, server: MisbehavingServer) -> None:
    resolver = Answers(["127.0.0.1"])
    urls = [f"http://images.example:{server.port}/status?code=500&id={number}" for number in range(5)]
    fetch(*urls, resolver=resolver)
    assert len(server.requests) == 15
    assert resolver.asked == ["images.example"]


def test_name_without_address(fetch: Fetch, server: MisbehavingServer) -> None:
    resolver = Answers([], [], ["127.0.0.1"])
    url = f"http://images.example:{server.port}/image"
    failure = failure_of(fetch(url, resolver=Answers([]))[0])
    assert (failure.category, failure.attempts) == (ErrorCategory.NAME_NOT_RESOLVED, 3)
    assert image_of(fetch(url, resolver=resolver)[0]).attempts == 3


def test_unforeseen_error_is_a_failure_and_its_message_stays_out_of_the_log(
    fetch: Fetch, server: MisbehavingServer, caplog: pytest.LogCaptureFixture
) -> None:
    link = "http://user:secret@images.example/"

    class Broken(Answers):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            raise KeyError(link)

    failure = failure_of(fetch(link, resolver=Broken([]))[0])
    assert (failure.category, failure.attempts) == (ErrorCategory.BAD_RESPONSE, 1)
    assert "KeyError" in failure.detail
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text + failure.detail


def test_system_resolver_finds_every_address_of_a_name() -> None:
    async def run() -> list[ResolveResult]:
        resolver = SystemResolver(1)
        try:
            return await resolver.resolve("localhost", 80)
        finally:
            await resolver.close()

    results = asyncio.run(run())
    assert "127.0.0.1" in {result["host"] for result in results}
    assert {(result["hostname"], result["port"]) for result in results} == {("localhost", 80)}
