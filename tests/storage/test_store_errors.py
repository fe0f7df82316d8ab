"""What the errors of object stores mean, as a store that misbehaves causes them."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import obstore
import pytest
import trustme
from obstore.exceptions import BaseError

from ocr_pipeline.settings.deployment import AllowedStore, Connection
from ocr_pipeline.storage.buckets import open_bucket
from ocr_pipeline.storage.store_errors import Cause, StoreFailure, explain
from tests.misbehaving_server import MisbehavingServer


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with MisbehavingServer() as server:
        yield server


def failure_at(origin: str, link: str, connection: Connection) -> StoreFailure:
    """What comes of reading ``link``, the name of a bucket and a key, from the store at ``origin``."""
    connection = replace(connection, extra={"endpoint_url": origin, "region_name": "us-east-1"})
    return failure_of(AllowedStore("s3", link.partition("/")[0], "", connection), link.partition("/")[2])


def failure_of(store: AllowedStore, key: str) -> StoreFailure:
    bucket = open_bucket(store, retries=0, timeout=1)
    with pytest.raises((BaseError, FileNotFoundError)) as caught:
        bytes(obstore.get(bucket, key).bytes())
    return explain(caught.value)


def test_an_upload_that_the_store_has_forgotten_is_made_again() -> None:
    answer = "Error performing POST\n\nDebug source:\n status: 404,\n body: <Error><Code>NoSuchUpload</Code></Error>"
    failure = explain(FileNotFoundError(answer))
    assert failure.may_pass
    assert not failure.missing
    assert str(failure) == "it answered HTTP 404 (NoSuchUpload)"


@pytest.mark.parametrize("code", [304, 400, 401, 403, 404, 409, 412, 429, 500, 503])
def test_a_status_is_told(server: MisbehavingServer, s3_connection: Connection, code: int) -> None:
    failure = failure_at(server.origin, f"status/code={code}", s3_connection)
    assert (failure.cause, failure.status, failure.code) == (Cause.ANSWER, code, None)
    assert str(failure) == f"it answered HTTP {code}"
    assert failure.missing == (code == 404)
    assert failure.refused == (code in (401, 403))


@pytest.mark.parametrize("code", [403, 500])
def test_an_answer_that_repeats_credentials_is_not_repeated(
    server: MisbehavingServer, s3_connection: Connection, code: int
) -> None:
    answer = "<Error><Code>InvalidToken</Code><Token-0>secret</Token-0></Error>\n\nDebug source:\n status: 404,\n"
    failure = failure_at(server.origin, f"status/code={code}/say={quote(answer, safe='')}", s3_connection)
    assert str(failure) == f"it answered HTTP {code} (InvalidToken)"
    assert "secret" not in repr(failure)


@pytest.mark.parametrize(
    ("link", "cause"),
    [
        ("status/code=301", Cause.OTHER_REGION),
        ("redirect-loop/a", Cause.REDIRECTS),
        ("chunked/a", Cause.NO_SIZE),
        ("not-http/a", Cause.NOT_HTTP),
        ("short/a", Cause.BROKEN_OFF),
        ("reset-at-once/a", Cause.BROKEN_OFF),
        ("silent/a", Cause.TIMEOUT),
        # Keys that look like what obstore says of another failure.
        ("short/InvalidCertificate( dns error", Cause.BROKEN_OFF),
        ("reset-at-once/169.254.169.254/latest/api/token", Cause.BROKEN_OFF),
        ("reset-at-once/status: 404,", Cause.BROKEN_OFF),
    ],
)
def test_what_kept_it_from_answering_is_told(
    server: MisbehavingServer, s3_connection: Connection, link: str, cause: Cause
) -> None:
    failure = failure_at(server.origin, link, s3_connection)
    assert (failure.cause, failure.status) == (cause, None)
    assert str(failure) == cause.value
    assert "\n" not in failure.request


def test_what_cannot_be_reached_is_told(s3_connection: Connection) -> None:
    assert failure_at("http://127.0.0.1:9", "b/a", s3_connection).cause is Cause.NO_CONNECTION
    assert failure_at("http://name.invalid", "b/a", s3_connection).cause is Cause.NO_ADDRESS
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with MisbehavingServer(tls=context) as server:
        assert failure_at(server.origin, "image/a", s3_connection).cause is Cause.BAD_CERTIFICATE


def test_a_machine_without_credentials_is_told_from_a_missing_object(
    server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_ENDPOINT_URL", "AWS_METADATA_ENDPOINT"):  # the latter is asked for the machine's role
        monkeypatch.setenv(name, server.origin)
    assert failure_of(AllowedStore("s3", "image"), "a").cause is Cause.NO_CREDENTIALS
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/x")
    assert failure_of(AllowedStore("s3", "image"), "a").cause is Cause.NO_CREDENTIALS
