"""The types that cross a boundary between stages, and the columns of the results.

Data flows one way: ``ImageRef`` (a link of the dataset) -> ``FetchedImage`` (its bytes) -> ``Page`` (its
pixels) -> ``PageText`` (its text) -> ``ResultRow`` (its row in the results). What fails on the way is a ``Failure`` or
an ``UnreadablePage``, and then a row all the same.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias, get_type_hints

from ocr_pipeline.errors import ErrorCategory, ImageError, PlanError, Status, WarningCategory

if TYPE_CHECKING:  # loading it takes a quarter of what a process takes to start that only fetches
    import numpy as np
    import numpy.typing as npt

Pixels: TypeAlias = "npt.NDArray[np.uint8]"
"""An image in memory: uint8, height x width x 3, channels in the order blue, green, red."""

Rows: TypeAlias = "npt.NDArray[np.int64]"
"""Numbers of rows of the dataset, from 0; int64 of shape (rows,)."""

ROW = "ocr_row"
READ_ROW = "ocr_read_row"
"""Columns that the plan adds to the dataset's own: a row's number, and the row whose reading it shares."""

Quad = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
"""A quadrilateral as (x, y) corners in pixels of the original image, clockwise from where reading starts."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image to read: the first row of the dataset that links to it, and the link as it stands there."""

    row: int
    link: str


@dataclass(frozen=True, slots=True)
class BatchRef:
    """A batch of the plan.

    ``run`` is the URI of the run's folder, ``index`` the batch's number, ``first_row`` the dataset row it starts with,
    ``rows`` how many rows it covers and ``images`` how many of those are to be read (the rest repeat a link
    that is read elsewhere).
    """

    run: str
    index: int
    first_row: int
    rows: int
    images: int

    @classmethod
    def parse(cls, run: str, text: str) -> BatchRef:
        """The batch of ``run`` that has this :attr:`text`.

        :raises PlanError: when no batch has it.
        """
        try:
            index, first_row, rows, images = map(int, text.split())
        except (AttributeError, ValueError):
            raise PlanError(f"{text!r} is no batch of {run}: clear the plan task") from None
        return cls(run, index, first_row, rows, images)

    @property
    def text(self) -> str:
        """Its numbers as a text, which is small enough to be mapped over; see decision 1."""
        return f"{self.index} {self.first_row} {self.rows} {self.images}"

    @property
    def label(self) -> str:
        """How people see the batch: its number and its rows, counted from 1."""
        if not self.rows:
            return f"batch {self.index} (no rows)"
        return f"batch {self.index} (rows {self.first_row + 1:,} to {self.first_row + self.rows:,})"

    @property
    def span(self) -> str:
        """Its rows in short, counted from 1."""
        first, last = self.first_row + 1, self.first_row + self.rows
        if not self.rows:
            return "no rows"
        return f"row {first:,}" if first == last else f"rows {first:,}–{last:,}"


@dataclass(frozen=True, slots=True)
class FetchedImage:
    """The bytes behind a link. ``seconds`` is the time from first request to last byte, retries included."""

    ref: ImageRef
    body: bytes
    sha256: str
    http_status: int | None
    attempts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image gave no bytes. ``attempts`` and ``seconds`` count every try."""

    ref: ImageRef
    category: ErrorCategory
    detail: str
    http_status: int | None = None
    attempts: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PageWarning:
    """What may be wrong with a page that was read: its kind, and for people what exactly and what to do."""

    category: WarningCategory
    detail: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an image, upright as its file says (EXIF applied), transparency resolved.

    ``number`` counts from 0; ``pixels`` is BGR uint8 of shape (height, width, 3); ``warnings`` say what may be missing
    from them; ``full_size`` is the page's own width and height where ``pixels`` show it reduced.
    """

    number: int
    pixels: Pixels
    warnings: tuple[PageWarning, ...] = ()
    full_size: tuple[int, int] | None = None

    @property
    def width(self) -> int:
        """Width of ``pixels``."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height of ``pixels``."""
        return int(self.pixels.shape[0])


@dataclass(frozen=True, slots=True)
class UnreadablePage:
    """A page of an image that could not be decoded, and why; ``number`` counts from 0."""

    number: int
    error: ImageError


@dataclass(frozen=True, slots=True)
class TextWord:
    """A word of a line: what it says, how sure the recogniser is (0 to 1), and where it stands."""

    text: str
    confidence: float
    quad: Quad


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of text: what it says, how sure the recogniser is (0 to 1), and where it stands.

    ``words`` are its words in the order of reading, where they were asked for. Lines that belong together, those of a
    paragraph, a cell or a list, have the same ``block``, counted from 0 in the order of reading.
    """

    text: str
    confidence: float
    quad: Quad
    words: tuple[TextWord, ...] = ()
    block: int = 0

    def scaled(self, x: float, y: float) -> TextLine:
        """The line on a page that is ``x`` times as wide and ``y`` times as high."""
        words = tuple(replace(word, quad=_scaled(word.quad, x, y)) for word in self.words)
        return replace(self, quad=_scaled(self.quad, x, y), words=words)


def _scaled(quad: Quad, x: float, y: float) -> Quad:
    (a, b), (c, d), (e, f), (g, h) = quad
    return ((a * x, b * y), (c * x, d * y), (e * x, f * y), (g * x, h * y))


@dataclass(frozen=True, slots=True)
class PageText:
    """The lines of one page in reading order; ``warnings`` say why not to trust them."""

    lines: tuple[TextLine, ...]
    warnings: tuple[PageWarning, ...] = ()

    @property
    def text(self) -> str:
        """The page's text, a line each, and an empty line between blocks."""
        blocks = itertools.groupby(self.lines, key=lambda line: line.block)
        return "\n\n".join("\n".join(line.text for line in block) for _, block in blocks)

    @property
    def confidence(self) -> float | None:
        """Mean confidence of the lines, each weighted by its number of characters; None without text."""
        characters = sum(len(line.text) for line in self.lines)
        if not characters:
            return None
        return sum(line.confidence * len(line.text) for line in self.lines) / characters

    def lines_json(self) -> str:
        """The lines as the ``ocr_lines`` column holds them."""
        return json.dumps(
            [
                _described(line)
                | {"block": line.block}
                | ({"words": [_described(word) for word in line.words]} if line.words else {})
                for line in self.lines
            ],
            ensure_ascii=False,
            separators=(",", ":"),
        )


def _described(part: TextLine | TextWord) -> dict[str, Any]:
    return {
        "text": part.text,
        "confidence": round(part.confidence, 4),
        "quad": [[round(x, 1), round(y, 1)] for x, y in part.quad],
    }


def json_text(value: object, default: Callable[[object], object] | None = None) -> str:
    """``value`` as JSON, which has no word for what is no number or infinite: null stands for it.

    :param default: makes what JSON knows of what it does not.
    """
    try:
        return json.dumps(value, ensure_ascii=False, default=default, allow_nan=False)
    except ValueError:
        return json.dumps(_without_nan(value), ensure_ascii=False, default=default)


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _column(meaning: str) -> Any:
    """A field of :class:`ResultRow` with what the documentation says of it."""
    return field(metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One page of one image in the results; each field ``x`` below is the column ``ocr_x``.

    ``row`` is the dataset row the image was read for. It orders and joins the rows and is not a column.
    """

    row: int
    status: Status = _column("what became of the page, one of the statuses below; `ok` when it was read and has text")
    text: str = _column(
        "the page's text in reading order, a line each, with an empty line between blocks such as paragraphs; "
        "empty without text"
    )
    confidence: float | None = _column("mean confidence of the lines, 0 to 1, weighted by their length")
    lines: str = _column(
        "JSON list of the lines: `text`, `confidence`, `quad` (four x, y corners in pixels), `block` (a number for the "
        "lines of a paragraph, cell or list); "
        "with the setting `words` also `words`, a list of the same three"
    )
    page: int = _column("page number within the image, from 0")
    width: int | None = _column("width of the page in pixels, upright")
    height: int | None = _column("height of the page in pixels, upright")
    bytes: int | None = _column("size of the image file")
    sha256: str | None = _column("SHA-256 of the image file")
    error: str | None = _column("category of the failure, one of those below; empty when there is none")
    error_detail: str | None = _column("what exactly went wrong; of a `known` image, the run that has read it")
    warning: str | None = _column(
        "what may be wrong with a page that was read, one or more of the warnings below, joined by commas"
    )
    warning_detail: str | None = _column("what exactly may be wrong, and what to do about it")
    http_status: int | None = _column("last HTTP status; empty for files")
    attempts: int = _column("how often the image was requested")
    fetch_seconds: float = _column("time to fetch the image, retries included")
    read_seconds: float = _column("time to decode and read the page")
    model: str | None = _column("engine and model that read the page, such as `openvino/PP-OCRv6_small`")

    @property
    def warnings(self) -> list[str]:
        """Each of its warnings."""
        return self.warning.split(",") if self.warning else []


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column that the pipeline adds: its name, its Python type, and what it means."""

    name: str
    field: str
    type: type
    nullable: bool
    meaning: str


def _result_columns() -> Iterator[ResultColumn]:
    hints = get_type_hints(ResultRow)
    for item in fields(ResultRow):
        if not item.metadata:
            continue
        options = getattr(hints[item.name], "__args__", (hints[item.name],))
        kind = options[0]
        yield ResultColumn(
            name=f"ocr_{item.name}",
            field=item.name,
            type=str if issubclass(kind, str) else kind,
            nullable=len(options) > 1,
            meaning=item.metadata["meaning"],
        )


RESULT_COLUMNS: tuple[ResultColumn, ...] = tuple(_result_columns())
"""The output contract: the columns that the results add to the dataset's own, in their order."""


def read_row(image: FetchedImage, page: Page, text: PageText, seconds: float, model: str) -> ResultRow:
    """The row of a page that was read, with or without text."""
    warnings = page.warnings + text.warnings
    width, height = _own_size(page)
    if page.full_size is not None:
        x, y = width / page.width, height / page.height
        text = replace(text, lines=tuple(line.scaled(x, y) for line in text.lines))
    return ResultRow(
        row=image.ref.row,
        status=Status.OK if text.lines else Status.NO_TEXT,
        text=text.text,
        confidence=text.confidence,
        lines=text.lines_json(),
        page=page.number,
        width=width,
        height=height,
        bytes=len(image.body),
        sha256=image.sha256,
        error=None,
        error_detail=None,
        warning=",".join(dict.fromkeys(warning.category for warning in warnings)) or None,
        warning_detail=" ".join(warning.detail for warning in warnings) or None,
        http_status=image.http_status,
        attempts=image.attempts,
        fetch_seconds=image.seconds,
        read_seconds=seconds,
        model=model,
    )


def _own_size(page: Page) -> tuple[int, int]:
    """Width and height of a page as its file has it."""
    return page.full_size or (page.width, page.height)


def unread_row(image: FetchedImage, error: ImageError, number: int, page: Page | None, seconds: float) -> ResultRow:
    """The placeholder of an image that was fetched but could not be decoded or read.

    ``number`` is the page that failed; ``page`` its pixels when decoding had come that far.
    """
    width, height = _own_size(page) if page else (None, None)
    return ResultRow(
        row=image.ref.row,
        status=error.category.status,
        text="",
        confidence=None,
        lines="[]",
        page=number,
        width=width,
        height=height,
        bytes=len(image.body),
        sha256=image.sha256,
        error=error.category.value,
        error_detail=error.detail,
        warning=None,
        warning_detail=None,
        http_status=image.http_status,
        attempts=image.attempts,
        fetch_seconds=image.seconds,
        read_seconds=seconds,
        model=None,
    )


def unfetched_row(failure: Failure) -> ResultRow:
    """The placeholder of an image whose bytes never came."""
    return ResultRow(
        row=failure.ref.row,
        status=failure.category.status,
        text="",
        confidence=None,
        lines="[]",
        page=0,
        width=None,
        height=None,
        bytes=None,
        sha256=None,
        error=failure.category.value,
        error_detail=failure.detail,
        warning=None,
        warning_detail=None,
        http_status=failure.http_status,
        attempts=failure.attempts,
        fetch_seconds=failure.seconds,
        read_seconds=0.0,
        model=None,
    )


def unfinished_row(row: int, detail: str) -> ResultRow:
    """The placeholder of an image that was not read because its batch never finished."""
    return unfetched_row(Failure(ImageRef(row, ""), ErrorCategory.BATCH_UNFINISHED, detail))


def known_content_row(image: FetchedImage) -> ResultRow:
    """The row of an image that was fetched and is not read because an earlier run has read the same bytes."""
    return replace(
        known_row(image.ref.row, ""),
        bytes=len(image.body),
        sha256=image.sha256,
        error_detail="an earlier run has read the same bytes",
        http_status=image.http_status,
        attempts=image.attempts,
        fetch_seconds=image.seconds,
    )


def known_row(row: int, run: str) -> ResultRow:
    """The row of an image that is not read because ``run`` has read it."""
    return ResultRow(
        row=row,
        status=Status.KNOWN,
        text="",
        confidence=None,
        lines="[]",
        page=0,
        width=None,
        height=None,
        bytes=None,
        sha256=None,
        error=None,
        error_detail=f"read by the run {run}",
        warning=None,
        warning_detail=None,
        http_status=None,
        attempts=0,
        fetch_seconds=0.0,
        read_seconds=0.0,
        model=None,
    )
