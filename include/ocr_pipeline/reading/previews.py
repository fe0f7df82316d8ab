"""Pictures of pages, kept beside the results for people who look at them.

They are a help and never a reason for a batch to fail: what cannot be written is left out, and so is what comes when
there are enough.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self

from ocr_pipeline.errors import StorageError
from ocr_pipeline.reading.choosing import wants_preview
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
        self._written: dict[tuple[int, int], tuple[Future[None], int]] = {}  # by row and page, with how many bytes

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
        self._add(row, len(picture), lambda: picture)

    def repeat(self, before: Sequence[ResultRow], rows: Sequence[ResultRow]) -> bool:
        """Have the pictures that were written for the pages ``before`` written for ``rows`` as well.

        :param before: rows of an image that was read.
        :param rows: those of one with the same bytes, page by page.
        :return: false, and nothing is written, where one of ``rows`` wants a picture that no one was to make before.
        """
        wanted = [pair for pair in zip(before, rows, strict=True) if wants_preview(self.previews, pair[1])]
        if not all(wants_preview(self.previews, first) for first, _ in wanted):
            return False
        for first, row in wanted:
            if made := self._written.get((first.row, first.page)):
                self._add(row, made[1], partial(self._read, first, made[0]))
        return True

    def _add(self, row: ResultRow, size: int, picture: Callable[[], bytes]) -> None:
        if size > self._left or not self._waiting.acquire(blocking=False):
            return
        self._left -= size
        # In a copy of the context, what is logged there names the task, as elsewhere.
        run = contextvars.copy_context().run
        written = self._threads.submit(run, self._write, row, picture)
        self._written[row.row, row.page] = written, size
        written.add_done_callback(lambda written: run(self._done, written))

    def _read(self, row: ResultRow, written: Future[None]) -> bytes:
        written.result()  # it was given to the threads before
        return self._run.preview(row.row, row.page).read_bytes()

    def _write(self, row: ResultRow, picture: Callable[[], bytes]) -> None:
        self._run.preview(row.row, row.page).write_bytes(picture())

    def _done(self, written: Future[None]) -> None:
        self._waiting.release()
        error = None if written.cancelled() else written.exception()
        if error is not None and not self._failed:
            self._failed = True
            reason = error if isinstance(error, StorageError) else f"{type(error).__name__}: {error}"
            log.warning("pictures of pages are missing, as one could not be written: %s", reason)
