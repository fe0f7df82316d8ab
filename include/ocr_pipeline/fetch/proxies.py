"""Proxies that the environment names, where the deployment allows them.

A proxy resolves names and connects on its own, so the check of addresses at connect time sees the proxy alone.
That weakens the guard, so it is for the deployment to decide: without the entry ``proxy`` among its allowances,
the environment's proxies are not used. With it, links that name a refused address outright are still refused;
which address a name leads to is then for the proxy to judge. The proxy's own address is checked like any other.
"""

from __future__ import annotations

import socket
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from yarl import URL

from ocr_pipeline.errors import SettingsError
from ocr_pipeline.fetch.addresses import AddressGuard


class Proxies:
    """The proxies of HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, except for the hosts of NO_PROXY.

    :raises SettingsError: if one of them is not an ``http://`` URL.
    """

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._environment = getproxies_environment()
        self._proxies = {
            scheme: _parse(scheme, text)
            for scheme, text in self._environment.items()
            if scheme in ("http", "https", "all") and text
        }

    def of(self, url: URL) -> URL | None:
        """The proxy through which to request ``url``, None to connect directly.

        :raises AddressRefusedError: if the request would go through a proxy to an address that is refused.
        """
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        if proxy is None or proxy_bypass_environment(url.host_port_subcomponent or "", self._environment):
            return None
        if address := _literal_address(url.host or ""):
            self._guard.check(address, url.port or 0)
        return proxy


def _parse(scheme: str, text: str) -> URL:
    try:
        proxy = URL(text if "://" in text else f"http://{text}")
        usable = proxy.scheme == "http" and proxy.host
    except ValueError:
        usable = False
    if not usable:  # the text is left out, as it may hold a password
        raise SettingsError(
            f"the environment variable {scheme.upper()}_PROXY is not a proxy that can be used: "
            "write http://host:port, with user:password@ in front of the host if it asks for them"
        )
    return proxy


def _literal_address(host: str) -> str | None:
    """The address that ``host`` spells out in any way that resolvers take, such as ``127.1`` or ``0x7f000001``."""
    host = host.rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return "127.0.0.1"
    if ":" in host:
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None
