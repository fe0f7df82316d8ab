"""Telling how a batch gets on while it runs: in its log, and to whoever wants to know.

Telling never holds up the batch and never harms it: each observer is called in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Self

from ocr_pipeline.errors import OcrPipelineError
from ocr_pipeline.reading.progress import Progress
from ocr_pipeline.run.staging import BatchProgress

log = logging.getLogger(__name__)

Observer = Callable[[BatchProgress], None]
"""Takes how far a batch is. It may block; what it raises is logged."""

OBSERVED_SECONDS = 5.0
LOGGED_SECONDS = 10.0

_END_SECONDS = 5.0


class Reporter:
    """Reports on a batch from the beginning to the end of a ``with`` block. To be used in one thread.

    :param label: the batch, for people.
    :param observers: each called with the latest progress every few seconds, one call at a time.
    :param observed_seconds, logged_seconds: how often at most.
    """

    def __init__(
        self,
        label: str,
        progress: Progress,
        observers: Iterable[Observer] = (),
        *,
        observed_seconds: float = OBSERVED_SECONDS,
        logged_seconds: float = LOGGED_SECONDS,
    ) -> None:
        self._label = label
        self._progress = progress
        self._observing = [_Observing(observer) for observer in observers]
        self._observed_seconds = observed_seconds
        self._logged_seconds = logged_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        at = replace(self._progress.look(), doing="", staged=error is None, error=reason(error))
        for observing in self._observing:
            observing.tell(at, last=True)
        deadline = time.monotonic() + _END_SECONDS
        for observing in self._observing:
            observing.wait(deadline - time.monotonic())

    async def keep_reporting(self) -> None:
        """Report at once, and again and again until cancelled."""
        logged = -self._logged_seconds
        while True:
            at = self._progress.look()
            if time.monotonic() - logged >= self._logged_seconds:
                logged = time.monotonic()
                log.info("%s: %s", self._label, describe_progress(at))
            for observing in self._observing:
                observing.tell(at)
            await asyncio.sleep(min(self._observed_seconds, self._logged_seconds))


def reason(error: BaseException | None) -> str:
    """What ended a batch, for people; empty when nothing did."""
    if error is None:
        return ""
    return str(error) if isinstance(error, OcrPipelineError) else type(error).__name__


def describe_progress(at: BatchProgress) -> str:
    """A line for the log."""
    parts = [f"{at.done:,} of {at.total:,} images, {at.failed:,} failed, {at.doing}"]
    if at.images_per_second:
        parts.append(f"{at.images_per_second:.1f} images/s")
    if at.seconds_left:
        parts.append(f"about {timedelta(seconds=round(at.seconds_left))} left")
    if at.slowest_hosts:
        hosts = ", ".join(f"{host} ({seconds:.1f} s an image)" for host, seconds in at.slowest_hosts.items())
        parts.append(f"slowest hosts: {hosts}")
    return "; ".join(parts)


class _Observing:
    """Calls an observer with the latest progress, in a thread that ends with the process whatever the observer does."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._latest: queue.Queue[tuple[BatchProgress, bool]] = queue.Queue(1)
        # What is logged in the thread names the task, as elsewhere.
        run = partial(contextvars.copy_context().run, self._run)
        self._thread = threading.Thread(target=run, name="observer", daemon=True)
        self._thread.start()

    def tell(self, progress: BatchProgress, *, last: bool = False) -> None:
        """Have the observer called, unless something later comes before it is free. Only one thread tells."""
        with suppress(queue.Empty):
            self._latest.get_nowait()
        self._latest.put((progress, last))

    def wait(self, seconds: float) -> None:
        """Wait until the observer was told the last, or so long."""
        self._thread.join(max(0.0, seconds))

    def _run(self) -> None:
        complained = last = False
        while not last:
            progress, last = self._latest.get()
            try:
                self._observer(progress)
            except Exception as error:  # whatever an observer raises, the batch goes on
                if not complained:
                    log.warning("how far the batch is cannot be shown elsewhere: %s: %s", type(error).__name__, error)
                complained = True
