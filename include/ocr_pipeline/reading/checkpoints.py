"""Writing down what a batch has finished, while it goes on."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import Future, ThreadPoolExecutor

from ocr_pipeline.reading.progress import Progress
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.staging import BatchProgress

CHECKPOINT_SECONDS = 3.0
"""How often finished images are written down: what a kill can cost."""


class CheckpointWriter:
    """Checkpoints a batch's store every few seconds, in a thread of its own, as writing may be slow.

    :param progress: what is reported with each checkpoint to those who watch the run.
    :param seconds: how often to write.
    """

    def __init__(self, store: BatchStore, progress: Progress, seconds: float = CHECKPOINT_SECONDS) -> None:
        self._store = store
        self._progress = progress
        self._seconds = seconds
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")

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
        """Have what was added written after what was before."""
        # In a copy of the context, what is logged there names the task, as elsewhere.
        return self._writer.submit(contextvars.copy_context().run, self._write, self._progress.look())

    def _write(self, progress: BatchProgress) -> None:
        self._store.checkpoint()
        self._store.report(progress)
