"""The images of one batch on their way: fetched, read and checkpointed, at the same time, in bounded memory.

An event loop fetches and checkpoints; a process of its own decodes and reads. The bytes of images that are held are
limited, so that memory depends on that limit and not on the batch, and the slower side sets the pace.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from ocr_pipeline.errors import StorageError
from ocr_pipeline.fetch import Base, ByteBudget, Fetcher, host_name
from ocr_pipeline.reading.checkpoints import CheckpointWriter
from ocr_pipeline.reading.contents import ContentReader
from ocr_pipeline.reading.meter import ReaderState
from ocr_pipeline.reading.previews import PreviewWriter
from ocr_pipeline.reading.progress import Progress
from ocr_pipeline.reading.reporting import Reporter
from ocr_pipeline.reading.watchdog import Watchdog
from ocr_pipeline.records import Failure, FetchedImage, ImageRef, ResultRow, unfetched_row
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.catalog import KnownContents
from ocr_pipeline.run.staging import READING

log = logging.getLogger(__name__)

HELD_BYTES = 256 << 20
"""Bytes of images that are held at once: being received, waiting for a reader, or being read."""

_WATCH_SECONDS = 1.0


class ImageReader(Protocol):
    """Reads images. An asynchronous context manager."""

    @property
    def state(self) -> ReaderState:
        """How it is now."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    async def ready(self, compiling: Callable[[], None], /) -> int:
        """Wait until it can read; gives how many images should be in :meth:`read` at once.

        :param compiling: told if it takes longer, because networks are compiled.
        :raises EngineError: when it cannot.
        """
        ...

    async def read(self, image: FetchedImage) -> list[ResultRow]:
        """The rows of the pages of ``image``."""
        ...


class ImageStream:
    """Takes images from their links to rows in checkpoints.

    :param fetcher: not yet entered; what it holds is what ``budget`` allows.
    :param reader: not yet entered.
    :param store: where the rows go.
    :param previews: where the pictures of pages go.
    :param checkpoints: writes them down; closed in the end.
    :param base: where relative links start.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        budget: ByteBudget,
        reader: ImageReader,
        known: KnownContents,
        store: BatchStore,
        previews: PreviewWriter,
        checkpoints: CheckpointWriter,
        progress: Progress,
        reporter: Reporter,
        watchdog: Watchdog,
        base: Base = None,
    ) -> None:
        self._fetcher = fetcher
        self._budget = budget
        self._reader = reader
        self._contents = ContentReader(reader.read, known, store, previews)
        self._store = store
        self._checkpoints = checkpoints
        self._progress = progress
        self._reporter = reporter
        self._base = base
        self._watchdog = watchdog
        self._fetched: asyncio.Queue[FetchedImage | None] = asyncio.Queue()  # None: no more will come
        self._all_fetched = False
        self._reading = 0

    async def run(self, images: list[ImageRef]) -> None:
        """Take ``images`` to the end, checkpointing all the while and, whatever happens, at the end.

        :raises EngineError: when the reader cannot read.
        :raises ReaderError: likewise.
        :raises OutageError: when nothing gets through.
        :raises StalledError: when nothing happens any more.
        :raises DeadlineError: when the batch's time is up.
        :raises StorageError: when what is finished cannot be written down.
        """
        try:
            async with self._fetcher, self._reader, asyncio.TaskGroup() as stages:
                self._progress.doing = "fetching, and loading the engine"
                forever = (self._watch(), self._checkpoints.keep_writing(), self._reporter.keep_reporting())
                always = [stages.create_task(work) for work in forever]
                fetching = stages.create_task(self._fetch_all(images))
                at_once = await self._reader.ready(self._note_compiling)
                self._progress.doing = READING
                readers = [stages.create_task(self._read_fetched()) for _ in range(at_once)]
                await asyncio.gather(fetching, *readers)
                for task in always:
                    task.cancel()
        except BaseException as error:
            try:
                self._checkpoints.close()
            except StorageError as unwritten:  # what ended the batch is what people must learn of
                log.error("what was finished last is not written down: %s", unwritten)
            raise (_first_error(error) if isinstance(error, BaseExceptionGroup) else error) from None
        finally:
            self._look()
        self._checkpoints.close()

    def _note_compiling(self) -> None:
        self._progress.doing = "compiling networks (once a machine)"

    async def _fetch_all(self, images: list[ImageRef]) -> None:
        await self._fetcher.fetch_all(images, self._take)
        self._all_fetched = True
        self._fetched.put_nowait(None)

    def _take(self, outcome: FetchedImage | Failure) -> None:
        self._progress.fetched(host_name(outcome.ref.link, self._base), outcome)
        if isinstance(outcome, Failure):
            rows = [unfetched_row(outcome)]
            self._store.add(rows)
            self._finish(rows)
        else:
            self._watchdog.moved()
            self._fetched.put_nowait(outcome)

    async def _read_fetched(self) -> None:
        while (image := await self._fetched.get()) is not None:
            self._reading += 1
            rows = await self._contents.read(image)
            self._reading -= 1
            self._budget.release(len(image.body))
            self._finish(rows)
        self._fetched.put_nowait(None)  # for the others

    def _finish(self, rows: list[ResultRow]) -> None:
        self._watchdog.moved()
        self._progress.count(rows)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self._look()
            fetching = sorted(ref.row for ref in self._fetcher.under_way)
            self._watchdog.check(fetching, self._waiting, self._reading)

    @property
    def _waiting(self) -> int:
        """How many fetched images wait to be read."""
        return self._fetched.qsize() - self._all_fetched

    def _look(self) -> None:
        """Have the metrics say how many images are on their way, and how the reader is."""
        fetching = sum(1 for _ in self._fetcher.under_way)
        self._progress.meter.look(fetching, self._waiting, self._reading, self._reader.state)


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a task group: the others followed from it."""
    error = group.exceptions[0]
    return _first_error(error) if isinstance(error, BaseExceptionGroup) else error
