"""Pictures of pages, kept beside the results for people who look at them.

They are a help and never a reason for a batch to fail: what cannot be written is left out, and so is what comes when
there are enough.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from ocr_pipeline.errors import StorageError
from ocr_pipeline.records import ResultRow
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.run import Previews, PreviewSettings

log = logging.getLogger(__name__)

_THREADS = 4
_MOST_WAITING = 200


class PreviewWriter:
    """Writes pictures into the folder of a run, beside what a batch does. A context manager.

    :param share: of the bytes that the run may keep, that of the batch.
    """

    def __init__(self, run: RunFolder, settings: PreviewSettings, share: float) -> None:
        self.previews: Previews = settings.previews
        self._run = run
        self._left = settings.preview_bytes * share
        self._waiting = threading.Semaphore(_MOST_WAITING)
        self._failed = False

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="preview")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Those of a batch that was stopped are made again when it goes on.
        self._threads.shutdown(wait=error is None, cancel_futures=error is not None)

    def add(self, row: ResultRow, picture: bytes) -> None:
        """Have the picture of the page with this row written, if there is room for it."""
        if len(picture) > self._left or not self._waiting.acquire(blocking=False):
            return
        self._left -= len(picture)
        # In a copy of the context, what is logged there names the task, as elsewhere.
        run = contextvars.copy_context().run
        written = self._threads.submit(run, self._write, row.row, row.page, picture)
        written.add_done_callback(lambda written: run(self._done, written))

    def _write(self, row: int, page: int, picture: bytes) -> None:
        self._run.preview(row, page).write_bytes(picture)

    def _done(self, written: Future[None]) -> None:
        self._waiting.release()
        error = None if written.cancelled() else written.exception()
        if error is not None and not self._failed:
            self._failed = True
            reason = error if isinstance(error, StorageError) else f"{type(error).__name__}: {error}"
            log.warning("pictures of pages are missing, as one could not be written: %s", reason)
