"""When to ask again."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ocr_pipeline.fetch.politeness import Manners


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds from ``now`` that a Retry-After header asks for, in either of its forms (RFC 9110, 10.2.3).

    None if there is none or it makes no sense; a date that has passed is 0.
    """
    value = (value or "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, OverflowError):
        return None


def pause_before_retry(attempt: int, retry_after: float | None, manners: Manners) -> float | None:
    """Seconds to wait after the failed ``attempt`` (from 1); None if the host asks for more patience than there is.

    Exponential backoff with full jitter, which spreads clients best: Brooker, "Exponential Backoff And Jitter",
    AWS Architecture Blog, 2015. A Retry-After comes on top, so that those who were told the same time do not
    come back all at once.
    """
    jitter = random.uniform(0, min(manners.max_backoff, manners.backoff * 2 ** (attempt - 1)))
    if retry_after is None:
        return jitter
    return retry_after + jitter if retry_after <= manners.max_retry_after else None
