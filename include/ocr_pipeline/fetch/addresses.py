"""Which addresses may be connected to: the public internet, and what the deployment allows by name.

The check is made on the numeric address, after resolution: once on what a name resolves to, so that a host
with some public addresses is reached at those, and again on every socket before it connects, which nothing
can go round (a name that changes its mind, a literal address, a redirect).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from ocr_pipeline.settings.deployment import Allowances

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# The registries of special-purpose addresses, RFC 6890 and its updates, as kept at
# https://www.iana.org/assignments/iana-ipv4-special-registry and .../iana-ipv6-special-registry, and the
# addresses at which clouds serve credentials. They are spelled out because ``ipaddress`` differs between
# Python releases and calls multicast global.
_METADATA = {
    "169.254.169.254": "AWS, Azure, Google, Oracle",
    "169.254.170.2": "AWS ECS",
    "168.63.129.16": "Azure",
    "100.100.100.200": "Alibaba",
    "192.0.0.192": "Oracle",
    "fd00:ec2::254": "AWS",
    "fd20:ce::254": "Google",
}
_NOT_PUBLIC = {
    "127.0.0.0/8": "a loopback address",
    "10.0.0.0/8": "a private address",
    "172.16.0.0/12": "a private address",
    "192.168.0.0/16": "a private address",
    "169.254.0.0/16": "a link-local address",
    "100.64.0.0/10": "a shared (carrier) address",
    "0.0.0.0/8": "an unspecified address",
    "224.0.0.0/4": "a multicast address",
    "240.0.0.0/4": "a reserved address",
    "192.0.0.0/24": "a reserved address",
    "192.0.2.0/24": "a documentation address",
    "198.51.100.0/24": "a documentation address",
    "203.0.113.0/24": "a documentation address",
    "192.88.99.0/24": "a reserved address",
    "198.18.0.0/15": "a benchmarking address",
    "::1/128": "a loopback address",
    "::/128": "an unspecified address",
    "fc00::/7": "a private address",
    "fe80::/10": "a link-local address",
    "fec0::/10": "a private address",
    "ff00::/8": "a multicast address",
    "2001::/32": "a Teredo address",
    "2001::/23": "a reserved address",
    "2001:db8::/32": "a documentation address",
    "3fff::/20": "a documentation address",
}
_METADATA_ADDRESSES = {ipaddress.ip_address(address): cloud for address, cloud in _METADATA.items()}
_NOT_PUBLIC_NETWORKS = tuple((ipaddress.ip_network(network), what) for network, what in _NOT_PUBLIC.items())
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP_INTERFACE = 0x00005EFE  # RFC 5214: bits 64 to 95 of the address, with or without the universal bit
_UNIVERSAL_BIT = 0x02000000


class AddressRefusedError(OSError):
    """A connection was not made because the address is neither public nor allowed.

    An ``OSError``, since those are what the connector expects of a socket that cannot be had.
    """

    def __init__(self, address: str, port: int, reason: str) -> None:
        host = f"[{address}]" if ":" in address else address
        super().__init__(
            f"{address} is {reason} and the deployment does not allow it; "
            f"whoever runs the pipeline can, by name: ALLOW={host}:{port} with make run, "
            "the Airflow variable ocr_allow elsewhere"
        )


def why_not_public(address: str) -> str | None:
    """What makes the numeric ``address`` unfit for a request from inside, as in "a loopback address"; None if public.

    IPv6 forms that carry an IPv4 address (mapped, NAT64, ISATAP) are as public as what they carry; 6to4, which
    no host should use any more (RFC 7526), never is.

    :raises ValueError: if ``address`` is not a numeric address.
    """
    return _why_not_public(ipaddress.ip_address(address))


@lru_cache(maxsize=4096)
def _why_not_public(ip: IPAddress) -> str | None:
    if cloud := _METADATA_ADDRESSES.get(ip):
        return f"a cloud metadata address ({cloud})"
    for network, what in _NOT_PUBLIC_NETWORKS:
        if ip in network:
            return what
    if isinstance(ip, ipaddress.IPv4Address):
        return None
    for form, carried in _carried(ip):
        if reason := _why_not_public(carried):
            return f"the {form} form of {carried}, {reason}"
    if ip.sixtofour:
        return "a 6to4 address"
    if ip in _GLOBAL_UNICAST or ip in _NAT64 or ip.ipv4_mapped:
        return None
    return "a reserved address"


def _carried(ip: ipaddress.IPv6Address) -> Iterator[tuple[str, ipaddress.IPv4Address]]:
    """The IPv4 addresses that packets for ``ip`` may end up at, with the name of the form."""
    last = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.ipv4_mapped:
        yield "IPv4-mapped", ip.ipv4_mapped
    if ip.sixtofour:
        yield "6to4", ip.sixtofour
    if ip in _NAT64:
        yield "NAT64", last
    if (int(ip) >> 32) & 0xFFFFFFFF & ~_UNIVERSAL_BIT == _ISATAP_INTERFACE:
        yield "ISATAP", last


class AddressGuard:
    """Refuses addresses that are neither public nor allowed; ``allowances`` are the deployment's."""

    def __init__(self, allowances: Allowances) -> None:
        self._allowances = allowances

    def check(self, address: str, port: int) -> None:
        """Pass silently if the numeric ``address`` may be connected to at ``port``.

        :raises AddressRefusedError: if it may not.
        """
        ip = ipaddress.ip_address(address)
        if (reason := _why_not_public(ip)) is None:
            return
        if isinstance(ip, ipaddress.IPv6Address):
            ip = ip.ipv4_mapped or ipaddress.IPv6Address(int(ip))  # the latter drops a scope such as %eth0
        if not self._allowances.allows_address(str(ip), port):
            raise AddressRefusedError(str(ip), port, reason)

    def socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for the address ``info`` (as from ``getaddrinfo``), if it may be connected to.

        The connector asks for every socket here, so this is the check that holds.

        :raises AddressRefusedError: if the address is refused.
        """
        family, kind, protocol, _, (address, port, *_) = info
        self.check(address, port)
        return socket.socket(family, kind, protocol)
