"""A batch that is staged: a CSV file of result rows, whole, and its marker, written last; and how far one is.

A staged batch counts as done when its marker carries the digest of the batch, as the plan has it, and the digest of
exactly that file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ocr_pipeline.errors import StagedBatchError, StorageError
from ocr_pipeline.records import BatchRef, ResultRow
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.rows import read_rows

READING = "fetching and reading"
"""What a batch does once it has all that it needs; what it does before that takes seconds."""

_HASHED_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """What a staged batch holds; the content of its marker.

    ``digest`` is that of the batch's plan, ``failed`` counts images with a page that failed, ``statuses``,
    ``errors`` and ``warnings`` count pages, ``bytes`` adds up the image files, ``models`` name the engines and models
    that read, ``resumed`` counts images that earlier attempts had finished.
    """

    index: int
    digest: str
    images: int
    failed: int
    pages: int
    statuses: dict[str, int]
    errors: dict[str, int]
    warnings: dict[str, int]
    bytes: int
    seconds: float
    models: list[str]
    resumed: int
    finished_at: str
    csv_sha256: str


@dataclass(frozen=True, slots=True)
class StagedBatch:
    """A file of rows on the local disk, the images in order of their rows, and what its marker says of it."""

    path: Path
    images: int
    seconds: float
    models: tuple[str, ...]


@contextmanager
def open_staged(run: RunFolder, batch: BatchRef, digest: str) -> Iterator[StagedBatch]:
    """The file of a batch that is done, for the time of a ``with`` block.

    :param digest: of the batch, as the plan has it.
    :raises StagedBatchError: when the batch is not staged, is that of another plan, or its file and its marker
        disagree.
    :raises StorageError: when they cannot be read.
    """
    staged, marker = run.staged(batch.index), run.marker(batch.index)
    with ExitStack() as files:
        try:
            statistics = BatchStatistics(**json.loads(marker.read_bytes()))
            path = files.enter_context(staged.reading())
        except FileNotFoundError:
            raise StagedBatchError(f"{batch.label} is not finished: {staged} or its marker is not there") from None
        except (ValueError, TypeError) as error:
            raise StagedBatchError(f"{marker} is damaged: {error}") from error
        if statistics.digest != digest:
            raise StagedBatchError(f"{batch.label} was staged for another plan: {staged}")
        if _sha256(path) != statistics.csv_sha256:
            raise StagedBatchError(f"{staged} is not the file that its marker describes")
        yield StagedBatch(path, statistics.images, statistics.seconds, tuple(statistics.models))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_HASHED_AT_ONCE):
            digest.update(part)
    return digest.hexdigest()


def load_staged(run: RunFolder, batch: BatchRef, digest: str) -> list[ResultRow]:
    """The rows of a batch that is done, all at once.

    :raises StagedBatchError: as :func:`open_staged`.
    :raises StorageError: when they cannot be read.
    """
    with open_staged(run, batch, digest) as staged:
        return list(read_rows(staged.path, run.staged(batch.index)))


def read_statistics(run: RunFolder, batch: BatchRef, digest: str) -> BatchStatistics | None:
    """What the marker of a batch says; None when the batch is not staged, or for another plan.

    :param digest: of the batch, as the plan has it.
    :raises StorageError: when it cannot be read.
    """
    try:
        statistics = BatchStatistics(**json.loads(run.marker(batch.index).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return statistics if statistics.digest == digest else None


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is; while it runs, the content of ``progress.json``.

    ``done`` counts the images of ``total`` that are finished, ``failed`` those of them with a page that failed,
    ``known`` those that an earlier run has read. ``doing`` says what the batch does now, for people.
    ``images_per_second`` is that of the last minute and ``seconds_left`` follows from it; both are None while there is
    nothing to tell them from. ``slowest_hosts`` has the mean seconds that an image took to fetch, the slowest host
    first. ``error`` is what ended an attempt.
    """

    done: int = 0
    failed: int = 0
    total: int = 0
    known: int = 0
    staged: bool = False
    doing: str = ""
    images_per_second: float | None = None
    seconds_left: float | None = None
    slowest_hosts: dict[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def outcome(self) -> str:
        """What has come of the images, in short."""
        if not self.total:
            return "nothing to read"
        if self.done < self.total:
            return f"{self.done:,} of {self.total:,} finished, {self.failed:,} failed"
        others = {"failed": self.failed, "known": self.known}
        counts = {"read": self.total - sum(others.values())} | {name: count for name, count in others.items() if count}
        return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def read_progress(run: RunFolder, batch: BatchRef) -> BatchProgress:
    """How far ``batch`` is, from its marker or, while it runs, from what it reports."""
    with suppress(FileNotFoundError, StorageError, ValueError, KeyError):
        marker = json.loads(run.marker(batch.index).read_bytes())
        return BatchProgress(marker["images"], marker["failed"], marker["images"], staged=True)
    with suppress(FileNotFoundError, StorageError, ValueError, TypeError):
        return BatchProgress(**json.loads(run.progress(batch.index).read_bytes()))
    return BatchProgress()
