"""How long to wait before asking again, and how much of a host's trouble to bear."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST = 100 * 365 * 24 * 3600.0
"""Seconds that a host may ask for; some ask for numbers that are none any more when they are computed with."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How the fetcher deals with hosts that struggle. Times are in seconds.

    ``backoff`` is the longest pause before the second attempt; it doubles with each further one up to
    ``max_backoff``. A host that asks to be left alone for longer than ``max_retry_after`` is not asked again
    for that image. ``failures_to_open`` failures of a host in a row, over ``seconds_to_open`` or more, so that a
    hiccup of the network does not, open its circuit for ``cooldown``, doubling up to ``max_cooldown`` while probes
    fail. Only an answer that takes longer than ``slow_after`` to begin can be a slow one.
    """

    backoff: float = 0.5
    max_backoff: float = 30.0
    max_retry_after: float = 60.0
    failures_to_open: int = 8
    seconds_to_open: float = 5.0
    cooldown: float = 30.0
    max_cooldown: float = 300.0
    slow_after: float = 1.0


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds from ``now`` that a Retry-After header asks for, in either of its forms (RFC 9110, 10.2.3).

    None if there is none or it makes no sense; a date that has passed is 0, and nothing is longer than a hundred years.
    """
    value = (value or "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST)
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, OverflowError):
        return None


def pause_before_retry(attempt: int, retry_after: float | None, policy: RetryPolicy) -> float | None:
    """Seconds to wait after the failed ``attempt`` (from 1); None if the host asks for more patience than there is.

    Exponential backoff with full jitter, which spreads clients best: Brooker, "Exponential Backoff And Jitter",
    AWS Architecture Blog, 2015. A Retry-After comes on top, so that those who were told the same time do not
    come back all at once.
    """
    jitter = random.uniform(0, min(policy.max_backoff, policy.backoff * 2 ** (attempt - 1)))
    if retry_after is None:
        return jitter
    return retry_after + jitter if retry_after <= policy.max_retry_after else None
