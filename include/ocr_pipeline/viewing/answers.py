"""What the results answer: the run as a whole, its batches and hosts, rows of the table, one page with everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from ocr_pipeline.errors import ErrorCategory, Status, WarningCategory
from ocr_pipeline.records import BatchRef, ResultRow, TextLine
from ocr_pipeline.run.staging import BatchProgress
from ocr_pipeline.run.summary import UnfinishedBatch
from ocr_pipeline.storage.folders import StoredFile


class RunState(StrEnum):
    """How far a run is."""

    WAITING = "waiting"  # no batch has begun
    READING = "reading"
    READ = "read"  # every batch is staged; the results are not merged yet
    MERGED = "merged"
    INCOMPLETE = "incomplete"  # merged, and batches did not finish
    FAILED = "failed"  # merged, and more failed than the run allows


class BatchState(StrEnum):
    """How far a batch is."""

    WAITING = "waiting"
    RUNNING = "running"
    STAGED = "staged"
    UNFINISHED = "unfinished"  # an error ended it, or the merge found it not as planned


@dataclass(frozen=True, slots=True)
class ChangedSetting:
    """A setting of the run that differs from its default, which is None where there is none."""

    name: str
    title: str
    value: Any
    default: Any


@dataclass(frozen=True, slots=True)
class FileOverview:
    """A file of the run's folder that people open: its name in the folder, and its size in bytes."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Overview:
    """A run as a whole.

    ``rows`` counts those of the dataset, ``rejected`` those that were left out because they could not be read,
    ``images`` the distinct links to read, ``known`` those that earlier runs have read; ``done`` and ``failed`` how many
    of the images are finished, and of those the ones that failed. ``pages`` counts the rows of the results, one a page,
    and of these ``statuses`` each status, ``errors`` each category of failure and ``warnings`` each warning, the most
    frequent first; while the run goes on, all of them of the batches that are staged. ``bytes`` adds up the image
    files. ``seconds`` is the work of all batches added up. The first began at ``started_at``, the last ended at
    ``finished_at``, both known once a batch is staged; while any of them was at work they read ``images_per_second``.
    ``settings`` are those that differ from their defaults. ``problem`` says why a merged run is no success.
    ``trimmed_at`` is when what retries need was removed, if it was.
    """

    name: str
    uri: str
    state: RunState
    dataset: str
    image_column: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    merged_at: datetime | None
    trimmed_at: datetime | None
    batches: int
    rows: int
    rejected: int
    images: int
    known: int
    done: int
    failed: int
    pages: int
    statuses: Mapping[str, int]
    errors: Mapping[str, int]
    warnings: Mapping[str, int]
    bytes: int
    seconds: float
    images_per_second: float | None
    models: tuple[str, ...]
    settings: tuple[ChangedSetting, ...]
    unfinished: tuple[UnfinishedBatch, ...]
    problem: str
    files: tuple[FileOverview, ...]

    @property
    def merged(self) -> bool:
        """Whether there are results."""
        return self.state in (RunState.MERGED, RunState.INCOMPLETE, RunState.FAILED)


@dataclass(frozen=True, slots=True)
class BatchOverview:
    """A batch of the plan.

    Of its ``total`` images, ``done`` are finished and ``failed`` of these have a page that failed. ``error`` says what
    ended it. When it is staged, ``pages``, ``bytes``, the counts of its pages, and when it ``finished_at`` after how
    many ``seconds`` are known; else they are 0, empty and None. While it runs, ``now`` is what it reports.
    """

    batch: BatchRef
    state: BatchState
    total: int
    done: int
    failed: int
    error: str
    pages: int
    bytes: int
    statuses: Mapping[str, int]
    errors: Mapping[str, int]
    warnings: Mapping[str, int]
    models: tuple[str, ...]
    seconds: float
    finished_at: datetime | None
    resumed: int
    now: BatchProgress | None

    @property
    def label(self) -> str:
        """How people see it: its number and its rows, counted from 1."""
        return self.batch.label

    @property
    def images_per_second(self) -> float | None:
        """How fast its last attempt read; None before it is staged."""
        read = self.total - self.resumed
        return read / self.seconds if self.seconds and self.finished_at and read > 0 else None


@dataclass(frozen=True, slots=True)
class RowFound:
    """A row of the results in short: a page of an image. Rows and pages count from 0.

    ``beginning`` is how its text begins, on one line. ``host`` is empty for a file.
    """

    row: int
    page: int
    batch: int
    link: str
    host: str
    status: Status
    error: str | None
    warnings: tuple[str, ...]
    confidence: float | None
    bytes: int | None
    fetch_seconds: float
    read_seconds: float
    beginning: str


@dataclass(frozen=True, slots=True)
class RowsFound:
    """Rows that were asked for, and how many there are in ``total``.

    Looking takes no longer than it may: ``searched`` of the ``of`` rows there are were looked at, and the answer is
    about these. While a run goes on, the rows there are are those of the batches that are staged.
    """

    rows: tuple[RowFound, ...]
    total: int
    searched: int
    of: int

    @property
    def complete(self) -> bool:
        """Whether every row was looked at."""
        return self.searched >= self.of


@dataclass(frozen=True, slots=True)
class HostOverview:
    """What became of the pages from one host: how many, how many failed, and why."""

    host: str
    pages: int
    failed: int
    errors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often values lie between neighbouring ``edges``, the lower one included; one more edge than ``counts``.

    The last edge is infinite where there is no greatest.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Distributions:
    """Of the pages that were read: confidence, and seconds to fetch (those fetched) and to read."""

    confidence: Histogram
    fetch_seconds: Histogram
    read_seconds: Histogram


@dataclass(frozen=True, slots=True)
class PageRef:
    """A page of an image: a row of the dataset and the number of the page, both from 0."""

    row: int
    page: int


@dataclass(frozen=True, slots=True)
class Record:
    """Everything of one page.

    ``result`` has the columns of the contract; its ``row`` is the one that was read, an earlier one where the link
    repeats. ``lines`` are those of ``result.lines``. ``own`` are the dataset's own columns in their order, whatever
    their types. ``url`` is where the link leads, if to a web page that may be opened: ``http`` or ``https``, without
    credentials. ``pages`` counts those of the image, and ``previous`` and ``following`` are the neighbours in the
    results. ``preview`` is where a picture of the page would be, which need not be there.
    """

    row: int
    page: int
    pages: int
    batch: int
    link: str
    url: str | None
    result: ResultRow
    lines: tuple[TextLine, ...]
    own: Mapping[str, Any]
    previous: PageRef | None
    following: PageRef | None
    preview: StoredFile


@dataclass(frozen=True, slots=True)
class Example:
    """A row that failed or has a warning, and what exactly is wrong with it."""

    row: RowFound
    detail: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A category of failure or a warning: how many pages have it, and the first of them."""

    category: ErrorCategory | WarningCategory
    pages: int
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Problems:
    """What is wrong with pages, the most frequent first."""

    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class GalleryPage:
    """A page to look at: its size in pixels, its lines, and a picture of it as WebP, if there is one."""

    row: RowFound
    width: int
    height: int
    text: str
    lines: tuple[TextLine, ...]
    picture: bytes | None


@dataclass(frozen=True, slots=True)
class Gallery:
    """Pages with text: those that the model was most and least sure of, and some of all."""

    best: tuple[GalleryPage, ...]
    worst: tuple[GalleryPage, ...]
    random: tuple[GalleryPage, ...]
