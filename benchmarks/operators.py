"""The task that reads a batch, with another reader than a run has."""

from __future__ import annotations

from functools import partial
from typing import Any

from ocr_airflow.operators import ReadBatchOperator
from ocr_pipeline.reading import batch
from ocr_pipeline.reading.previews import PreviewWriter
from ocr_pipeline.reading.stream import ImageReader
from ocr_pipeline.settings.run import ReadSettings


class OtherReaderOperator(ReadBatchOperator):
    """Fetches and stages a batch as a run does; what reads it is for subclasses to say."""

    @staticmethod
    def open_reader(settings: ReadSettings, previews: PreviewWriter) -> ImageReader:
        """What is to read the images of a batch; not yet entered."""
        raise NotImplementedError

    def execute(self, context: Any) -> dict[str, Any]:
        """Read the batch; returns its counts."""
        batch.Batch = partial(batch.Batch, reader=self.open_reader)  # type: ignore[assignment, misc]  # the task's own
        return super().execute(context)
