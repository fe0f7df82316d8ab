"""Trying again: when, how often and how soon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch import RetryPolicy
from ocr_pipeline.fetch.retries import parse_retry_after, pause_before_retry
from tests.fetch.conftest import Fetch, failure_of, image_of
from tests.misbehaving_server import MisbehavingServer

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize("code", [429, 503, 500, 408])
def test_what_is_transient_is_tried_again(fetch: Fetch, server: MisbehavingServer, code: int) -> None:
    url = server.url("status", code=code, times=2)
    image = image_of(fetch(url, attempts=3)[0])
    assert (image.http_status, image.attempts) == (200, 3)
    assert len(server.times(url)) == 3


def test_no_more_often_than_attempts(fetch: Fetch, server: MisbehavingServer) -> None:
    url = server.url("status", code=500, times=2)
    failure = failure_of(fetch(url, attempts=2)[0])
    assert failure.attempts == len(server.times(url)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(fetch: Fetch, server: MisbehavingServer, code: int, form: str) -> None:
    # A date has no fractions of seconds: two seconds from now are more than one.
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    url = server.url("status", code=code, times=1, retry_after="1" if form == "seconds" else date)
    asked = datetime.now(UTC)
    image = image_of(fetch(url)[0])
    assert image.attempts == 2
    first, second = server.times(url)
    if form == "seconds":
        assert second - first > 0.95
    else:
        assert datetime.now(UTC) - asked > timedelta(seconds=0.9)
    assert image.seconds > 0.9


def test_other_links_of_a_throttling_host_wait_as_well(fetch: Fetch, server: MisbehavingServer) -> None:
    throttled, other = server.url("status", code=429, retry_after=1), server.url("image")
    failed, image = fetch(throttled, other, attempts=1)
    assert failure_of(failed).category is ErrorCategory.THROTTLED
    assert image_of(image).attempts == 1
    assert server.times(other)[0] - server.times(throttled)[0] > 0.95


@pytest.mark.parametrize(
    ("retry_after", "said"), [(86400, "1 d"), (5430, "1 h 30 min"), (2_300_500_000, "72 y 346 d"), ("9" * 400, "100 y")]
)
def test_host_that_asks_for_too_much_patience_is_not_asked_again(
    fetch: Fetch, server: MisbehavingServer, retry_after: object, said: str
) -> None:
    url = server.url("status", code=429, retry_after=retry_after)
    failure = failure_of(fetch(url, policy=RetryPolicy(backoff=0.01, max_retry_after=0.1))[0])
    assert (failure.category, failure.attempts) == (ErrorCategory.THROTTLED, 1)
    assert failure.detail.endswith(f"and asked to be left alone for {said}")
    assert len(server.times(url)) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("9" * 400, 3_153_600_000),
        ("Tue, 03 Feb 2026 04:06:06 GMT", 60),
        ("Tuesday, 03-Feb-26 04:06:06 GMT", 60),
        ("Tue Feb  3 04:06:06 2026", 60),
        ("Tue, 03 Feb 2026 04:06:06 -0000", 60),
        ("Tue, 03 Feb 2026 04:00:00 GMT", 0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
    ],
)
def test_retry_after_forms(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(st.text())
def test_retry_after_of_any_text(value: str) -> None:
    seconds = parse_retry_after(value)
    assert seconds is None or seconds >= 0


@given(st.integers(1, 10), st.none() | st.floats(0, 1e6))
def test_pauses_grow_within_bounds(attempt: int, retry_after: float | None) -> None:
    policy = RetryPolicy(backoff=0.5, max_backoff=30, max_retry_after=60)
    pause = pause_before_retry(attempt, retry_after, policy)
    if retry_after is not None and retry_after > 60:
        assert pause is None
    else:
        assert pause is not None
        assert 0 <= pause - (retry_after or 0) <= min(30, 0.5 * 2 ** (attempt - 1)) + 1e-6


def test_pauses_are_spread() -> None:
    pauses = [pause_before_retry(3, None, RetryPolicy(backoff=1, max_backoff=30)) or 0 for _ in range(1000)]
    assert min(pauses) < 1
    assert max(pauses) > 3
