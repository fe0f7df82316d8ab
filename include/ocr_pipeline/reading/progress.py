"""How a batch gets on: what it has finished, and whether so much fails that the network is down, not the images."""

from __future__ import annotations

from ocr_pipeline.errors import ErrorCategory, OutageError
from ocr_pipeline.records import ResultRow

OUTAGE_FAILURES = 10
"""Fewer transient failures than this are never taken for an outage, whatever their share."""

OUTAGE_START = 200
"""So many transient failures and not one other outcome end a batch early: nothing is getting through."""


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
