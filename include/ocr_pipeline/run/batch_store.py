"""Keeping what a batch has finished: checkpoint parts while it runs, then the staged batch and its marker.

All are CSV files of result rows (:mod:`ocr_pipeline.run.rows`), each written whole. Parts carry the batch's digest in
their names.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

from ocr_pipeline.errors import StagedBatchError, StorageError
from ocr_pipeline.records import BatchRef, ResultRow
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.readings import Place, Readings
from ocr_pipeline.run.rows import HEADER, read_rows
from ocr_pipeline.run.staging import BatchProgress, BatchStatistics, open_staged
from ocr_pipeline.storage.folders import StoredFile

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Resumed:
    """What earlier attempts left of a batch, as dataset rows: images kept as they are, and those to try again.

    ``kept_failed`` counts those that are kept with a page that failed, ``kept_known`` those that another run has read.
    """

    kept: frozenset[int]
    kept_failed: int
    kept_known: int
    transient: frozenset[int]
    permanent: frozenset[int]


class BatchStore:
    """Where one batch keeps its finished images, while it runs and afterwards. A context manager.

    :param digest: of the batch, as the plan has it; what was kept for another is left alone.
    """

    def __init__(self, run: RunFolder, batch: BatchRef, digest: str) -> None:
        self._run = run
        self._batch = batch
        self._digest = digest
        self._folder = run.checkpoints(batch.index)
        self._readings = Readings()
        self._parts = 0
        self._unwritten: list[Place] = []
        self._adding = threading.Lock()
        # An attempt that Airflow gave up may still be writing: it must not replace what this one writes.
        self._attempt = secrets.token_hex(4)
        self._was_staged = False
        self._reported = BatchProgress()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._readings.close()

    def resume(self, images: set[int], *, retry_permanent: bool = False) -> Resumed:
        """Read back what earlier attempts finished of the ``images`` (dataset rows).

        Transient failures are always tried again. What failed for good is as well in a staged batch, which only
        a person's clearing runs again, and in an unfinished one with ``retry_permanent``.

        :raises StorageError: when the run's folder cannot be read.
        """
        self._was_staged = self._load_staged(images)
        parts = self._list_parts()
        if parts:
            self._parts = 1 + int(parts[-1].name.split("-")[1])
        for part in parts:
            if self._name_ending in part.name:
                self._load(part, images)
            else:
                log.warning("%s belongs to another plan: it is not used", part)
        again = retry_permanent or self._was_staged
        kept: set[int] = set()
        transient: set[int] = set()
        permanent: set[int] = set()
        kept_failed = kept_known = 0
        for image in self._readings:
            reading = self._readings[image]
            if not reading.failed or (reading.final and not again):
                kept.add(image)
                kept_failed += reading.failed
                kept_known += reading.known
            else:
                (permanent if reading.final else transient).add(image)
        return Resumed(frozenset(kept), kept_failed, kept_known, frozenset(transient), frozenset(permanent))

    def add(self, pages: list[ResultRow]) -> Place:
        """Take the rows of a finished image, for the next checkpoint; gives where they are."""
        with self._adding:
            place = self._readings.add(pages)
            self._unwritten.append(place)
        return place

    def rows(self, place: Place) -> list[ResultRow]:
        """The rows of an image that was added."""
        return self._readings.rows(place)

    def checkpoint(self) -> None:
        """Write what was added since the last checkpoint as one more part. To be called by one thread.

        :raises StorageError: when the run's folder cannot be written; what was not is part of the next.
        """
        places = self._unwritten
        if not places:
            return
        with self._adding:
            self._unwritten = []
        try:
            self._next_part().write_bytes(HEADER + b"".join(map(self._readings.lines, places)))
        except BaseException:
            with self._adding:
                self._unwritten = places + self._unwritten
            raise
        self._parts += 1

    def troubled(self) -> Iterator[list[ResultRow]]:
        """The rows of each finished image of which a page failed or may be wrong."""
        for image in self._readings:
            reading = self._readings[image]
            if reading.failed or reading.warned:
                yield self._readings.rows(reading.place)

    def report(self, progress: BatchProgress) -> None:
        """Publish how far the batch is, for those who watch the run; :func:`read_progress` reads it.

        :raises StorageError: when the run's folder cannot be written.
        """
        if _news(progress) != _news(self._reported):
            self._run.progress(self._batch.index).write_bytes(json.dumps(asdict(progress)).encode())
        self._reported = progress

    def report_end(self, error: str) -> None:
        """Publish what ended the batch, if the run's folder can be written."""
        with suppress(StorageError):
            self.report(replace(self._reported, error=error))

    def stage(self, images: Iterable[int], *, seconds: float, resumed: int) -> BatchStatistics:
        """Write the rows of ``images``, which are all finished, in their order, then the marker; drop the checkpoints.

        :raises StorageError: when the run's folder cannot be written.
        """
        images = sorted(images)
        if self._was_staged:
            # What only the staged file holds must not go with it, should this end before the new marker is there.
            with self._next_part().writing() as path:
                self.write(path, images)
        with self._run.staged(self._batch.index).writing() as path:
            statistics = self.write(path, images, seconds=seconds, resumed=resumed)
        self._run.marker(self._batch.index).write_bytes(json.dumps(asdict(statistics), indent=1).encode())
        try:
            self._folder.clear()
        except StorageError as error:
            log.warning("%s is staged, its checkpoints are left over: %s", self._batch.label, error)
        return statistics

    def write(
        self,
        path: Path,
        images: Iterable[int],
        *,
        seconds: float = 0.0,
        resumed: int = 0,
        otherwise: Callable[[int], ResultRow] | None = None,
    ) -> BatchStatistics:
        """Write the rows of ``images`` in their order to a file on the local disk; gives what is in it.

        :param otherwise: makes the row of an image that is not finished.
        """
        statuses: Counter[str] = Counter()
        errors: Counter[str] = Counter()
        warnings: Counter[str] = Counter()
        models: set[str] = set()
        count = failed = pages = size = 0
        digest = hashlib.sha256(HEADER)
        with path.open("wb") as file:
            file.write(HEADER)
            for image in sorted(images):
                if otherwise is not None and image not in self._readings:
                    self._readings.add([otherwise(image)])
                place = self._readings[image].place
                lines, rows = self._readings.lines(place), self._readings.rows(place)
                file.write(lines)
                digest.update(lines)
                statuses.update(row.status.value for row in rows)
                errors.update(row.error for row in rows if row.error)
                warnings.update(warning for row in rows for warning in row.warnings)
                models.update(row.model for row in rows if row.model)
                count += 1
                failed += self._readings[image].failed
                pages += len(rows)
                size += rows[0].bytes or 0
        return BatchStatistics(
            index=self._batch.index,
            digest=self._digest,
            images=count,
            failed=failed,
            pages=pages,
            statuses=dict(statuses),
            errors=dict(errors),
            warnings=dict(warnings),
            bytes=size,
            seconds=round(seconds, 3),
            models=sorted(models),
            resumed=resumed,
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            csv_sha256=digest.hexdigest(),
        )

    @property
    def _name_ending(self) -> str:
        """What stands between a part's number and its attempt."""
        return f"-{self._digest[:16]}-"

    def _next_part(self) -> StoredFile:
        return self._folder.file(f"part-{self._parts:05}{self._name_ending}{self._attempt}.csv")

    def _load_staged(self, images: set[int]) -> bool:
        """Take what is staged, if it is; says whether it is."""
        try:
            with open_staged(self._run, self._batch, self._digest) as staged:
                self._take(read_rows(staged.path, self._run.staged(self._batch.index)), images)
        except StagedBatchError as error:
            if self._run.marker(self._batch.index).exists():
                log.warning("%s: what it holds is not used", error)
            return False
        return True

    def _load(self, part: StoredFile, images: set[int]) -> None:
        """Take the images of a part; none when it is absent or damaged, since they can be read again."""
        try:
            with part.reading() as path:
                for _ in read_rows(path, part):  # all of it is whole, or nothing is taken
                    pass
                self._take(read_rows(path, part), images)
        except FileNotFoundError:
            return
        except StagedBatchError as error:
            log.warning("%s: what it holds is not used", error)

    def _take(self, rows: Iterable[ResultRow], images: set[int]) -> None:
        """Take those of the images whose pages are all there."""
        for image, group in groupby(rows, key=lambda row: row.row):
            pages = sorted(group, key=lambda page: page.page)
            if image in images and [page.page for page in pages] == list(range(len(pages))):
                self._readings.add(pages)

    def _list_parts(self) -> list[StoredFile]:
        return [file for file in self._folder.files() if file.name.startswith("part-")]


def _news(progress: BatchProgress) -> tuple[object, ...]:
    """What of a report is worth a request to a bucket: not that the same images have become slower meanwhile."""
    return progress.done, progress.failed, progress.doing, progress.error
