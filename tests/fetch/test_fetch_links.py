"""Links as they stand in datasets: what they are, and that none of them breaks anything."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.fetch import Fetcher
from ocr_pipeline.fetch.links import Base, FileLink, ObjectLink, WebLink, parse_link, redirect_target
from ocr_pipeline.records import Failure, ImageRef
from ocr_pipeline.settings.deployment import Allowances, ObjectUri
from ocr_pipeline.settings.run import FetchSettings
from tests.fetch.conftest import QUICK
from tests.fetch.offline import offline
from tests.fetch.test_fetch_addresses import Answers

BASE = Path("/data/set")
PIECES = [
    *(
        "http",
        "https",
        "file",
        "s3",
        "gs",
        "ftp",
        "data",
        "javascript",
        "://",
        ":",
        "/",
        "//",
        "@",
        "?",
        "#",
        "%",
        "%00",
        "%2e",
    ),
    *("[", "]", "::1", "127.0.0.1", "localhost", "user:secret", "host.example", "ü", "例え", "..", ".", "~", "\\", " "),
    *("\t", "\r\n", "\x00", "\ud800", ":0", ":80", ":99999", ":-1", "xn--", "xn--a", "a" * 64, "a" * 300, "1" * 40),
    *("0x7f.1", "²", "。", "\u200b", "{}", "%s", "|", "<>", "image.jpg"),
]
ANY_LINK = st.text() | st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("http://host.example/a.jpg", "http://host.example/a.jpg"),
        ("  HTTPS://Host.Example/a b.jpg\n", "https://host.example/a%20b.jpg"),
        ("http://host.example:8080/?q=ü#part", "http://host.example:8080/?q=%C3%BC"),
        ("https://例え.jp/", "https://xn--r8jz45g.jp/"),
        ("http://[2606:4700::1111]/", "http://[2606:4700::1111]/"),
    ],
)
def test_web_links(link: str, url: str) -> None:
    parsed = parse_link(link, None)
    assert isinstance(parsed, WebLink)
    assert str(parsed.url) == url


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("/data/a.jpg", "/data/a.jpg"),
        ("a.jpg", "/data/set/a.jpg"),
        (" sub/../a.jpg ", "/data/set/sub/../a.jpg"),
        ("~/a.jpg", "/data/set/~/a.jpg"),
        ("12:30.jpg", "/data/set/12:30.jpg"),
        ("a:b/c.jpg", "/data/set/a:b/c.jpg"),
        ("C:\\images\\a.jpg", "/data/set/C:\\images\\a.jpg"),
        ("www.host.example/a.jpg", "/data/set/www.host.example/a.jpg"),
        ("file:///data/a%20b.jpg", "/data/a b.jpg"),
        ("FILE://localhost/data/a.jpg", "/data/a.jpg"),
        ("file:/data/a.jpg", "/data/a.jpg"),
    ],
)
def test_file_links(link: str, path: str) -> None:
    parsed = parse_link(link, BASE)
    assert isinstance(parsed, FileLink)
    assert str(parsed.path) == path


@pytest.mark.parametrize(
    ("link", "uri"),
    [
        (" s3://bucket/a b%20ü?#.jpg\n", ObjectUri("s3", "bucket", "a b%20ü?#.jpg")),
        ("GS://named@Bucket/folder/a.jpg", ObjectUri("gs", "Bucket", "folder/a.jpg", "named")),
    ],
)
def test_object_links(link: str, uri: ObjectUri) -> None:
    assert parse_link(link, BASE) == ObjectLink(uri)


@pytest.mark.parametrize(
    ("link", "says"),
    [
        ("ftp://host.example/a.jpg", "ftp: links are not supported; http:// and https://"),
        ("s3://bucket", "an image is an object in one"),
        ("s3://bucket/", "an image is an object in one"),
        ("s3:///a.jpg", "not the URI of an object"),
        ("gs://key:secret@bucket/a.jpg", "not the URI of an object"),
        ("s3://bucket/a/../b.jpg", "not the URI of an object"),
        ("data:image/png;base64,iVBORw0KGgo=", "data: links"),
        ("//host.example/a.jpg", "write https://"),
        ("http://", "names no host"),
        ("http:a.jpg", "names no host"),
        ("https:///a.jpg", "names no host"),
        ("http://./a.jpg", "names no host"),
        ("http://host.example:99999/", "out of range"),
        ("http://host.example:0/", "port 0"),
        ("http://host.example:x/", "not a valid URL"),
        ("http://[::1/", "not a valid URL"),
        ("file://host.example/a.jpg", "names no host"),
        ("file:a.jpg", "absolute"),
        ("file://[/a.jpg", "not a valid file URL"),
        ("a.jpg", "relative path"),
    ],
)
def test_invalid_links(link: str, says: str) -> None:
    with pytest.raises(ImageError) as caught:
        parse_link(link, None)
    assert caught.value.category is ErrorCategory.INVALID_LINK
    assert says in caught.value.detail


@pytest.mark.parametrize("link", ["", " ", "\n\t", "\u00a0"])
def test_empty_cells(link: str) -> None:
    with pytest.raises(ImageError) as caught:
        parse_link(link, BASE)
    assert caught.value.category is ErrorCategory.MISSING_LINK


@pytest.mark.parametrize("base", [None, BASE, URL("https://host.example/"), ObjectUri("s3", "bucket", "")])
@pytest.mark.parametrize("link", ["n/a", "N/A", " NULL ", "nan", "NaN", "#N/A", "None", "<NA>", "na"])
def test_cells_that_say_there_is_nothing(link: str, base: Base) -> None:
    with pytest.raises(ImageError, match=f"says {link.strip()}, so there is no link") as caught:
        parse_link(link, base)
    assert caught.value.category is ErrorCategory.MISSING_LINK
    assert parse_link("./none", BASE) == FileLink(BASE / "none")


@given(ANY_LINK, st.sampled_from([None, BASE]))
def test_any_text_is_a_link_or_a_failure(text: str, base: Path | None) -> None:
    category = None
    try:
        link = parse_link(text, base)
    except ImageError as error:
        category = error.category
    else:
        match link:
            case FileLink(path):
                assert path.is_absolute()
            case ObjectLink(uri):
                assert uri.bucket
                assert uri.key
            case WebLink(url):
                assert url.host
    assert category in (None, ErrorCategory.INVALID_LINK, ErrorCategory.MISSING_LINK)


@given(ANY_LINK, st.sampled_from(["http://a.example/x", "https://u:p@a.example:8443/x/y?z", "http://[2606:4700::1]/"]))
def test_any_text_is_a_redirect_or_a_failure(location: str, start: str) -> None:
    link = parse_link(start, None)
    assert isinstance(link, WebLink)
    category = None
    try:
        target = redirect_target(link.url, location)
    except ImageError as error:
        category = error.category
    else:
        assert target.scheme in ("http", "https")
        assert target.host
        assert target.user in (None, link.url.user)
    assert category in (None, ErrorCategory.INVALID_LINK)


@settings(deadline=None)
@given(ANY_LINK | st.builds("http://{}".format, ANY_LINK))
def test_fetching_any_text_fails_properly(text: str) -> None:
    async def run() -> object:
        async with Fetcher(FetchSettings(attempts=1), Allowances(), policy=QUICK, resolver=Answers([])) as fetcher:
            return await fetcher.fetch(ImageRef(0, text))

    with offline():  # random text may name a real host
        failure = asyncio.run(run())
    assert isinstance(failure, Failure)
    assert "unforeseen" not in failure.detail
    # Where it is no password but a path or a host, it may be named.
    named = (ErrorCategory.FORBIDDEN_PATH, ErrorCategory.NAME_NOT_RESOLVED)
    assert "secret" not in failure.detail or failure.category in named


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("http://a.example/x/1.jpg", "2.jpg", "http://a.example/x/2.jpg"),
        ("http://u:p@a.example/x", "/y", "http://u:p@a.example/y"),
        ("http://u:p@a.example/x", "http://a.example:80/y", "http://u:p@a.example/y"),
        ("http://u:p@a.example/x", "//b.example/y", "http://b.example/y"),
        ("http://u:p@a.example/x", "http://a.example:81/y", "http://a.example:81/y"),
        ("http://u:p@a.example/x", "https://a.example/y", "https://a.example/y"),
        ("http://u:p@a.example/x", "http://v:q@b.example/y", "http://b.example/y"),
        ("http://a.example/x", "http://v:q@a.example/y", "http://a.example/y"),
    ],
)
def test_credentials_stay_with_their_origin(url: str, location: str, target: str) -> None:
    link = parse_link(url, None)
    assert isinstance(link, WebLink)
    assert str(redirect_target(link.url, location)) == target
