"""Keeping what a batch has finished: checkpoint parts while it runs, then the staged batch and its marker.

All are CSV files of :class:`ResultRow`, each written whole. A staged batch counts as done when its marker,
written last, carries the digest of exactly that file.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from ocr_pipeline.errors import ErrorCategory, OcrPipelineError, StagedBatchError, Status, StorageError
from ocr_pipeline.records import RESULT_COLUMNS, BatchRef, ResultRow
from ocr_pipeline.storage import RunFolder, is_temporary, write_whole

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
    up the image files, ``resumed`` counts images that earlier attempts had finished.
    """

    index: int
    images: int
    failed: int
    pages: int
    statuses: dict[str, int]
    errors: dict[str, int]
    bytes: int
    seconds: float
    model: str
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


def decode_rows(content: bytes, source: Path) -> list[ResultRow]:
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
    """
    return decode_rows(staged_csv(run, batch), run.staged(batch.index))


def staged_csv(run: RunFolder, batch: BatchRef) -> bytes:
    """The CSV of a batch that is done, which :func:`encode_rows` made.

    :raises StagedBatchError: when the batch is not staged, or its file and its marker disagree.
    """
    path, marker = run.staged(batch.index), run.marker(batch.index)
    try:
        statistics = json.loads(marker.read_bytes())
        content = path.read_bytes()
        expected = statistics["csv_sha256"]
    except FileNotFoundError as error:
        raise StagedBatchError(f"{batch.label} is not finished: {error.filename} is not there") from None
    except OSError as error:
        raise StorageError(f"cannot read {batch.label}: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StagedBatchError(f"{marker} is damaged: {error}") from error
    if sha256(content).hexdigest() != expected:
        raise StagedBatchError(f"{path} is not the file that its marker describes")
    return content


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is: images finished, how many of them failed, and whether it is staged."""

    done: int
    failed: int
    staged: bool


def read_progress(run: RunFolder, batch: BatchRef) -> BatchProgress:
    """How far ``batch`` is, from its marker or, while it runs, from what it reports."""
    for path, staged in ((run.marker(batch.index), True), (run.progress(batch.index), False)):
        try:
            values = json.loads(path.read_bytes())
            return BatchProgress(done=values["images"], failed=values["failed"], staged=staged)
        except (OSError, ValueError, KeyError):
            continue
    return BatchProgress(done=0, failed=0, staged=False)


class BatchStore:
    """Where one batch keeps its finished images, while it runs and afterwards."""

    def __init__(self, run: RunFolder, batch: BatchRef) -> None:
        self._run = run
        self._batch = batch
        self._folder = run.checkpoints(batch.index)
        self._parts = 0

    def resume(self, images: set[int]) -> Readings:
        """What earlier attempts finished and need not be read again, of the ``images`` (dataset rows).

        Of a staged batch, which only a person's clearing runs again, that is what has been read; of an
        unfinished one also what failed for good.
        """
        staged = self._run.staged(self._batch.index)
        parts = sorted(self._folder.glob("part-*.csv"))
        self._parts = 1 + max((int(part.stem.removeprefix("part-")) for part in parts), default=-1)
        # The staged file appears whole, so it is good even when a crash kept its marker from following.
        readings = _load_readings(staged)
        for part in parts:
            readings |= _load_readings(part)
        keep = _was_read if staged.exists() else _is_final
        return {image: pages for image, pages in readings.items() if image in images and all(map(keep, pages))}

    def checkpoint(self, rows: list[ResultRow]) -> None:
        """Write finished images as one more part.

        :raises StorageError: when the file system refuses.
        """
        write_whole(self._folder / f"part-{self._parts:05}.csv", encode_rows(rows))
        self._parts += 1

    def report(self, done: int, failed: int) -> None:
        """Publish how far the batch is, for those who watch the run; :func:`read_progress` reads it."""
        write_whole(self._run.progress(self._batch.index), json.dumps({"images": done, "failed": failed}).encode())

    def finished(self) -> Readings:
        """Everything that was checkpointed, later parts replacing earlier ones."""
        readings: Readings = {}
        for part in sorted(self._folder.glob("part-*.csv")):
            readings |= _load_readings(part)
        return readings

    def stage(self, readings: Readings, *, seconds: float, model: str, resumed: int) -> BatchStatistics:
        """Write the batch's CSV in row order, then its marker; then drop the checkpoints.

        :raises StorageError: when the file system refuses.
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
            model=model,
            resumed=resumed,
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            csv_sha256=sha256(content).hexdigest(),
        )
        write_whole(self._run.staged(self._batch.index), content)
        write_whole(self._run.marker(self._batch.index), json.dumps(asdict(statistics), indent=1).encode())
        shutil.rmtree(self._folder, ignore_errors=True)
        return statistics


def _load_readings(path: Path) -> Readings:
    """The images in ``path``; none when it is absent or damaged, since they can be read again."""
    if is_temporary(path):
        return {}
    try:
        return by_image(decode_rows(path.read_bytes(), path))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error}") from error
    except OcrPipelineError:
        return {}


def _was_read(row: ResultRow) -> bool:
    return not row.status.failed


def _is_final(row: ResultRow) -> bool:
    return row.error is None or not ErrorCategory(row.error).retryable
