"""The task that reads a batch, with a reader that has nothing to do and needs no process of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from benchmarks.operators import OtherReaderOperator
from ocr_pipeline.errors import Status
from ocr_pipeline.reading.meter import ReaderState
from ocr_pipeline.reading.previews import PreviewWriter
from ocr_pipeline.reading.stream import ImageReader
from ocr_pipeline.records import FetchedImage, ResultRow
from ocr_pipeline.settings.run import ReadSettings


class _NullReader:
    state = ReaderState()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        pass

    async def ready(self, compiling: Callable[[], None]) -> int:
        return 1

    async def read(self, image: FetchedImage) -> list[ResultRow]:
        row = ResultRow(
            row=image.ref.row, status=Status.NO_TEXT, text="", confidence=None, lines="[]",
            page=0, width=1, height=1, bytes=len(image.body), sha256=image.sha256, error=None, error_detail=None,
            warning=None, warning_detail=None, http_status=image.http_status, attempts=image.attempts,
            fetch_seconds=image.seconds, read_seconds=0.0, model="null/null",
        )  # fmt: skip
        return [row]


class NullReadBatchOperator(OtherReaderOperator):
    """Fetches and stages a batch as a run does, and reads nothing."""

    @staticmethod
    def open_reader(settings: ReadSettings, previews: PreviewWriter) -> ImageReader:
        """One in this process."""
        return _NullReader()
