"""Answers that curl and browsers read, and a strict parser refuses; and links as they are written."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import ssl
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Self

import brotli
import pytest
import trustme
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.fetch import Fetcher
from ocr_pipeline.fetch.encodings import BodyDecoder, CodingError
from ocr_pipeline.fetch.links import FileLink, ObjectLink, WebLink, parse_link
from ocr_pipeline.records import Failure, FetchedImage, ImageRef
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings
from tests.fetch.conftest import IMPATIENT, Fetch, failure_of, image_of
from tests.misbehaving_server import MisbehavingServer

EXAMPLES = int(os.environ.get("FUZZ_CASES", "10000")) // 60
"""How many hostile answers and bodies are tried; ``make fuzz`` sets more."""

BODY = bytes(range(256)) * 40
LENGTH = f"Content-Length: {len(BODY)}"


class RawServer:
    """Answers every request on loopback with the same bytes, and closes; ``heads`` are those of the requests."""

    def __init__(self, answer: bytes | Callable[[int], bytes], tls: ssl.SSLContext | None = None) -> None:
        self._answer = answer if callable(answer) else lambda _: answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self._thread = threading.Thread(target=self._serve)
        self.heads: list[bytes] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        # Closing a socket does not wake who waits at it.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                with connection if self._tls is None else self._tls.wrap_socket(connection, server_side=True) as end:
                    end.settimeout(5)
                    head = b""
                    while not head.endswith(b"\r\n\r\n") and (part := end.recv(65536)):
                        head += part
                    self.heads.append(head)
                    end.sendall(self._answer(len(self.heads)))
            except OSError:
                continue


def answer(*lines: str | bytes, body: bytes = BODY, status: str = "HTTP/1.1 200 OK") -> bytes:
    """An answer with these lines of a head, and a body."""
    encoded = [line if isinstance(line, bytes) else line.encode() for line in (status, *lines)]
    return b"\r\n".join([*encoded, b"", b""]) + body


def chunked(body: bytes = BODY, end: bytes = b"0\r\n\r\n") -> bytes:
    """A body in chunks of a thousand bytes, with an extension each."""
    chunks = (body[at : at + 1000] for at in range(0, len(body), 1000))
    return b"".join(b"%x ; a=b\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def get(fetch: Fetch, sent: bytes | Callable[[int], bytes], **options: object) -> FetchedImage | Failure:
    """What becomes of a link to a server that answers so."""
    with RawServer(sent) as server:
        (outcome,) = fetch(f"http://{server.address}/a.png", allow=[server.address], **options)  # type: ignore[arg-type]
    return outcome


@pytest.mark.parametrize(
    "sent",
    [
        answer(LENGTH, "Content-Security-Policy: " + "x" * 60_000),
        answer(LENGTH, *(f"X-Header-{number}: a" for number in range(400))),
        answer(LENGTH, "X-Cache : HIT"),
        answer("Content-Length : " + str(len(BODY))),
        answer(LENGTH, "This is no header"),
        answer(LENGTH, ": without a name"),
        answer(LENGTH, "X (Powered): by"),
        answer(LENGTH, b"X-Null: a\0b"),
        answer(LENGTH, "X-Folded: one", "\ttwo"),
        answer(LENGTH, LENGTH),
        answer(f"Content-Length: {len(BODY)}, {len(BODY)}"),
        answer(f"Content-Length: +{len(BODY)}"),
        answer("Transfer-Encoding: chunked", LENGTH, body=chunked()),
        answer("Transfer-Encoding: chunked", "X-Cache : HIT", body=chunked(end=b"0\r\nX-Trailer: a\r\n\r\n")),
        answer("X-Cache : HIT"),  # the body ends with the connection
        answer(LENGTH, status="http/1.1 200 OK"),
        b"\r\n" + answer(LENGTH, "X-Cache : HIT"),
        b"HTTP/1.1 103 Early Hints\r\nX-Hint : a\r\n\r\n" + answer(LENGTH),
        answer(LENGTH, f"Content-Range: bytes 0-{len(BODY) - 1}/{len(BODY)}", status="HTTP/1.1 206 Partial Content"),
    ],
)
def test_odd_answers_are_read(fetch: Fetch, sent: bytes) -> None:
    assert image_of(get(fetch, sent)).body == BODY


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behaviour", "category", "says"),
    [
        ("short", ErrorCategory.CONNECTION_LOST, "after 500 of 1000 bytes"),
        ("reset", ErrorCategory.CONNECTION_LOST, "after 500 of 1000 bytes"),
        ("cut-chunks", ErrorCategory.CONNECTION_LOST, "after 4 of an unknown number of bytes"),
        ("reset-chunks", ErrorCategory.CONNECTION_LOST, "after 4 of an unknown number of bytes"),
        ("stall", ErrorCategory.TIMEOUT, "read_timeout=0.6"),
        ("drip", ErrorCategory.TIMEOUT, "total_timeout=1.5"),
    ],
)
@pytest.mark.parametrize("odd", [{}, {"odd": 1}])
def test_a_body_that_breaks_is_the_same_failure_for_both_parsers(
    fetch: Fetch, server: MisbehavingServer, behaviour: str, category: ErrorCategory, says: str, odd: dict[str, int]
) -> None:
    failure = failure_of(fetch(server.url(behaviour, **odd), **{**IMPATIENT, "attempts": 2})[0])
    assert (failure.category, failure.http_status, failure.attempts) == (category, 200, 2)
    assert says in failure.detail


@pytest.mark.parametrize("odd", ["", "X-Cache : HIT\r\n"])
def test_a_head_that_breaks_off_is_a_lost_connection_and_nothing_of_it_is_shown(fetch: Fetch, odd: str) -> None:
    sent = f"HTTP/1.1 200 OK\r\nSet-Cookie: secret\r\n{odd}Content-Len".encode()
    failure = failure_of(get(fetch, sent, attempts=2))
    assert (failure.category, failure.attempts) == (ErrorCategory.CONNECTION_LOST, 2)
    assert "secret" not in failure.detail
    assert "<" not in failure.detail


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content", "304 Not Modified"])
def test_an_answer_without_a_body_is_a_failure_of_its_own(fetch: Fetch, status: str, odd: bool) -> None:
    sent = answer(*(["X-Cache : HIT"] if odd else []), body=b"", status=f"HTTP/1.1 {status}")
    failure = failure_of(get(fetch, sent))
    assert (failure.category, failure.http_status, failure.attempts) == (
        ErrorCategory.BAD_RESPONSE, int(status[:3]), 1,
    )  # fmt: skip
    assert f"answered HTTP {status[:3]}, " in failure.detail


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("lines", [["Content-Length: 0"], ["Content-Length: 0", "Content-Encoding: gzip"], []])
def test_nothing_with_200_is_left_to_the_decoder(fetch: Fetch, lines: list[str], odd: bool) -> None:
    sent = answer(*lines, *(["X-Cache : HIT"] if odd else []), body=b"")
    image = image_of(get(fetch, sent))
    assert (image.body, image.http_status) == (b"", 200)


@pytest.mark.parametrize(
    ("header", "packed"),
    [
        ("x-gzip", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY) + bytes(16)),
        ("gzip", gzip.compress(BODY[:5000]) + gzip.compress(BODY[5000:])),
        ("gzip, gzip", gzip.compress(gzip.compress(BODY))),
        ("gzip", BODY),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY, wbits=-15)),
        ("BR", brotli.compress(BODY)),
        ("zstd", zstd.compress(BODY)),
        ("zstd", zstd.compress(BODY) + bytes(3)),
        ("zstd", zstd.compress(BODY[:5000]) + zstd.compress(BODY[5000:])),
        ("UTF-8", BODY),
        ("", BODY),
    ],
)
@pytest.mark.parametrize("odd", [(), ("X-Cache : HIT",)], ids=["strict", "lenient"])
def test_packed_bodies_are_unpacked(fetch: Fetch, header: str, packed: bytes, odd: tuple[str, ...]) -> None:
    sent = answer(f"Content-Encoding: {header}", f"Content-Length: {len(packed)}", *odd, body=packed)
    assert image_of(get(fetch, sent)).body == BODY


@pytest.mark.parametrize(
    ("sent", "category", "said"),
    [
        (answer(LENGTH, f"Content-Length: {len(BODY) + 7}"), ErrorCategory.BAD_RESPONSE, "several different ones"),
        (answer("Content-Length: many"), ErrorCategory.BAD_RESPONSE, "Content-Length is no number"),
        (answer("Transfer-Encoding: gzip, chunked", "X : a"), ErrorCategory.BAD_RESPONSE, "more than chunked"),
        (answer(*["X : a"] * 90_000), ErrorCategory.BAD_RESPONSE, "more than 262,144 bytes"),
        (answer("X : " + "a" * 600_000), ErrorCategory.BAD_RESPONSE, "more than"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ErrorCategory.BAD_RESPONSE, "not valid HTTP"),
        (answer("Transfer-Encoding: chunked", "X : a", body=b"zz\r\n"), ErrorCategory.BAD_RESPONSE, "size of a chunk"),
        (
            answer("Transfer-Encoding: chunked", "X : a", body=b"2\r\nabc\r\n"),
            ErrorCategory.BAD_RESPONSE,
            "longer than",
        ),
        (answer("Transfer-Encoding: chunked", "X : a", body=b"9\r\nabc"), ErrorCategory.CONNECTION_LOST, "too early"),
        (answer("Content-Length: 99999", "X : a"), ErrorCategory.CONNECTION_LOST, "10240 of 99999"),
        (answer("Content-Range: bytes 0-9/20", status="HTTP/1.1 206 Part"), ErrorCategory.BAD_RESPONSE, "HTTP 206"),
        (
            answer("Content-Range: bytes 0-99999/100000", LENGTH, status="HTTP/1.1 206 Part"),
            ErrorCategory.CONNECTION_LOST,
            "10240 of 100000",
        ),
        (answer("Transfer-Encoding: gzip, chunked", body=chunked()), ErrorCategory.BAD_RESPONSE, "more than chunked"),
        (answer("Content-Range: bytes 5-19/20", status="HTTP/1.1 206 Part"), ErrorCategory.BAD_RESPONSE, "HTTP 206"),
        (
            answer("Content-Encoding: gzip", body=gzip.compress(BODY)[:-20]),
            ErrorCategory.BAD_RESPONSE,
            "before its gzip",
        ),
        (answer("Content-Encoding: br", body=b"no brotli"), ErrorCategory.BAD_RESPONSE, "not the br data"),
        (answer("Content-Encoding: zstd", body=b"no zstd"), ErrorCategory.BAD_RESPONSE, "not the zstd data"),
        (answer("Content-Encoding: deflate", body=b"no deflate"), ErrorCategory.BAD_RESPONSE, "not the deflate data"),
        (answer("Content-Encoding: gzip, gzip, gzip, gzip"), ErrorCategory.BAD_RESPONSE, "packed 4 times"),
    ],
)
def test_what_cannot_be_read_safely_is_refused(fetch: Fetch, sent: bytes, category: ErrorCategory, said: str) -> None:
    failure = failure_of(get(fetch, sent, attempts=1))
    assert failure.category == category
    assert said in failure.detail


@pytest.mark.parametrize(
    ("coding", "bomb"),
    [
        ("gzip", gzip.compress(bytes(50_000_000))),
        ("deflate", zlib.compress(bytes(50_000_000))),
        ("br", brotli.compress(bytes(50_000_000))),
        ("zstd", zstd.compress(bytes(50_000_000))),
        ("gzip, gzip", gzip.compress(gzip.compress(bytes(50_000_000)))),
        ("br, zstd, gzip", gzip.compress(zstd.compress(brotli.compress(bytes(50_000_000))))),
    ],
)
def test_a_body_may_not_unfold_to_more_than_is_allowed(fetch: Fetch, coding: str, bomb: bytes) -> None:
    failure = failure_of(get(fetch, answer(f"Content-Encoding: {coding}", body=bomb), max_bytes=1_000_000))
    assert failure.category == ErrorCategory.TOO_LARGE


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 40), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_whatever_the_bytes_are_they_are_unpacked_or_refused(
    coding: str, noise: bytes, place: int, steps: list[int]
) -> None:
    """Spoiled data, in steps of any size: what comes out is bounded, and nothing but the one error comes."""
    pack: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstd.compress
    }  # fmt: skip
    packed = pack[coding](BODY)
    spoiled = packed[:place] + noise + packed[place + len(noise) // 2 :]
    decoder = BodyDecoder(coding)
    at = count = 0
    try:
        while at < len(spoiled):
            step = steps[at % len(steps)]
            for part in decoder.feed(spoiled[at : at + step]):
                assert len(part) <= 256 * 1024
                count += 1
                if count > 1000:
                    return
            at += step
        decoder.finish()
    except CodingError:
        pass


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"HTTP/1.1 200 OK\r\n", b"HTTP/9 999\r\n", LENGTH.encode() + b"\r\n", b"Content-Length: 5\r\n",
             b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n", b"X : a\r\n", b" folded\r\n", b"\r\n",
             b"\n", b"5\r\nhello\r\n", b"ffffffffffffffff\r\n", b"0\r\n\r\n", b"\0", b"\x1f\x8b", BODY]
        )
        | st.binary(max_size=20),
        max_size=12,
    )
)  # fmt: skip
def test_whatever_a_host_sends_an_image_or_a_failure_comes_of_it(parts: list[bytes]) -> None:
    outcome = one_answer(b"".join(parts))
    assert isinstance(outcome, FetchedImage | Failure)


def one_answer(sent: bytes) -> FetchedImage | Failure:
    """What comes of an answer, without fixtures, which a property may not have."""

    async def run(address: str) -> FetchedImage | Failure:
        limits = FetchSettings(attempts=1, read_timeout=2, connect_timeout=2, total_timeout=4)
        async with Fetcher(limits, Allowances.parse([address])) as fetcher:
            return await fetcher.fetch(ImageRef(0, f"http://{address}/a.png"))

    with RawServer(sent) as server:
        return asyncio.run(run(server.address))


def test_a_host_that_is_still_making_the_image_is_asked_again(fetch: Fetch) -> None:
    waiting = answer("Retry-After: 0", "Content-Length: 2", body=b"{}", status="HTTP/1.1 202 Accepted")
    done = answer(LENGTH, "Connection: close")
    assert image_of(get(fetch, lambda count: waiting if count < 3 else done)).attempts == 3
    failure = failure_of(get(fetch, waiting, attempts=2))
    assert (failure.category, failure.http_status, failure.attempts) == (ErrorCategory.NOT_READY, 202, 2)


def test_an_odd_host_is_asked_only_once_for_each_image_after_the_first(fetch: Fetch) -> None:
    with RawServer(answer(LENGTH, "X-Cache : HIT")) as server:
        links = [f"http://{server.address}/{number}.png" for number in range(5)]
        assert all(image_of(image).body == BODY for image in fetch(*links, allow=[server.address]))
        assert len(server.heads) == 6


def test_an_odd_host_that_speaks_tls_is_verified(fetch: Fetch) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with RawServer(answer(LENGTH, "X-Cache : HIT"), context) as server:
        link = f"https://{server.address}/a.png"
        assert image_of(fetch(link, allow=[server.address], tls=trusting)[0]).body == BODY
        assert failure_of(fetch(link, allow=[server.address])[0]).category == ErrorCategory.TLS_FAILED


def test_an_odd_host_gets_no_way_around_the_guard_of_addresses(fetch: Fetch) -> None:
    """A redirect from an odd host to a private address is refused like any other."""
    with RawServer(answer(LENGTH)) as inside:
        moved = answer(f"Location: http://{inside.address}/a.png", "X : a", status="HTTP/1.1 302 Found", body=b"")
        failure = failure_of(get(fetch, moved))
        assert failure.category == ErrorCategory.FORBIDDEN_ADDRESS
        assert inside.heads == []


SIGNED = [
    "/a%2Fb.png?X-Amz-Credential=AKIA%2F20261125%2Feu-west-1%2Fs3%2Faws4_request",
    "/a.png?u=https%3A%2F%2Fx.org%2Fp.jpg&n=it%27s",
    "/a%28b%29%7E%2C%40%21%61.png?t=%7E&q=%41",
    "/%e4.png?e=%e4%b8%ad",
    "/./a.png",
    "/x/../a.png?w=1,h=2",
    "//a.png?x[]=1&y=%5B%5D",
    "/a.png?x={y}|z^`",
    "/100%.png?a=%zz",
    "/a%20b.png?n=a+b;c=%2B%25%3D%26",
]


@pytest.mark.parametrize("target", SIGNED)
def test_links_are_sent_as_they_are_written(fetch: Fetch, target: str) -> None:
    """A signature may cover every character of them."""
    redirect = answer(f"Location: {target}", "Content-Length: 0", status="HTTP/1.1 302 Found", body=b"")
    with RawServer(lambda count: redirect if count == 2 else answer(LENGTH, "Connection: close")) as server:
        origin = f"http://{server.address}"
        first, second = fetch(origin + target, f"{origin}/moved", allow=[server.address])
        assert image_of(first).body == image_of(second).body == BODY
        sent = [head.split(b" ")[1].decode() for head in server.heads]
    # What redirects say is joined as a relative link is, without "." and ".."; "//" would be another host.
    assert sent == [target, "/moved", target if not target.startswith(("//", "/.", "/x/..")) else sent[2]]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/größe.png", "/gr%C3%B6%C3%9Fe.png"),
        ("/a b.png?c d", "/a%20b.png?c%20d"),
        ("/a.png#part", "/a.png"),
        ("/a\u200bb.png", "/a%E2%80%8Bb.png"),
    ],
)
def test_what_cannot_be_sent_is_escaped(fetch: Fetch, written: str, sent: str) -> None:
    with RawServer(answer(LENGTH, "Connection: close")) as server:
        fetch(f"http://{server.address}{written}", allow=[server.address])
        assert server.heads[0].split(b" ")[1].decode() == sent


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        (b"/gr\xc3\xb6\xc3\x9fe.png", "/gr%C3%B6%C3%9Fe.png"),
        (b"/gr\xf6\xdfe.png", "/gr%F6%DFe.png"),
        (b"\\ok.png", "/ok.png"),
        (b"../up.png?a\\b", "/up.png?a\\b"),
        (b"?only=query", "/dir/a?only=query"),
    ],
)
def test_redirects_are_followed_as_browsers_follow_them(fetch: Fetch, location: bytes, sent: str) -> None:
    moved = answer(
        b"Location: " + location, "Content-Length: 0", "Connection: close", status="HTTP/1.1 302 F", body=b""
    )
    with RawServer(lambda count: moved if count == 1 else answer(LENGTH, "Connection: close")) as server:
        image_of(fetch(f"http://{server.address}/dir/a", allow=[server.address])[0])
        assert server.heads[1].split(b" ")[1].decode() == sent


@pytest.mark.parametrize(
    "written",
    [
        "\ufeffhttps://example.org/a.jpg",
        "\u200b https://example.org/a.jpg\u00a0",
        '"https://example.org/a.jpg"',
        "'https://example.org/a.jpg'",
        "<https://example.org/a.jpg>",
        "\u201chttps://example.org/a.jpg\u201d",
        '" https://example.org/a.jpg\u200e "',
        '<"https://example.org/a.jpg">',
        '"https://example.org/a.jpg',
        "https:\\\\example.org\\a.jpg",
    ],
)
def test_what_does_not_belong_to_a_link_is_taken_off(written: str) -> None:
    link = parse_link(written, None)
    assert isinstance(link, WebLink)
    assert str(link.url) == "https://example.org/a.jpg"


def test_nothing_in_quotes_is_a_missing_link() -> None:
    with pytest.raises(ImageError, match="missing_link"):
        parse_link('""', None)


def test_names_of_files_and_objects_keep_their_quotes() -> None:
    assert parse_link('"a.jpg"', Path("/data")) == FileLink(Path('/data/"a.jpg"'))
    assert isinstance(parse_link("<s3://bucket/a.jpg>", None), ObjectLink)


def test_a_link_without_a_scheme_is_said_to_have_none(fetch: Fetch, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="write https:// in front"):
        parse_link("example.org/a.jpg", None)
    with pytest.raises(ImageError, match="write https:// in front"):
        parse_link("//example.org/a.jpg", Path("/data"))
    (failure,) = fetch("www.example.org/a.jpg", base=tmp_path, allow=[str(tmp_path)])
    assert "if it is a web address, write https:// in front of it" in failure_of(failure).detail
    (tmp_path / "example.org").mkdir()
    (tmp_path / "example.org" / "a.jpg").write_bytes(BODY)
    assert image_of(fetch("example.org/a.jpg", base=tmp_path, allow=[str(tmp_path)])[0]).body == BODY
