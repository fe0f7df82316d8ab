"""Images that are objects in a store: against a server that speaks S3, and against one that misbehaves."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import replace

import obstore
import pytest
import trustme

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch import Fetcher
from ocr_pipeline.records import FetchedImage, ImageRef
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.settings.run import FetchSettings
from ocr_pipeline.storage.buckets import find_store, open_bucket
from tests.fetch.conftest import IMPATIENT, QUICK, Fetch, failure_of, image_of
from tests.misbehaving_server import MEGABYTE, MisbehavingServer, body_of


@pytest.fixture
def put(bucket: str, s3_allowances: Allowances) -> Callable[[str, bytes], str]:
    """Writes an object into the bucket; returns its URI."""
    store, _ = find_store(f"s3://{bucket}", s3_allowances)
    opened = open_bucket(store, retries=0, timeout=10)

    def write(key: str, body: bytes) -> str:
        obstore.put(opened, key, body)
        return f"s3://{bucket}/{key}"

    return write


@pytest.fixture
def misbehaving(server: MisbehavingServer, s3_connection: Connection) -> Allowances:
    """Allows every bucket of ``server``: the name of a bucket is a behaviour, its keys say how."""
    connection = replace(s3_connection, extra={"endpoint_url": server.origin, "region_name": "us-east-1"})
    names = ["image", "status", "silent", "stall", "drip", "short", "reset-at-once", "not-http", "chunked"]
    names += ["redirect-loop", "slow-headers", "cut-chunks"]
    return Allowances.parse([f"s3://store@{name}" for name in names], lambda _: connection)


@pytest.mark.parametrize("key", ["a.png", "folder/a b%20ü?#+.png", "=/&;@:.png"])
def test_an_object_arrives_whole(
    fetch: Fetch, put: Callable[[str, bytes], str], s3_allowances: Allowances, key: str
) -> None:
    image = image_of(fetch(put(key, body_of(3 * MEGABYTE)), allow=s3_allowances)[0])
    assert image.body == body_of(3 * MEGABYTE)
    assert image.sha256 == hashlib.sha256(image.body).hexdigest()
    assert (image.http_status, image.attempts) == (200, 1)


def test_an_empty_object_is_left_to_the_decoder(
    fetch: Fetch, put: Callable[[str, bytes], str], s3_allowances: Allowances
) -> None:
    assert image_of(fetch(put("empty.png", b""), allow=s3_allowances)[0]).body == b""


def test_the_link_may_name_the_connection_that_opens_the_bucket_and_no_other(
    fetch: Fetch, put: Callable[[str, bytes], str], s3_allowances: Allowances
) -> None:
    link = put("a.png", b"1")
    named, other = (link.replace("s3://", f"s3://{name}@") for name in ("minio", "other"))
    assert image_of(fetch(named, allow=s3_allowances)[0]).body == b"1"
    failure = failure_of(fetch(other, allow=s3_allowances)[0])
    assert failure.category is ErrorCategory.FORBIDDEN_STORE


def test_what_is_not_there(fetch: Fetch, bucket: str, s3_connection: Connection) -> None:
    allowances = Allowances.parse([f"s3://minio@{bucket}", "s3://minio@no-such-bucket"], lambda _: s3_connection)
    for link, code in ((f"s3://{bucket}/none.png", "NoSuchKey"), ("s3://no-such-bucket/a.png", "NoSuchBucket")):
        failure = failure_of(fetch(link, allow=allowances)[0])
        assert (failure.category, failure.http_status, failure.attempts) == (ErrorCategory.NOT_FOUND, 404, 1)
        assert code in failure.detail


def test_only_allowed_buckets_and_prefixes_are_read(
    fetch: Fetch, put: Callable[[str, bytes], str], bucket: str, s3_connection: Connection
) -> None:
    inside, outside = put("in/a.png", b"1"), put("out/a.png", b"2")
    allowances = Allowances.parse(f"s3://minio@{bucket}/in", lambda _: s3_connection)
    links = (inside, outside, f"s3://{bucket}-2/in/a.png", f"gs://{bucket}/in/a.png")
    first, *others = fetch(*links, allow=allowances)
    assert image_of(first).body == b"1"
    for failure in map(failure_of, others):
        assert (failure.category, failure.attempts) == (ErrorCategory.FORBIDDEN_STORE, 1)
        assert "ocr_allow" in failure.detail


def test_a_connection_that_cannot_open_the_bucket_is_named(fetch: Fetch, s3_connection: Connection) -> None:
    allowances = Allowances.parse("s3://minio@b", lambda _: replace(s3_connection, kind="http"))
    failure = failure_of(fetch("s3://b/a.png", allow=allowances)[0])
    assert failure.category is ErrorCategory.FORBIDDEN_STORE
    assert "'minio'" in failure.detail
    assert "type aws" in failure.detail


@pytest.mark.parametrize("key", ["a//b.png", "a\0b", "\ud800.png"])
def test_a_key_that_no_object_can_have(fetch: Fetch, bucket: str, s3_allowances: Allowances, key: str) -> None:
    failure = failure_of(fetch(f"s3://{bucket}/{key}", allow=s3_allowances)[0])
    assert failure.category in (ErrorCategory.INVALID_LINK, ErrorCategory.NOT_FOUND)


def test_size_of_objects(fetch: Fetch, put: Callable[[str, bytes], str], s3_allowances: Allowances) -> None:
    links = (put("8.png", bytes(8)), put("9.png", bytes(9)))
    fits, too_large = fetch(*links, allow=s3_allowances, max_bytes=8)
    assert len(image_of(fits).body) == 8
    failure = failure_of(too_large)
    assert (failure.category, failure.attempts) == (ErrorCategory.TOO_LARGE, 1)
    assert "max_bytes=8" in failure.detail


@pytest.mark.slow
@pytest.mark.parametrize(
    ("link", "category", "attempts", "status", "says"),
    [
        ("status/code=403", ErrorCategory.HTTP_REFUSED, 1, 403, "403"),
        ("status/code=401", ErrorCategory.HTTP_REFUSED, 1, 401, "401"),
        ("status/code=404", ErrorCategory.NOT_FOUND, 1, 404, "404"),
        ("status/code=429", ErrorCategory.THROTTLED, 2, 429, "429"),
        ("status/code=500", ErrorCategory.HTTP_SERVER_ERROR, 2, 500, "500"),
        ("status/code=503", ErrorCategory.HTTP_SERVER_ERROR, 2, 503, "503"),
        ("status/code=301", ErrorCategory.BAD_RESPONSE, 1, None, "another region"),
        ("silent/a.png", ErrorCategory.TIMEOUT, 2, None, "_timeout="),
        ("slow-headers/a.png", ErrorCategory.TIMEOUT, 2, None, "_timeout="),
        ("stall/a.png", ErrorCategory.TIMEOUT, 2, None, "read_timeout=0.6"),
        ("drip/a.png", ErrorCategory.TIMEOUT, 2, None, "total_timeout=1.5"),
        ("short/a.png", ErrorCategory.CONNECTION_LOST, 2, None, "broke"),
        ("reset-at-once/a.png", ErrorCategory.CONNECTION_LOST, 2, None, "broke"),
        ("not-http/a.png", ErrorCategory.BAD_RESPONSE, 1, None, "not valid HTTP"),
        ("chunked/a.png", ErrorCategory.BAD_RESPONSE, 1, None, "how large"),
        ("redirect-loop/a.png", ErrorCategory.TOO_MANY_REDIRECTS, 1, None, "redirects"),
        # A key that looks like what obstore says of a failure.
        ("status/code=404/ status: 503,", ErrorCategory.NOT_FOUND, 1, 404, "404"),
    ],
)
def test_a_store_that_misbehaves(
    fetch: Fetch,
    server: MisbehavingServer,
    misbehaving: Allowances,
    link: str,
    category: ErrorCategory,
    attempts: int,
    status: int | None,
    says: str,
) -> None:
    failure = failure_of(fetch(f"s3://{link}", allow=misbehaving, attempts=2, **IMPATIENT)[0])
    assert (failure.category, failure.attempts, failure.http_status) == (category, attempts, status)
    assert failure.detail.startswith(f"s3://{link.partition('/')[0]}")
    assert says in failure.detail
    assert category.retryable == (attempts > 1)


def test_a_store_that_recovers(fetch: Fetch, misbehaving: Allowances) -> None:
    image = image_of(fetch("s3://status/code=503/times=2/bytes=7", allow=misbehaving, attempts=3)[0])
    assert (image.body, image.attempts) == (body_of(7), 3)


def test_stores_that_cannot_be_reached(fetch: Fetch, s3_connection: Connection, closed_port: int) -> None:
    def failure_at(endpoint: str) -> tuple[ErrorCategory, int]:
        connection = replace(s3_connection, extra={"endpoint_url": endpoint, "region_name": "us-east-1"})
        failure = failure_of(fetch("s3://b/a", allow=Allowances.parse("s3://c@b", lambda _: connection), attempts=2)[0])
        return failure.category, failure.attempts

    assert failure_at(f"http://127.0.0.1:{closed_port}") == (ErrorCategory.CONNECT_FAILED, 2)
    assert failure_at("http://name.invalid") == (ErrorCategory.NAME_NOT_RESOLVED, 2)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with MisbehavingServer(tls=context) as server:
        assert failure_at(server.origin) == (ErrorCategory.TLS_FAILED, 1)


def test_a_machine_without_credentials(
    fetch: Fetch, server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_ENDPOINT_URL", "AWS_METADATA_ENDPOINT"):  # the latter is asked for the machine's role
        monkeypatch.setenv(name, server.origin)
    failure = failure_of(fetch("s3://image/a.png", allow=["s3://image"], attempts=2)[0])
    assert (failure.category, failure.attempts) == (ErrorCategory.CONNECT_FAILED, 2)
    assert "no credentials" in failure.detail


def test_a_dead_bucket_is_left_alone(fetch: Fetch, s3_connection: Connection, closed_port: int) -> None:
    connection = replace(s3_connection, extra={"endpoint_url": f"http://127.0.0.1:{closed_port}"})
    policy = replace(QUICK, failures_to_open=3, seconds_to_open=0)
    allowances = Allowances.parse("s3://c@b", lambda _: connection)
    results = fetch("s3://b/1", "s3://b/2", allow=allowances, attempts=3, policy=policy)
    categories = [failure_of(result).category for result in results]
    assert categories == [ErrorCategory.CONNECT_FAILED, ErrorCategory.HOST_UNAVAILABLE]


def test_credentials_are_in_no_detail_and_no_log(
    fetch: Fetch, server: MisbehavingServer, s3_connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint = {"endpoint_url": server.origin, "region_name": "us-east-1", "aws_session_token": "SECRET-TOKEN"}
    connection = replace(s3_connection, login="SECRET-KEY-ID", password="SECRET-KEY", extra=endpoint)
    buckets = ("status", "silent", "short", "not-http", "chunked", "unknown")
    allowances = Allowances.parse([f"s3://store@{bucket}" for bucket in buckets], lambda _: connection)
    results = fetch(*(f"s3://{bucket}/a.png" for bucket in buckets), allow=allowances, attempts=1, **IMPATIENT)
    assert all("SECRET-KEY-ID" in request.headers["authorization"] for request in server.requests)
    assert "SECRET" not in "\n".join(failure_of(result).detail for result in results)
    assert "SECRET" not in caplog.text


def test_many_are_read_at_once(server: MisbehavingServer, misbehaving: Allowances) -> None:
    async def run() -> list[object]:
        async with Fetcher(FetchSettings(concurrency=20, per_host=20), misbehaving) as fetcher:
            refs = [ImageRef(row, f"s3://image/delay=0.3/id={row}") for row in range(20)]
            return list(await asyncio.gather(*map(fetcher.fetch, refs)))

    for row, image in enumerate(asyncio.run(run())):
        assert isinstance(image, FetchedImage)
        assert image.body == body_of(1000, str(row))
    assert server.most_at_once > 10


def test_cancelling_ends_the_wait_for_an_object(server: MisbehavingServer, misbehaving: Allowances) -> None:
    async def run() -> None:
        async with Fetcher(FetchSettings(), misbehaving) as fetcher:
            stuck = asyncio.create_task(fetcher.fetch(ImageRef(0, "s3://silent/a")))
            while not server.requests:
                await asyncio.sleep(0.01)
            stuck.cancel()
            with pytest.raises(asyncio.CancelledError):
                await stuck
            while server.at_once:  # the connection goes with the request
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 10))
