"""What only the deployment may decide: what runs may touch beyond the public internet, and with which credentials.

It stands in one Airflow variable. A person who triggers a run, and whoever writes the links of a dataset,
cannot change it.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from yarl import URL

from ocr_pipeline.errors import SettingsError
from ocr_pipeline.settings.addresses import STORE_SCHEMES, shown_address
from ocr_pipeline.settings.lists import read_list, write_list

ALLOW_VARIABLE = "ocr_allow"
"""Airflow variable with the entries of :meth:`Allowances.parse`, as :func:`split_allowed` takes them apart."""

PROXY_ENTRY = "proxy"
"""The entry among them that lets fetching use the proxies of the environment."""


@dataclass(frozen=True, slots=True)
class EntryForm:
    """A form that an entry of the variable may have: what it is called, examples, and what it allows."""

    name: str
    examples: tuple[str, ...]
    allows: str


ENTRY_FORMS = (
    EntryForm("an absolute folder", ("/data/images",), "the files in it; links that lead out of it do not count"),
    EntryForm(
        "a network or an address",
        ("10.1.0.0/16", "127.0.0.1:8000", "[fd00::1]:8000"),
        "addresses that are not public, at every port or at the one that is named",
    ),
    EntryForm(
        "a bucket",
        ("s3://bucket/prefix", "gs://bucket/prefix"),
        "the objects below the prefix, with the machine's own credentials: its environment or its role",
    ),
    EntryForm(
        "a bucket and the connection that opens it",
        ("s3://CONNECTION@bucket/prefix", "gs://CONNECTION@bucket/prefix"),
        "the objects below the prefix, with the credentials of an Airflow connection of type `aws` (access key, "
        "`aws_session_token`, `region_name`, `endpoint_url`) or `google_cloud_platform` (`keyfile_dict`, `key_path`), "
        "or `generic` with the same fields",
    ),
    EntryForm("a database", ("sql://CONNECTION",), "datasets that are queries on this Airflow connection"),
    EntryForm(
        "a web site",
        ("connection:CONNECTION",),
        "requests to the origin of this Airflow connection of type `http` or `generic` carry its login and headers, "
        "and no other origin sees them; a private address needs an entry for its network as well",
    ),
    EntryForm(
        "proxies",
        (PROXY_ENTRY,),
        "the proxies of `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`; a proxy whose address is not public "
        "needs an entry for its network as well",
    ),
)
"""Every form of an entry; the error of one that has none of them and the documentation list them."""

# Extras of an HTTP connection that are options of Airflow's own HTTP hook and not headers.
_HTTP_OPTIONS = frozenset(
    {"allow_redirects", "cert", "check_response", "max_redirects", "proxies", "proxy", "stream", "timeout"}
    | {"trust_env", "verify"}
)

_NO_KIND = ("", "generic")
"""What Airflow stores as the type of a connection whose provider is not installed: the UI does not offer its type, and
the command line replaces it. The entry that names the connection says what it is for."""

_BETWEEN = re.compile(r"(?<!\\),|\n")
_LIST = write_list(["/data/photos, 2024", "10.1.0.0/16"])
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


@dataclass(frozen=True, slots=True)
class Connection:
    """What an Airflow connection says. Its secrets stay out of its representation."""

    id: str
    kind: str
    host: str | None = None
    port: int | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def serves(self, *kinds: str) -> bool:
        """Whether it is of one of ``kinds``, or of none that is known."""
        return self.kind in (*kinds, *_NO_KIND)


FindConnection = Callable[[str], Connection]
"""Looks a connection up by its id. Raises SettingsError when there is none."""


@dataclass(frozen=True, slots=True)
class AllowedNetwork:
    """Addresses that may be connected to although they are not public; ``port`` None means any."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    port: int | None = None


@dataclass(frozen=True, slots=True)
class ObjectUri:
    """An object or a prefix in a bucket: ``scheme://bucket/key``, with the ``connection`` it names, if any."""

    scheme: str
    bucket: str
    key: str
    connection: str | None = None

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Take ``uri`` apart. Keys are as they stand there: nothing in them is an escape.

        :raises ValueError: when it is not the URI of an object store, saying why.
        """
        scheme, separator, rest = uri.partition("://")
        authority, _, key = rest.partition("/")
        connection, at, bucket = authority.rpartition("@")
        if not separator or scheme.lower() not in STORE_SCHEMES:
            raise ValueError(f"it does not start with {' or '.join(f'{known}://' for known in STORE_SCHEMES)}")
        if not bucket or (at and not connection) or ":" in authority:
            raise ValueError(f"it is not of the form {scheme}://bucket/key")
        if any(part in (".", "..") for part in key.split("/")):
            raise ValueError("its key has a part . or .., which stores do not resolve")
        return cls(scheme.lower(), bucket, key.strip("/"), connection or None)

    def __str__(self) -> str:
        at = f"{self.connection}@" if self.connection else ""
        return f"{self.scheme}://{at}{self.bucket}/{self.key}".rstrip("/")


@dataclass(frozen=True, slots=True)
class AllowedStore:
    """Objects that may be read and written: ``prefix`` in a bucket, and the connection whose credentials open it.

    Without a connection, the machine's own credentials do: its environment, or its role.
    """

    scheme: str
    bucket: str
    prefix: str = ""
    connection: Connection | None = None

    def covers(self, uri: ObjectUri) -> bool:
        """Whether ``uri`` is the prefix itself or lies below it."""
        return (
            (uri.scheme, uri.bucket) == (self.scheme, self.bucket)
            and (not self.prefix or f"{uri.key}/".startswith(f"{self.prefix}/"))
            and uri.connection in (None, self.connection.id if self.connection else None)
        )


@dataclass(frozen=True, slots=True)
class AllowedSite:
    """An HTTP origin that is asked with ``headers`` of the deployment's, its credentials among them.

    ``host`` is in lower case, a name in other scripts in its ASCII form. That an origin is named here makes no
    private address of it reachable: that takes a network.
    """

    scheme: str
    host: str
    port: int
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Allowances:
    """What the deployment lets runs touch beyond the public internet.

    Folders are resolved, so that a link or ``..`` inside them leads nowhere else. ``proxy`` lets fetching use the
    proxies that the environment names. ``databases`` are the connections that datasets may query.
    """

    folders: tuple[Path, ...] = ()
    networks: tuple[AllowedNetwork, ...] = ()
    proxy: bool = False
    stores: tuple[AllowedStore, ...] = ()
    sites: tuple[AllowedSite, ...] = ()
    databases: tuple[str, ...] = ()

    @classmethod
    def parse(cls, entries: str | Iterable[str], find_connection: FindConnection | None = None) -> Self:
        """Read ``entries``, or a string of them, as :func:`split_allowed` takes it apart.

        ``/folder``, ``10.0.0.0/8``, ``127.0.0.1:8000``, ``s3://bucket/prefix``, ``gs://CONNECTION@bucket``,
        ``sql://CONNECTION``, ``connection:CONNECTION`` (an HTTP origin and its headers) and ``proxy``.

        :param find_connection: looks up the connections that entries name; without it they are refused.
        :raises SettingsError: naming the entry that is none of these, or whose connection cannot be used.
        """
        if isinstance(entries, str):
            entries = split_allowed(entries)
        find = find_connection or _no_connections
        folders: list[Path] = []
        networks: list[AllowedNetwork] = []
        stores: list[AllowedStore] = []
        sites: list[AllowedSite] = []
        databases: list[str] = []
        proxy = False
        for entry in entries:
            scheme, separator, rest = entry.partition("://")
            if entry == PROXY_ENTRY:
                proxy = True
            elif entry.startswith(("/", "~")):
                folders.append(_parse_folder(entry))
            elif separator and scheme in STORE_SCHEMES:
                stores.append(_parse_store(entry, find))
            elif scheme == "sql" and separator and rest:
                databases.append(rest.rstrip("/"))
            elif entry.startswith("connection:"):
                sites.append(_site(find(entry.removeprefix("connection:"))))
            else:
                networks.append(_parse_network(entry))
        return cls(tuple(folders), tuple(networks), proxy, tuple(stores), tuple(sites), tuple(databases))

    def allows_address(self, address: str, port: int) -> bool:
        """Whether ``address`` (a numeric IP address, as connected to) is among the allowed networks."""
        ip = ipaddress.ip_address(address)
        return any(
            ip.version == allowed.network.version and ip in allowed.network and allowed.port in (None, port)
            for allowed in self.networks
        )

    def allows_path(self, path: Path) -> bool:
        """Whether ``path``, links resolved, lies in an allowed folder."""
        return self.allows_resolved(Path(os.path.realpath(path)))

    def allows_resolved(self, path: Path) -> bool:
        """Whether ``path``, in which nothing is a link, lies in an allowed folder. The disk is not asked."""
        return any(path.is_relative_to(folder) for folder in self.folders)

    def store(self, uri: ObjectUri) -> AllowedStore | None:
        """The allowed store that ``uri`` lies in, the one with the longest prefix; None when it is not allowed."""
        return max((s for s in self.stores if s.covers(uri)), key=lambda store: len(store.prefix), default=None)

    def site(self, scheme: str, host: str, port: int) -> AllowedSite | None:
        """What the deployment says of an HTTP origin; None when it is one like any other.

        :param host: as a URL has it, a name in other scripts in its ASCII form.
        """
        origin = (scheme, host.lower(), port)
        return next((site for site in self.sites if (site.scheme, site.host, site.port) == origin), None)


def split_allowed(text: str) -> list[str]:
    """The entries in the text of the variable: a JSON list of them, or separated by commas or line ends.

    In the latter form, ``\\,`` is a comma in an entry, and white space around entries does not count.
    """
    listed = read_list(text)
    if listed is not None:
        return listed
    entries = (entry.strip().replace(r"\,", ",") for entry in _BETWEEN.split(text))
    return [entry for entry in entries if entry]


def join_allowed(entries: Iterable[str]) -> str:
    """The text that :func:`split_allowed` takes apart into ``entries``, whatever stands in them."""
    return write_list(entries)


def _no_connections(name: str) -> Connection:
    raise SettingsError(f"allowed entry names the connection {name!r}, and there are no connections outside Airflow")


def _parse_folder(entry: str) -> Path:
    try:
        return Path(os.path.realpath(os.path.expanduser(entry)))
    except ValueError as error:  # a null byte, or text that the file system's encoding has no bytes for
        raise SettingsError(f"allowed entry {entry!r} cannot be used: {error}") from None


def _parse_store(entry: str, find: FindConnection) -> AllowedStore:
    try:
        uri = ObjectUri.parse(entry)
    except ValueError as error:
        raise SettingsError(f"allowed entry {shown_address(entry)!r} cannot be used: {error}") from None
    connection = find(uri.connection) if uri.connection else None
    return AllowedStore(uri.scheme, uri.bucket, uri.key, connection)


def _site(connection: Connection) -> AllowedSite:
    """The origin of an HTTP connection, its headers and its login, as Airflow's HTTP hook reads them."""
    host = connection.host or ""
    try:
        url = URL(host if "://" in host else f"{connection.schema or 'http'}://{host}")
        name, port = url.raw_host, connection.port or url.port
    except ValueError:
        name, port = None, None
    if not connection.serves("http", "https") or not name or not port or url.scheme not in ("http", "https"):
        raise SettingsError(
            f"connection {connection.id!r} cannot be used to fetch images: it must be of type http, or generic, and "
            "name a host and, if not http, the schema https"
        )
    headers = {key: value for key, value in connection.extra.items() if key.lower() not in _HTTP_OPTIONS}
    try:
        nested = headers.pop("headers", {})
        headers |= json.loads(nested) if isinstance(nested, str) else nested
        usable = all(_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(text) for name, text in headers.items())
    except (ValueError, TypeError):
        usable = False
    if not usable:  # what stands there is left out, as it may be a secret
        raise SettingsError(f"connection {connection.id!r}: its extra may hold headers only, names and texts of a line")
    if connection.login:
        login = f"{connection.login}:{connection.password or ''}".encode()
        if not any(name.lower() == "authorization" for name in headers):
            headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
    return AllowedSite(url.scheme, name, port, headers)


def _parse_network(entry: str) -> AllowedNetwork:
    host, port = entry, None
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        port = rest.removeprefix(":") or None
    elif entry.count(":") == 1:
        host, port = entry.split(":")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        return AllowedNetwork(ipaddress.ip_network(host, strict=False), int(port) if port else None)
    except ValueError:
        raise SettingsError(
            f"allowed entry {shown_address(entry)!r} is none of these: {_forms()}. Several are separated by commas; "
            f"where a comma is part of one, write a JSON list, such as {_LIST}"
        ) from None


def _forms() -> str:
    return "; ".join(f"{form.name} ({', '.join(form.examples)})" for form in ENTRY_FORMS)
