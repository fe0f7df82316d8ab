"""What a batch does, counted for metrics: added up while it runs, sent every few seconds."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ocr_pipeline.errors import Status
from ocr_pipeline.metrics import NONE, Metric, Send, Tag
from ocr_pipeline.records import Failure, FetchedImage, ResultRow
from ocr_pipeline.run.staging import BatchProgress

Tags = tuple[tuple[Tag, str], ...]


@dataclass(frozen=True, slots=True)
class ReaderState:
    """How what reads the images is: how often it was started again, the bytes it holds, and how many it may hold."""

    restarts: int = 0
    memory: int = 0
    memory_limit: int | None = None

    @property
    def share(self) -> float:
        """How much it holds of what it may; next to nothing, but more the more it holds, where there is no limit."""
        return self.memory / (self.memory_limit or 1 << 60)


class Meter:
    """Counts what a batch does. One thread tells it, and another may :meth:`send` at the same time.

    :param clock: tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[tuple[Metric, Tags]] = Counter()
        self._levels: dict[tuple[Metric, Tags], float] = {}
        self._fullest: ReaderState | None = None
        self._restarts = 0
        self._moved_at = clock()

    def fetched(self, outcome: FetchedImage | Failure) -> None:
        """Note what fetching an image took and gave."""
        with self._lock:
            self._moved_at = self._clock()
            self._counts[Metric.FETCH_REQUESTS, ()] += outcome.attempts
            self._counts[Metric.FETCH_TIME, ()] += _milliseconds(outcome.seconds)
            if isinstance(outcome, FetchedImage):
                self._counts[Metric.FETCH_BYTES, ()] += len(outcome.body)

    def finished(self, rows: Sequence[ResultRow]) -> None:
        """Note the rows of an image."""
        # A document has failed if a page has, and has text if a page has.
        telling = max(rows, key=lambda row: (row.status.failed, row.status is Status.OK))
        outcome = (Tag.STATUS, telling.status.value), (Tag.CATEGORY, telling.error or NONE)
        with self._lock:
            self._moved_at = self._clock()
            self._counts[Metric.IMAGES, _reader(telling) + outcome] += 1
            for row in rows:
                if row.model:
                    self._counts[Metric.PAGES, _reader(row)] += 1
                    self._counts[Metric.READ_TIME, _reader(row)] += _milliseconds(row.read_seconds)

    def look(self, fetching: int, waiting: int, reading: int, reader: ReaderState) -> None:
        """Note how many images are on their way, and how what reads them is."""
        with self._lock:
            for stage, images in (("fetching", fetching), ("waiting", waiting), ("reading", reading)):
                self._levels[Metric.QUEUE, ((Tag.STAGE, stage),)] = images
            if self._fullest is None or reader.share >= self._fullest.share:
                self._fullest = reader
            self._counts[Metric.READER_RESTARTS, ()] += reader.restarts - self._restarts
            self._restarts = reader.restarts

    def send(self, send: Send, at: BatchProgress) -> None:
        """Send what there was since it was called last; ``at`` is how far the batch is."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            levels, self._levels = self._levels, {}
            fullest, self._fullest = self._fullest, None
            idle = self._clock() - self._moved_at
        if fullest is not None:
            levels[Metric.MEMORY, ()] = fullest.memory
            if fullest.memory_limit is not None:
                levels[Metric.MEMORY_LIMIT, ()] = fullest.memory_limit
        if at.staged or at.error:
            counts[Metric.BATCHES, ((Tag.OUTCOME, "staged" if at.staged else "failed"),)] = 1
        levels[Metric.RATE, ()] = at.images_per_second or 0.0
        levels[Metric.IDLE, ()] = round(idle, 1)
        for (metric, tags), value in (*counts.items(), *levels.items()):
            send(metric, value, dict(tags))


def _reader(row: ResultRow) -> Tags:
    """What read a row."""
    engine, _, model = (row.model or "").partition("/")
    return (Tag.ENGINE, engine or NONE), (Tag.MODEL, model or NONE)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
