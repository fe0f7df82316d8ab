"""Keeping what a batch has finished: checkpoint parts while it runs, then the staged batch and its marker.

All are CSV files of :class:`ResultRow`, each written whole. A staged batch counts as done when its marker,
written last, carries the digest of exactly that file.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from ocr_pipeline.errors import ErrorCategory, StagedBatchError, Status, StorageError
from ocr_pipeline.records import RESULT_COLUMNS, BatchRef, ResultRow
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.storage.folders import StoredFile

log = logging.getLogger(__name__)

_FIELDS = tuple(field.name for field in fields(ResultRow))
_HEADER = ("ocr_row", *(column.name for column in RESULT_COLUMNS))
_PARSERS: dict[str, Callable[[str], Any]] = {"row": int} | {column.field: column.type for column in RESULT_COLUMNS}
_NULLABLE = {column.field for column in RESULT_COLUMNS if column.nullable}

Readings = dict[int, list[ResultRow]]
"""Finished images: dataset row -> its pages in order."""


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """What a staged batch holds; the content of its marker.

    ``failed`` counts images with a page that failed, ``statuses`` and ``errors`` count pages, ``bytes`` adds
    up the image files, ``models`` name the engines and models that read, ``resumed`` counts images that earlier
    attempts had finished.
    """

    index: int
    images: int
    failed: int
    pages: int
    statuses: dict[str, int]
    errors: dict[str, int]
    bytes: int
    seconds: float
    models: list[str]
    resumed: int
    finished_at: str
    csv_sha256: str


def encode_rows(rows: Iterable[ResultRow]) -> bytes:
    """Rows as CSV: UTF-8, one header line, None as an empty field. Characters CSV cannot carry are replaced."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")  # with "\n" alone, a "\r" in a value would not be quoted
    writer.writerow(_HEADER)
    writer.writerows(tuple(_plain(getattr(row, name)) for name in _FIELDS) for row in rows)
    return text.getvalue().encode("utf-8", errors="replace")


def _plain(value: object) -> object:
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def decode_rows(content: bytes, source: StoredFile | str) -> list[ResultRow]:
    """Read back what :func:`encode_rows` wrote.

    :raises StagedBatchError: when the content is anything else.
    """
    # A page of text may be longer than the reader's default limit of a field.
    csv.field_size_limit(1 << 30)
    try:
        lines = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
        if tuple(next(lines, ())) != _HEADER:
            raise StagedBatchError(f"{source}: its first line does not name the expected columns")
        return [_decode(line) for line in lines]
    except (ValueError, csv.Error) as error:
        raise StagedBatchError(f"{source}: {error}") from error


def _decode(line: list[str]) -> ResultRow:
    values: dict[str, Any] = {
        name: None if text == "" and name in _NULLABLE else _PARSERS[name](text)
        for name, text in zip(_FIELDS, line, strict=True)
    }
    values["status"] = Status(values["status"])
    return ResultRow(**values)


def by_image(rows: Iterable[ResultRow]) -> Readings:
    """Rows grouped by image, pages in order; images whose pages are not 0, 1, 2, … are left out."""
    readings: Readings = {}
    for row in rows:
        readings.setdefault(row.row, []).append(row)
    for pages in readings.values():
        pages.sort(key=lambda page: page.page)
    return {
        image: pages for image, pages in readings.items() if [page.page for page in pages] == list(range(len(pages)))
    }


def load_staged(run: RunFolder, batch: BatchRef) -> list[ResultRow]:
    """The rows of a batch that is done.

    :raises StagedBatchError: when the batch is not staged, or its file and its marker disagree.
    :raises StorageError: when they cannot be read.
    """
    return decode_rows(read_staged(run, batch).content, run.staged(batch.index))


@dataclass(frozen=True, slots=True)
class StagedBatch:
    """A batch that is done: its CSV, which :func:`encode_rows` made, and what its marker says of it."""

    content: bytes
    seconds: float
    models: tuple[str, ...]


def read_staged(run: RunFolder, batch: BatchRef) -> StagedBatch:
    """The files of a batch that is done.

    :raises StagedBatchError: when the batch is not staged, or its file and its marker disagree.
    :raises StorageError: when they cannot be read.
    """
    staged, marker = run.staged(batch.index), run.marker(batch.index)
    try:
        statistics = json.loads(marker.read_bytes())
        content = staged.read_bytes()
        found = StagedBatch(content, statistics["seconds"], tuple(statistics["models"]))
        expected = statistics["csv_sha256"]
    except FileNotFoundError:
        raise StagedBatchError(f"{batch.label} is not finished: {staged} or its marker is not there") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StagedBatchError(f"{marker} is damaged: {error}") from error
    if sha256(content).hexdigest() != expected:
        raise StagedBatchError(f"{staged} is not the file that its marker describes")
    return found


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is: images finished, how many of them failed, and whether it is staged."""

    done: int
    failed: int
    staged: bool


def read_progress(run: RunFolder, batch: BatchRef) -> BatchProgress:
    """How far ``batch`` is, from its marker or, while it runs, from what it reports."""
    for file, staged in ((run.marker(batch.index), True), (run.progress(batch.index), False)):
        try:
            values = json.loads(file.read_bytes())
            return BatchProgress(done=values["images"], failed=values["failed"], staged=staged)
        except (FileNotFoundError, StorageError, ValueError, KeyError):
            continue
    return BatchProgress(done=0, failed=0, staged=False)


@dataclass(frozen=True, slots=True)
class Resumed:
    """What earlier attempts left of a batch: images kept as they are, and dataset rows of those to try again."""

    kept: Readings
    transient: frozenset[int]
    permanent: frozenset[int]

    @property
    def kept_failed(self) -> int:
        """How many of the images that are kept have a page that failed."""
        return sum(any(page.status.failed for page in pages) for pages in self.kept.values())


class BatchStore:
    """Where one batch keeps its finished images, while it runs and afterwards."""

    def __init__(self, run: RunFolder, batch: BatchRef) -> None:
        self._run = run
        self._batch = batch
        self._folder = run.checkpoints(batch.index)
        self._parts = 0
        self._readings: Readings = {}
        # An attempt that Airflow gave up may still be writing: it must not replace what this one writes.
        self._attempt = secrets.token_hex(4)
        self._reported = b""

    def resume(self, images: set[int], *, retry_permanent: bool = False) -> Resumed:
        """Read back what earlier attempts finished of the ``images`` (dataset rows).

        Transient failures are always tried again. What failed for good is as well in a staged batch, which only
        a person's clearing runs again, and in an unfinished one with ``retry_permanent``.

        :raises StorageError: when the run's folder cannot be read.
        """
        staged = self._run.staged(self._batch.index)
        parts = self._list_parts()
        if parts:
            self._parts = 1 + int(parts[-1].name.split("-")[1])
        # The staged file appears whole, so it is good even when a crash kept its marker from following.
        for readings in self._folder.map(_load_readings, [staged, *parts]):
            self._take(readings)
        self._readings = {image: pages for image, pages in self._readings.items() if image in images}
        keep = _was_read if retry_permanent or staged.exists() else _is_final
        kept = {image: pages for image, pages in self._readings.items() if all(map(keep, pages))}
        failed = {image: pages for image, pages in self._readings.items() if image not in kept}
        permanent = frozenset(image for image, pages in failed.items() if all(map(_is_final, pages)))
        return Resumed(kept, frozenset(failed) - permanent, permanent)

    def checkpoint(self, rows: list[ResultRow]) -> None:
        """Write finished images as one more part.

        :raises StorageError: when the run's folder cannot be written.
        """
        self._folder.file(f"part-{self._parts:05}-{self._attempt}.csv").write_bytes(encode_rows(rows))
        self._parts += 1
        self._take(by_image(rows))

    def report(self, done: int, failed: int) -> None:
        """Publish how far the batch is, for those who watch the run; :func:`read_progress` reads it.

        :raises StorageError: when the run's folder cannot be written.
        """
        progress = json.dumps({"images": done, "failed": failed}).encode()
        if progress != self._reported:
            self._run.progress(self._batch.index).write_bytes(progress)
            self._reported = progress

    def finished(self) -> Readings:
        """What this attempt checkpointed and earlier ones left."""
        return self._readings

    def _take(self, newer: Readings) -> None:
        """Take in newer outcomes, but none that would lose pages of a document that have been read."""
        for image, pages in newer.items():
            before = _pages_read(self._readings.get(image, []))
            if not before or _pages_read(pages) > before or all(map(_was_read, pages)):
                self._readings[image] = pages

    def stage(self, readings: Readings, *, seconds: float, resumed: int) -> BatchStatistics:
        """Write the batch's CSV in row order, then its marker; then drop the checkpoints.

        :raises StorageError: when the run's folder cannot be written.
        """
        rows = [row for image in sorted(readings) for row in readings[image]]
        content = encode_rows(rows)
        statistics = BatchStatistics(
            index=self._batch.index,
            images=len(readings),
            failed=sum(any(page.status.failed for page in pages) for pages in readings.values()),
            pages=len(rows),
            statuses=dict(Counter(row.status.value for row in rows)),
            errors=dict(Counter(row.error for row in rows if row.error)),
            bytes=sum(pages[0].bytes or 0 for pages in readings.values()),
            seconds=round(seconds, 3),
            models=sorted({row.model for row in rows if row.model}),
            resumed=resumed,
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            csv_sha256=sha256(content).hexdigest(),
        )
        self._run.staged(self._batch.index).write_bytes(content)
        self._run.marker(self._batch.index).write_bytes(json.dumps(asdict(statistics), indent=1).encode())
        try:
            self._folder.clear()
        except StorageError as error:
            log.warning("%s is staged, its checkpoints are left over: %s", self._batch.label, error)
        return statistics

    def _list_parts(self) -> list[StoredFile]:
        return [file for file in self._folder.files() if file.name.startswith("part-")]


def _load_readings(file: StoredFile) -> Readings:
    """The images in ``file``; none when it is absent or damaged, since they can be read again."""
    try:
        return by_image(decode_rows(file.read_bytes(), file))
    except FileNotFoundError:
        return {}
    except StagedBatchError as error:
        log.warning("its images are read again: %s", error)
        return {}


def _pages_read(pages: list[ResultRow]) -> int:
    return sum(map(_was_read, pages))


def _was_read(row: ResultRow) -> bool:
    return not row.status.failed


def _is_final(row: ResultRow) -> bool:
    return row.error is None or not ErrorCategory(row.error).retryable
