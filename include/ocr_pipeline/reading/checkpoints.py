"""Writing down what a batch has finished, while it goes on."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor

from ocr_pipeline.reading.progress import Progress
from ocr_pipeline.records import ResultRow
from ocr_pipeline.run.staging import BatchStore

CHECKPOINT_SECONDS = 3.0
"""How often finished images are written down: what a kill can cost."""


class CheckpointWriter:
    """Writes finished images to the batch's store every few seconds, in a thread of its own: a store may be slow.

    :param progress: what is reported with each checkpoint to those who watch the run.
    :param seconds: how often to write.
    """

    def __init__(self, store: BatchStore, progress: Progress, seconds: float = CHECKPOINT_SECONDS) -> None:
        self._store = store
        self._seconds = seconds
        self._progress = progress
        self._unwritten: list[ResultRow] = []
        # Only the one thread of this pool writes, and holds what it could not write so far.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._held: list[ResultRow] = []

    def add(self, rows: list[ResultRow]) -> None:
        """Take the rows of a finished image."""
        self._unwritten.extend(rows)

    async def keep_writing(self) -> None:
        """Write what was added, again and again, until cancelled.

        :raises StorageError: when it cannot be written.
        """
        while True:
            await asyncio.sleep(self._seconds)
            await asyncio.shield(asyncio.wrap_future(self._submit()))

    def close(self) -> None:
        """Write what is left, and end the thread.

        :raises StorageError: when it cannot be written.
        """
        try:
            self._submit().result()
        finally:
            self._writer.shutdown()

    def _submit(self) -> Future[None]:
        """Have what was added written down after what was before."""
        rows, self._unwritten = self._unwritten, []
        return self._writer.submit(self._write, rows, self._progress.done, self._progress.failed)

    def _write(self, rows: list[ResultRow], done: int, failed: int) -> None:
        self._held.extend(rows)
        if self._held:
            self._store.checkpoint(self._held)
            self._held = []
        self._store.report(done, failed)
