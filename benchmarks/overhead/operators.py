"""The task that reads a batch, with an engine that has nothing to do."""

from __future__ import annotations

from functools import partial
from typing import Any

from ocr_airflow.operators import ReadBatchOperator
from ocr_pipeline.reading import batch
from ocr_pipeline.reading.reader import ReaderProcess


class _NullBatch(batch.Batch):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        reader = partial(ReaderProcess, engine="benchmarks.overhead.engine:NullEngine")
        super().__init__(*arguments, **options | {"reader": reader})


class NullReadBatchOperator(ReadBatchOperator):
    """Reads a batch as a run does, but for the engine."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Read the batch; returns its counts."""
        batch.Batch = _NullBatch  # type: ignore[misc]  # this process is the task's own
        return super().execute(context)
