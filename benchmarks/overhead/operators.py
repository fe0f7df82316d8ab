"""The task that reads a batch, with an engine that has nothing to do."""

from __future__ import annotations

from benchmarks.operators import OtherReaderOperator
from ocr_pipeline.reading.previews import PreviewWriter
from ocr_pipeline.reading.reader import ReaderProcess
from ocr_pipeline.reading.stream import ImageReader
from ocr_pipeline.settings.run import ReadSettings


class NullReadBatchOperator(OtherReaderOperator):
    """Reads a batch as a run does, but for the engine."""

    @staticmethod
    def open_reader(settings: ReadSettings, previews: PreviewWriter) -> ImageReader:
        """A process as a run has it."""
        return ReaderProcess(settings, previews, engine="benchmarks.overhead.engine:NullEngine")
