"""Every metric that is sent, in one table: its name, its kind, its unit, its tags, and what it says.

The documentation, the mapping for Prometheus and the checks of the dashboard and the alerts follow from it. Tags have
few values: names of datasets, engines and models, and categories that are listed in the code; never links, hosts, paths
or runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum


class Kind(StrEnum):
    """How values of a metric add up, as StatsD and OpenTelemetry name it."""

    COUNTER = "counter"
    """Each value is added to those before."""
    GAUGE = "gauge"
    """Each value takes the place of the one before."""


class Tag(StrEnum):
    """What metrics are told apart by, each with its description in the documentation."""

    meaning: str

    def __new__(cls, value: str, meaning: str = "") -> Tag:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    DATASET = "dataset", "the name of the DAG, which for a scheduled dataset is the name of its file"
    ENGINE = "engine", "the engine that read, such as `openvino`; `none` where nothing was read"
    MODEL = "model", "the model that read, such as `PP-OCRv6_small`; `none` where nothing was read"
    STATUS = "status", "what became of the image, a status of the results"
    CATEGORY = "category", "why an image failed, a category of the results; `none` where it did not"
    STAGE = "stage", "`fetching`, `waiting` for a reader, or `reading`"
    OUTCOME = "outcome", "`staged` when the batch was done, else `failed`"


NONE = "none"
"""The value of a tag that does not apply. A name in StatsD has no place for an empty one."""


class Metric(StrEnum):
    """The metrics by name, without Airflow's prefix. ``tags`` are in the order that they have in a plain name."""

    kind: Kind
    unit: str
    tags: tuple[Tag, ...]
    meaning: str

    def __new__(
        cls, value: str, kind: Kind = Kind.COUNTER, unit: str = "", tags: tuple[Tag, ...] = (), meaning: str = ""
    ) -> Metric:
        member = str.__new__(cls, value)
        member._value_ = value
        member.kind = kind
        member.unit = unit
        member.tags = (Tag.DATASET, *tags)
        member.meaning = meaning
        return member

    IMAGES = (
        "ocr.images",
        Kind.COUNTER,
        "images",
        (Tag.ENGINE, Tag.MODEL, Tag.STATUS, Tag.CATEGORY),
        "images that are finished, by what became of them; a document counts once, and as failed if a page did",
    )
    PAGES = "ocr.pages", Kind.COUNTER, "pages", (Tag.ENGINE, Tag.MODEL), "pages that were read, with or without text"
    FETCH_REQUESTS = "ocr.fetch.requests", Kind.COUNTER, "requests", (), "requests for images, retries included"
    FETCH_BYTES = "ocr.fetch.bytes", Kind.COUNTER, "bytes", (), "bytes of images that were fetched"
    FETCH_TIME = (
        "ocr.fetch.milliseconds",
        Kind.COUNTER,
        "milliseconds",
        (),
        "time that fetching images took, pauses between retries included; many are fetched at once",
    )
    READ_TIME = (
        "ocr.read.milliseconds",
        Kind.COUNTER,
        "milliseconds",
        (Tag.ENGINE, Tag.MODEL),
        "time that decoding and reading these pages took; as many are read at once as there are threads",
    )
    READER_RESTARTS = (
        "ocr.reader.restarts",
        Kind.COUNTER,
        "processes",
        (),
        "reader processes that crashed, hung or took too much memory, so that another was started",
    )
    BATCHES = "ocr.batches", Kind.COUNTER, "batches", (Tag.OUTCOME,), "attempts to read a batch that have ended"
    QUEUE = "ocr.queue.images", Kind.GAUGE, "images", (Tag.STAGE,), "images of a batch that are on their way"
    RATE = "ocr.batch.images_per_second", Kind.GAUGE, "images/s", (), "images that a batch finished a second, of late"
    IDLE = (
        "ocr.batch.idle_seconds",
        Kind.GAUGE,
        "seconds",
        (),
        "how long ago the last image of a batch was fetched or finished",
    )
    MEMORY = (
        "ocr.reader.memory_bytes",
        Kind.GAUGE,
        "bytes",
        (),
        "memory that the reader process nearest to its limit held, the most since the last report",
    )
    MEMORY_LIMIT = (
        "ocr.reader.memory_limit_bytes",
        Kind.GAUGE,
        "bytes",
        (),
        "memory at which that process is ended; not sent where it reads on a GPU",
    )
    MISSING = "ocr.dataset.missing", Kind.COUNTER, "runs", (), "runs that waited in vain for their dataset"
    NEXT_DUE = (
        "ocr.dataset.next_due_timestamp_seconds",
        Kind.GAUGE,
        "seconds since 1970",
        (),
        "when the data interval ends that comes after the one whose results are whole; sent by scheduled datasets",
    )


Send = Callable[[Metric, float, Mapping[Tag, str]], None]
"""Takes a value of a metric, with its tags except the dataset, which who takes it knows."""
