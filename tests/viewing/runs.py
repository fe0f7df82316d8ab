"""What tests of viewing stage: pages, failures, and batches of them with their indexes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ocr_pipeline.errors import ErrorCategory, Status, WarningCategory
from ocr_pipeline.records import (
    Failure,
    ImageRef,
    PageText,
    ResultRow,
    TextLine,
    unfetched_row,
)
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan, batch_images
from ocr_pipeline.run.staged_index import write_staged_index
from ocr_pipeline.storage.folders import Folder

Readings = Mapping[str, Sequence[ResultRow]]
"""The pages of each link; which row they are for is set when they are staged."""


def line(text: str, confidence: float = 0.9, top: float = 0) -> TextLine:
    """A line that is 100 x 10 pixels large."""
    return TextLine(text, confidence, ((0, top), (100, top), (100, top + 10), (0, top + 10)))


def read_page(
    lines: Iterable[TextLine | str] = ("some text",),
    number: int = 0,
    warnings: Iterable[WarningCategory] = (),
    **values: Any,
) -> ResultRow:
    """A page that was read; ``values`` are other fields."""
    text = PageText(tuple(part if isinstance(part, TextLine) else line(part) for part in lines))
    row = replace(
        unfetched_row(Failure(ImageRef(0, ""), ErrorCategory.NOT_FOUND, "")),
        status=Status.OK if text.lines else Status.NO_TEXT,
        text=text.text, confidence=text.confidence, lines=text.lines_json(),
        page=number, width=100, height=200, bytes=1000, sha256="ab" * 32, error=None, error_detail=None,
        warning=",".join(warnings) or None, warning_detail="what to do about it" if warnings else None,
        http_status=200, attempts=1, fetch_seconds=0.25, read_seconds=0.5, model="test/engine",
    )  # fmt: skip
    return replace(row, **values)


def failed(category: ErrorCategory = ErrorCategory.NOT_FOUND, detail: str = "HTTP 404") -> list[ResultRow]:
    """An image that could not be had."""
    return [unfetched_row(Failure(ImageRef(0, ""), category, detail, 404, 1, 0.125))]


def stage(run: RunFolder, plan: Plan, readings: Readings, leave_out: Sequence[int] = ()) -> None:
    """Stage the batches of a plan, with their indexes."""
    for batch in plan.batches:
        if batch.index in leave_out:
            continue
        with BatchStore(run, batch, plan.digests[batch.index]) as store:
            images = batch_images(run, batch, plan)
            for image in images:
                store.add([replace(page, row=image.row) for page in readings[image.link]])
            statistics = store.stage((image.row for image in images), seconds=2.0, resumed=0)
        write_staged_index(run, batch, plan, statistics)


def all_versions(folder: Folder) -> dict[str, str]:
    """Every file in a folder, however deep, with the mark of its version."""
    found = {f"{folder.uri}/{name}": version.mark for name, version in folder.versions().items()}
    for name in folder.folders():
        found |= all_versions(folder.folder(name))
    return found
