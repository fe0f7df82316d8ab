"""What ends a batch that cannot go on as it should: a standstill, and the batch's own deadline.

Both are errors that a retry goes on from.
"""

from __future__ import annotations

import time

from ocr_pipeline.errors import DeadlineError, StalledError
from ocr_pipeline.fetch import RetryPolicy
from ocr_pipeline.settings.run import FetchSettings

STALL_FACTOR = 4
"""A batch is stuck when nothing happens for so many times the longest that fetching one image may take."""

_END_SECONDS = 60.0
_END_SHARE = 0.25
"""What is kept of a task's time for writing down what is finished, at most."""


class Watchdog:
    """Ends a batch in which nothing happens any more, or whose time is up.

    :param stall_seconds: how long nothing may happen while an image is fetched.
    :param deadline: when the batch's time is up, on the monotonic clock; infinity: never.
    """

    def __init__(self, stall_seconds: float, deadline: float) -> None:
        self._stall_seconds = stall_seconds
        self._deadline = deadline
        self._moved_at = time.monotonic()

    def moved(self) -> None:
        """Note that the batch got further."""
        self._moved_at = time.monotonic()

    def check(self, fetching: list[int], waiting: int, reading: int) -> None:
        """Look whether the batch still moves and has time left.

        While images wait to be read or are read it is the reader's turn, which has deadlines of its own.

        :param fetching: the rows whose images are being fetched.
        :param waiting: how many fetched images wait to be read.
        :param reading: how many are being read.
        :raises StalledError: when nothing happened for longer than any deadline explains.
        :raises DeadlineError: when the batch's time is up.
        """
        now = time.monotonic()
        if now >= self._deadline:
            raise DeadlineError(
                "the batch did not get done before its deadline, which lies a little before the task's "
                "execution_timeout; a retry goes on from here, and smaller batches (batch_size) need fewer"
            )
        if waiting or reading:
            self._moved_at = now
        elif now - self._moved_at > self._stall_seconds:
            rows = ", ".join(str(row + 1) for row in fetching[:10])
            raise StalledError(
                f"nothing happened for {now - self._moved_at:,.0f} s: {len(fetching)} images being fetched (first "
                f"rows: {rows or 'none'}), none waiting to be read; a retry goes on from here"
            )


def reading_seconds(task_seconds: float) -> float:
    """How long a batch may read for its task to end within ``task_seconds``.

    What is left is for writing down what is finished.
    """
    return task_seconds - min(_END_SECONDS, _END_SHARE * task_seconds)


def stall_seconds(settings: FetchSettings) -> float:
    """How long a batch may stand still before it counts as stuck: a multiple of the deadlines together."""
    policy = RetryPolicy()
    pause = policy.max_retry_after + policy.max_backoff + (1 / settings.host_rate if settings.host_rate else 0)
    return STALL_FACTOR * settings.attempts * (settings.total_timeout + pause)
