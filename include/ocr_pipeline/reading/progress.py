"""How a batch gets on: what it has finished, and what ends it when it cannot go on as it should.

Four things end a batch before its images are done: an outage (so much fails for transient reasons that the
network is down, not the images), a standstill (nothing is fetched and no page begun for longer than the deadlines
explain), the batch's own deadline, and a page that hangs inside a library. The first three are errors that a retry
goes on from; the last ends the process, because nothing else ends a thread inside a library.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from ocr_pipeline.errors import (
    BatchCancelledError,
    DeadlineError,
    ErrorCategory,
    OutageError,
    StalledError,
    StorageError,
)
from ocr_pipeline.fetch import RetryPolicy
from ocr_pipeline.reading.journal import Journal
from ocr_pipeline.records import ResultRow
from ocr_pipeline.settings.run import FetchSettings

log = logging.getLogger(__name__)

OUTAGE_FAILURES = 10
"""Fewer transient failures than this are never taken for an outage, whatever their share."""

OUTAGE_START = 200
"""So many transient failures and not one other outcome end a batch early: nothing is getting through."""

STALL_FACTOR = 4
"""A batch is stuck when nothing happens for so many times the longest that fetching one image may take."""

PAGE_SECONDS = 300.0
"""A page that takes longer to decode and read hangs: seconds are usual, a minute is possible."""

_LAST_PAGE_POLL = 0.02
"""Seconds between looks at whether the last pages are read."""

_MARGIN = 0.25
"""Most of a task's time that is kept for ending the batch."""

HUNG_EXIT_CODE = 70
"""How the process ends when a page hangs: EX_SOFTWARE of sysexits.h."""


class Progress:
    """Counts of one batch: for those who watch it, and to tell an outage.

    ``total``, ``done`` and ``failed`` count what earlier attempts finished as well, ``finished`` and
    ``transient`` this attempt alone.
    """

    def __init__(self, total: int, done: int, failed: int) -> None:
        self.total = total
        self.done = done
        self.failed = failed
        self.finished = 0
        self.transient = 0

    def count(self, rows: list[ResultRow]) -> None:
        """Take in the rows of one more image.

        :raises OutageError: when it is one of many, and all of them failed for transient reasons.
        """
        error = next((row.error for row in rows if row.error), None)
        self.done += 1
        self.finished += 1
        self.failed += error is not None
        self.transient += error is not None and ErrorCategory(error).retryable
        if self.transient == self.finished >= OUTAGE_START:
            raise OutageError(
                f"all of the first {self.finished} images failed for transient reasons, the last with "
                f"{error} ({rows[0].error_detail}): the network or the hosts seem to be down; retry later"
            )

    def check_outage(self, allowed: float) -> None:
        """Judge the whole batch.

        :param allowed: the share of its images that may fail for transient reasons.
        :raises OutageError: when more did.
        """
        if self.transient >= OUTAGE_FAILURES and self.transient / max(self.total, 1) > allowed:
            raise OutageError(
                f"{self.transient} of {self.total} images failed for transient reasons, more than "
                f"max_transient_failures ({allowed:g}) allows: the network or the hosts seem to be down; "
                "retry later, or raise the setting to stage the batch all the same"
            )


class Watchdog:
    """Knows what a batch is doing right now, and ends it when that takes for ever or its time is up.

    :meth:`check` is to be called again and again, at intervals of at most ``interval`` seconds.

    :param deadline: when the batch's time is up, on the monotonic clock; infinity: never.
    """

    def __init__(self, settings: FetchSettings, journal: Journal, interval: float, deadline: float) -> None:
        self._stall_seconds = stall_seconds(settings)
        self._journal = journal
        self._interval = interval
        self._deadline = deadline
        self._page_started: dict[int, float] = {}
        self._ending = False
        self._moved_at = time.monotonic()

    def moved(self) -> None:
        """Note that the batch got further."""
        self._moved_at = time.monotonic()

    @contextmanager
    def reading(self, row: int, *, alone: bool = False) -> Iterator[Callable[[], None]]:
        """Note, in the journal as well, that the image of ``row`` is read within the block, in any thread.

        :return: what to call when a page is begun; it raises BatchCancelledError when the batch is ending.
        """
        try:
            with self._journal.reading(row, alone=alone):
                yield partial(self._begin_page, row)
        finally:
            self._page_started.pop(row, None)

    def _begin_page(self, row: int) -> None:
        self._page_started[row] = self._moved_at = time.monotonic()
        if self._ending:
            raise BatchCancelledError("the batch is ending; a retry reads this image")

    def check(self, fetching: list[int], waiting: int) -> None:
        """Look whether the batch still moves, and have the process ended should this not be called again.

        :param fetching: the rows whose images are being fetched.
        :param waiting: how many fetched images wait to be read.
        :raises StalledError: when nothing happened for longer than any deadline explains.
        :raises DeadlineError: when the batch's time is up.
        """
        self._check_hang()
        self._check_stall(fetching, waiting)
        if time.monotonic() >= self._deadline:
            raise DeadlineError(
                "the batch did not get done before its deadline, which lies a little before the task's "
                "execution_timeout; a retry goes on from here, and smaller batches (batch_size) need fewer"
            )
        self._arm()

    def rest(self) -> None:
        """Watch no more until :meth:`see_pages_out`; from now on no page begins."""
        self._ending = True
        faulthandler.cancel_dump_traceback_later()

    def see_pages_out(self) -> None:
        """Wait for the pages that are being read, and have the process ended should one hang."""
        while self._page_started:
            self._arm()
            self._check_hang()
            time.sleep(_LAST_PAGE_POLL)
        self.rest()

    def _arm(self) -> None:
        """Have the process ended from outside Python, should a library hang and hold the interpreter's lock."""
        faulthandler.dump_traceback_later(PAGE_SECONDS + self._interval, exit=True, file=2)

    def _check_hang(self) -> None:
        now = time.monotonic()
        hung = [row for row, began in self._page_started.copy().items() if now - began > PAGE_SECONDS]
        if hung:
            log.critical(
                "row %d: a page was being read for more than %g s; ending the task, a retry leaves it out",
                hung[0] + 1,
                PAGE_SECONDS,
            )
            try:
                self._journal.blame(hung)
            except StorageError as error:
                log.critical("which one it was cannot be noted: %s", error)
            logging.shutdown()
            os._exit(HUNG_EXIT_CODE)

    def _check_stall(self, fetching: list[int], waiting: int) -> None:
        idle = time.monotonic() - self._moved_at
        if idle > self._stall_seconds:
            rows = ", ".join(str(row + 1) for row in fetching[:10])
            raise StalledError(
                f"nothing happened for {idle:,.0f} s: {len(fetching)} images being fetched (first rows: "
                f"{rows or 'none'}), {waiting} waiting to be read, {len(self._page_started)} being read; "
                "a retry goes on from here"
            )


def reading_seconds(task_seconds: float) -> float:
    """How long a batch may read for its task to end within ``task_seconds``.

    What is left is for the pages that are being read when the time is up, and for writing them down.
    """
    return task_seconds - min(PAGE_SECONDS, _MARGIN * task_seconds)


def stall_seconds(settings: FetchSettings) -> float:
    """How long a batch may stand still before it counts as stuck: a multiple of the deadlines together."""
    policy = RetryPolicy()
    pause = policy.max_retry_after + policy.max_backoff + (1 / settings.host_rate if settings.host_rate else 0)
    return STALL_FACTOR * settings.attempts * (settings.total_timeout + pause)
