"""How a batch gets on: what it has finished, how fast, and whether so much fails that a later try is better."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence, Set

from ocr_pipeline.errors import ErrorCategory, OutageError, Status
from ocr_pipeline.reading.hosts import HostStatistics
from ocr_pipeline.reading.meter import Meter
from ocr_pipeline.records import Failure, FetchedImage, ResultRow
from ocr_pipeline.run.staging import BatchProgress
from ocr_pipeline.run.troubles import Trouble, describe, share, too_many

FEW_FAILURES = 10
"""Fewer transient failures than this are no outage to a batch that nobody will try again."""

OUTAGE_START = 200
"""So many transient failures and not one other outcome end a batch early: nothing is getting through."""

_RATE_SECONDS = 60.0
_SHOWN_HOSTS = 3


class Progress:
    """Counts of one batch: for those who watch it, and to tell an outage.

    ``total``, ``done``, ``failed`` and ``known`` count what earlier attempts finished as well, ``finished`` and
    ``transient`` this attempt alone, without failures of which nothing else was expected. ``doing`` says what the batch
    does now, for people; ``meter`` counts for metrics.

    :param allowed: the share of images that may fail; with 1, nothing ends the batch.
    :param expected: rows of images that failed in earlier runs, which are no sign of an outage when they do so again.
    :param clock: tells the time in seconds.
    """

    def __init__(
        self,
        total: int,
        done: int = 0,
        failed: int = 0,
        known: int = 0,
        *,
        allowed: float = 1.0,
        expected: Set[int] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.done = done
        self.failed = failed
        self.known = known
        self.finished = 0
        self.transient = 0
        self.doing = "starting"
        self.hosts = HostStatistics()
        self.meter = Meter(clock)
        self._allowed = allowed
        self._expected = expected
        self._clock = clock
        self._samples = deque([(clock(), done)])

    def fetched(self, host: str, outcome: FetchedImage | Failure) -> None:
        """Note what fetching an image from ``host`` took and gave."""
        self.meter.fetched(outcome)
        if host:
            failed = isinstance(outcome, Failure) and outcome.category.retryable
            self.hosts.add(host, outcome.seconds if outcome.attempts else None, failed=failed)

    def count(self, rows: Sequence[ResultRow]) -> None:
        """Take in the rows of one more image.

        :raises OutageError: when it is one of many, and all of them failed for transient reasons.
        """
        self.meter.finished(rows)
        error = next((row.error for row in rows if row.error), None)
        self.done += 1
        self.failed += error is not None
        self.known += rows[0].status is Status.KNOWN
        if error is not None and rows[0].row in self._expected:
            return
        self.finished += 1
        self.transient += error is not None and ErrorCategory(error).retryable
        if self.transient == self.finished >= OUTAGE_START and self._allowed < 1:
            raise OutageError(
                f"all of the first {self.finished} images failed for transient reasons, the last with "
                f"{error} ({rows[0].error_detail}){self.hosts.most_failed()}. {_LATER}"
            )

    def look(self) -> BatchProgress:
        """How far the batch is now."""
        now = self._clock()
        while len(self._samples) > 1 and now - self._samples[1][0] >= _RATE_SECONDS:
            self._samples.popleft()
        since, done = self._samples[0]
        if now - self._samples[-1][0] >= 1:
            self._samples.append((now, self.done))
        rate = (self.done - done) / (now - since) if now > since and self.done > done else None
        return BatchProgress(
            done=self.done,
            failed=self.failed,
            total=self.total,
            known=self.known,
            doing=self.doing,
            images_per_second=rate and round(rate, 2),
            seconds_left=rate and round((self.total - self.done) / rate, 1),
            slowest_hosts={host: round(seconds, 2) for host, seconds in self.hosts.slowest(_SHOWN_HOSTS)},
        )


def check_outage(
    failures: Sequence[Trouble], wanted: int, allowed: float, hosts: HostStatistics, *, last_try: bool
) -> None:
    """Judge a whole batch.

    :param failures: those of its images, by category, but for those that failed in earlier runs, too.
    :param wanted: how many images it was to read, likewise.
    :param allowed: the share of them that may fail for transient reasons.
    :param last_try: whether nobody tries it again; then a few failures are left to the judgement of the whole run.
    :raises OutageError: when more did.
    """
    transient = [trouble for trouble in failures if trouble.category in _TRANSIENT]
    failed = sum(trouble.images for trouble in transient)
    if not too_many(failed, wanted, allowed) or (last_try and failed < FEW_FAILURES):
        return
    raise OutageError(
        f"{failed:,} of {wanted:,} images failed for transient reasons ({share(failed, wanted)}), more than "
        f"max_failures ({allowed:g}) allows{hosts.most_failed()}: {describe(transient)} {_LATER}"
    )


_TRANSIENT = frozenset(category for category in ErrorCategory if category.retryable)

_LATER = (
    "A retry of this task reads only what failed. When Airflow has given it up, clear it with its downstream tasks "
    "once the hosts are well again; a run with a larger max_failures takes the failures as they are"
)
