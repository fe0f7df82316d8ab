"""Asking a store that may be away for a while: whoever asks waits until it is back, or until patience ends."""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from obstore.exceptions import BaseError

from ocr_pipeline.errors import StorageError, StorageRefusedError
from ocr_pipeline.storage.patience import Patience
from ocr_pipeline.storage.store_errors import StoreFailure, explain

if TYPE_CHECKING:
    from ocr_pipeline.storage.buckets import Bucket

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_LOG_SECONDS = 30.0
"""How often an outage is spoken of."""

_TRIES = 2
"""How often is tried what failed for another reason; the client does not repeat all that may be repeated."""


class PatientBucket:
    """A bucket that is asked again when it fails. Thread-safe.

    Those who ask it know of one outage together: once it has lasted too long, none of them begins to wait anew.

    :param opening: opens it as obstore's functions take it, with so many seconds for a request.
    """

    def __init__(self, opening: Callable[[float], Bucket], patience: Patience) -> None:
        self._opening = opening
        self._bucket = opening(patience.request)
        self._patience = patience
        self._lock = threading.Lock()
        self._failing_since: float | None = None
        self._failed_at = 0.0
        self._logged_at = 0.0

    def ask(
        self, what: str, request: Callable[[Bucket], Result], *, passing: bool = False, working: float = 0.0
    ) -> Result:
        """Make ``request``, again if it fails for what may be a transient reason.

        The client's own error is not chained, as it carries all of the store's answer.

        :param what: is done, for messages.
        :param passing: whether an object that is not there is for the caller to judge.
        :param working: seconds that the store may need for a request beyond those that any may take.
        :raises FileNotFoundError: when it is not there, if ``passing``.
        :raises StorageRefusedError: when the store will not do it.
        :raises StorageError: when it cannot do it now.
        """
        allowed = self._patience.request + working
        bucket = self._opening(allowed) if working else self._bucket
        first = time.monotonic()
        for tries in itertools.count(1):
            since = time.monotonic()
            try:
                result = request(bucket)
            except (FileNotFoundError, BaseError) as error:
                failure = explain(error)
                if failure.status is not None and not failure.may_pass:
                    self._note_answer()
                _raise_refusal(failure, what, passing=passing)
                left = self._left(failure, first + allowed, since, what) if failure.may_pass else float(tries < _TRIES)
                if left <= 0:
                    raise StorageError(
                        f"cannot {what}: {_reason(failure)}; tried for {time.monotonic() - first:,.0f} s; "
                        "a retry goes on from here"
                    ) from None
            else:
                self._note_answer()
                return result
            # Not all at once, should many wait. Exponential backoff with jitter, as the fetcher has it.
            longest = min(self._patience.longest_pause, self._patience.pause * 2 ** (tries - 1))
            time.sleep(min(left, random.uniform(longest / 2, longest)))
        raise AssertionError("it is tried until it returns or raises")

    def _left(self, failure: StoreFailure, answer_by: float, since: float, what: str) -> float:
        """Take note of a failure as in an outage; gives for how long it may be tried again, in seconds.

        :param answer_by: when the first try had to end.
        :param since: when it was tried this time.
        """
        now = time.monotonic()
        most = self._patience.outage
        with self._lock:
            if self._failing_since is None or since - self._failed_at > most:  # nobody has asked for long
                self._failing_since = now
                self._logged_at = 0.0
            self._failed_at = now
            left = most - (now - min(self._failing_since, answer_by))
            if left > 0 and (not self._logged_at or now - self._logged_at > _LOG_SECONDS):
                self._logged_at = now
                reason = _reason(failure)
                log.warning("waiting for the store: cannot %s: %s; trying for %.0f s more", what, reason, left)
            return left

    def _note_answer(self) -> None:
        with self._lock:
            if self._failing_since is not None:
                log.info("the store answers again after %.0f s", time.monotonic() - self._failing_since)
                self._failing_since = None


def _raise_refusal(failure: StoreFailure, what: str, *, passing: bool) -> None:
    """Raise if ``failure`` is one that trying again cannot mend, or that the caller judges."""
    if passing and failure.missing and not failure.no_bucket:
        raise FileNotFoundError(f"cannot {what}: it is not there") from None
    if failure.refused:
        raise StorageRefusedError(
            f"cannot {what}: the store refuses it ({failure}); give the credentials the right to read, "
            "write, list and delete there, then clear the task"
        ) from None
    if failure.missing:
        raise StorageRefusedError(
            f"cannot {what}: it or its bucket is not there ({failure}); make the bucket or correct "
            "its name, then clear the task"
        ) from None
    if failure.lasts:
        raise StorageRefusedError(
            f"cannot {what}: {_reason(failure)}; correct the bucket's address, its connection or its endpoint, then "
            "clear the task"
        ) from None


def _reason(failure: StoreFailure) -> str:
    return f"{failure} ({failure.request})" if failure.request else f"{failure}"
