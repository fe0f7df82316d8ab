"""What the deployment lets runs touch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_pipeline.errors import SettingsError
from ocr_pipeline.settings.deployment import Allowances, Connection, ObjectUri


def connection(**values: Any) -> Connection:
    return Connection(**{"id": "named", "kind": "http", **values})


@pytest.mark.parametrize(
    ("entry", "address", "port", "allowed"),
    [
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("127.0.0.1:8000", "127.0.0.1", 8000, True),
        ("127.0.0.1:8000", "127.0.0.1", 8001, False),
        ("localhost", "127.0.0.1", 1, True),
        ("::1", "::1", 80, True),
        ("[::1]:9000", "::1", 9000, True),
        ("[::1]:9000", "::1", 80, False),
        ("fd00::/8", "fd12::1", 443, True),
        ("10.0.0.0/8", "fd12::1", 443, False),
    ],
)
def test_networks_are_allowed_by_name(entry: str, address: str, port: int, allowed: bool) -> None:
    assert Allowances.parse(entry).allows_address(address, port) is allowed


def test_folders_are_allowed_with_links_resolved(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    allowances = Allowances.parse(f"{inside},\n10.0.0.0/8")
    assert allowances.allows_path(inside / "a" / "b.png")
    assert not allowances.allows_path(inside / "link" / "b.png")
    assert not allowances.allows_path(inside / ".." / "out" / "b.png")
    assert not allowances.allows_path(tmp_path / "inner.png")


@pytest.mark.parametrize("entry", ["relative/folder", "10.0.0.0/99", "example.org", "127.0.0.1:http"])
def test_an_entry_that_is_neither_is_refused(entry: str) -> None:
    with pytest.raises(SettingsError, match="is none of these: an absolute folder"):
        Allowances.parse(entry)


@pytest.mark.parametrize("entry", ["/a\0b", "/\ud800"])
def test_a_folder_that_cannot_be_is_refused(entry: str) -> None:
    with pytest.raises(SettingsError, match="cannot be used"):
        Allowances.parse(entry)


@given(st.text() | st.from_regex(r"(/|~|s3://|gs://|sql://|connection:|\[)?[^,]{0,20}"))
def test_any_text_is_an_allowance_or_a_settings_error(text: str) -> None:
    try:
        allowances = Allowances.parse(text, lambda name: connection(id=name, host="images.example.org"))
    except SettingsError:
        return
    assert all(folder.is_absolute() for folder in allowances.folders)


@pytest.mark.parametrize(
    ("entry", "uri", "allowed"),
    [
        ("s3://bucket", "s3://bucket/any/key.png", True),
        ("s3://bucket/images", "s3://bucket/images", True),
        ("s3://bucket/images/", "s3://bucket/images/a b.png", True),
        ("s3://bucket/images", "s3://bucket/images-private/a.png", False),
        ("s3://bucket/images", "s3://bucket", False),
        ("s3://bucket", "s3://other/a.png", False),
        ("s3://bucket", "gs://bucket/a.png", False),
        ("s3://named@bucket", "s3://bucket/a.png", True),
        ("s3://named@bucket", "s3://named@bucket/a.png", True),
        ("s3://named@bucket", "s3://other@bucket/a.png", False),
        ("s3://bucket", "s3://named@bucket/a.png", False),
    ],
)
def test_buckets_are_allowed_by_whole_parts_of_their_keys(entry: str, uri: str, allowed: bool) -> None:
    allowances = Allowances.parse(entry, lambda name: connection(id=name, kind="aws"))
    assert (allowances.store(ObjectUri.parse(uri)) is not None) is allowed


def test_the_longest_prefix_decides_which_connection_opens_a_bucket() -> None:
    allowances = Allowances.parse("s3://one@b, s3://two@b/in", lambda name: connection(id=name, kind="aws"))
    inside, outside = (allowances.store(ObjectUri.parse(f"s3://b/{key}")) for key in ("in/a.png", "a.png"))
    assert inside is not None
    assert outside is not None
    assert inside.connection == connection(id="two", kind="aws")
    assert outside.connection == connection(id="one", kind="aws")


@pytest.mark.parametrize(
    "uri",
    [
        "s3:/bucket/a",
        "s3://",
        "s3:///a",
        "s3://@b/a",
        "s3://u:p@b/a",
        "ftp://b/a",
        "s3://b/x/../y",
        "s3://b/./y",
        "b/a",
    ],
)
def test_what_is_no_object_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="it"):
        ObjectUri.parse(uri)


def test_an_object_uri_is_written_as_it_was_read() -> None:
    for uri in ("s3://b/a b%20/ü.png", "gs://conn@b/x", "s3://b"):
        assert str(ObjectUri.parse(uri)) == uri


def test_databases_are_named() -> None:
    assert Allowances.parse("sql://warehouse,sql://other").databases == ("warehouse", "other")


@pytest.mark.parametrize(
    ("values", "origin"),
    [
        ({"host": "images.example.org"}, ("http", "images.example.org", 80)),
        ({"host": "Images.Example.org", "schema": "https"}, ("https", "images.example.org", 443)),
        ({"host": "https://images.example.org/base", "port": 8443}, ("https", "images.example.org", 8443)),
        ({"host": "bücher.example.org"}, ("http", "xn--bcher-kva.example.org", 80)),
        ({"host": "images.example.org", "kind": "generic"}, ("http", "images.example.org", 80)),
        ({"host": "https://images.example.org:9000"}, ("https", "images.example.org", 9000)),
    ],
)
def test_a_site_is_exactly_one_origin(values: dict[str, Any], origin: tuple[str, str, int]) -> None:
    allowances = Allowances.parse("connection:named", lambda _: connection(**values))
    site = allowances.site(*origin)
    assert site is not None
    scheme, host, port = origin
    assert allowances.site("https" if scheme == "http" else "http", host, port) is None
    assert allowances.site(scheme, f"www.{host}", port) is None
    assert allowances.site(scheme, host, port + 1) is None


def test_a_site_is_asked_with_the_headers_and_the_login_of_its_connection() -> None:
    extra = {"X-Key": "k", "timeout": 3, "headers": {"X-Team": "t"}}
    values = {"host": "h.example.org", "login": "user", "password": "secret", "extra": extra}
    allowances = Allowances.parse("connection:named", lambda _: connection(**values))
    assert allowances.sites[0].headers == {
        "X-Key": "k",
        "X-Team": "t",
        "Authorization": "Basic dXNlcjpzZWNyZXQ=",
    }
    for secret in ("secret", "dXNl", "X-Key"):
        assert secret not in repr(allowances)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "aws", "host": "h"},
        {"host": ""},
        {"host": "ftp://h"},
        {"host": "h:99999"},
        {"host": "h", "extra": {"X-Number": 3}},
        {"host": "h", "extra": {"X Key": "secret"}},
        {"host": "h", "extra": {"X-Key": "secret\r\nX-Other: 1"}},
        {"host": "h", "extra": {"headers": "{secret"}},
        {"host": "h", "extra": {"headers": "3"}},
    ],
)
def test_a_connection_that_is_no_site_is_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="'named'") as caught:
        Allowances.parse("connection:named", lambda _: connection(**values))
    assert "secret" not in str(caught.value)


def test_a_connection_is_refused_where_there_are_none() -> None:
    with pytest.raises(SettingsError, match="'named'"):
        Allowances.parse("s3://named@bucket")
