"""An engine that reads nothing."""

from __future__ import annotations

import os
from typing import Any

from ocr_airflow.operators import ReadBatchOperator
from ocr_pipeline.reading import batch
from ocr_pipeline.records import Page, PageText, TextLine
from ocr_pipeline.settings.run import ReadSettings

_LINE = TextLine("no text was read", 0.5, ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))


class NullEngine:
    """Finds the same line on every page, at once."""

    model = "null/null"

    def __init__(self, settings: ReadSettings) -> None:
        self.threads = settings.threads or len(os.sched_getaffinity(0))

    def read(self, page: Page) -> PageText:
        """That line."""
        return PageText((_LINE,))

    def close(self) -> None:
        """Nothing to release."""


class _NullBatch(batch.Batch):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options | {"load": NullEngine})


class NullReadBatchOperator(ReadBatchOperator):
    """Reads a batch as a run does, but for the engine."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Read the batch; returns its counts."""
        batch.Batch = _NullBatch  # type: ignore[misc]  # this process is the task's own
        return super().execute(context)
