"""Reading one batch: fetch, decode, read and checkpoint, at the same time, in bounded memory.

An event loop fetches; a thread pool decodes and reads. The bytes that both hold together are limited, so that memory
depends on that limit and not on the batch, and the slower side sets the pace.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import chain

from ocr_pipeline.errors import BatchCancelledError, ErrorCategory, ImageError
from ocr_pipeline.fetch import ByteBudget, Fetcher, parse_base
from ocr_pipeline.images import decode_pages
from ocr_pipeline.ocr import Engine, load_engine
from ocr_pipeline.reading.journal import Journal
from ocr_pipeline.reading.progress import Progress, Watchdog
from ocr_pipeline.records import (
    BatchRef,
    Failure,
    FetchedImage,
    ImageRef,
    Page,
    ResultRow,
    known_content_row,
    read_row,
    unfetched_row,
    unread_row,
)
from ocr_pipeline.run.catalog import KnownContents, known_contents
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan, batch_images
from ocr_pipeline.run.staging import BatchStatistics, BatchStore
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import ReadSettings

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 3.0
"""How often finished images are written down: what a kill can cost."""

HELD_BYTES = 256 << 20
"""Bytes of images that are held at once: being received, waiting for a reader, or being read."""

_CRASHED = (
    "the process that read this image crashed or hung, more than once; clear the task to try it again, "
    "or read it with another engine"
)


class Batch:
    """One batch of a planned run, to be run once.

    :param load: makes the engine that reads the pages.
    :param retry_permanent: whether to try again also what failed for good; a staged batch always does.
    :param seconds: how long it may take to read; what is being read then is finished.
    :raises SettingsError: when the deployment does not allow the run's folder.
    """

    def __init__(
        self,
        batch: BatchRef,
        allowances: Allowances,
        load: Callable[[ReadSettings], Engine] = load_engine,
        *,
        retry_permanent: bool = False,
        seconds: float = math.inf,
    ) -> None:
        self._batch = batch
        self._run = RunFolder.open(batch.run, allowances)
        self._allowances = allowances
        self._load = load
        self._retry_permanent = retry_permanent
        self._seconds = seconds
        self._store = BatchStore(self._run, batch)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def run(self) -> BatchStatistics:
        """Read what is left to read of the batch and stage it.

        :raises PlanError: when the run is not planned.
        :raises EngineError: when the engine cannot be used.
        :raises OutageError: when so many images failed transiently that it looks like an outage.
        :raises StalledError: when nothing happens any more.
        :raises DeadlineError: when ``seconds`` have passed.
        :raises BatchCancelledError: when :meth:`stop` was called.
        :raises StorageError: when the run's folder cannot be read or written.
        """
        started = time.monotonic()
        plan = Plan.load(self._run)
        images = batch_images(self._run, self._batch, plan)
        resumed = self._store.resume({image.row for image in images}, retry_permanent=self._retry_permanent)
        todo = [image for image in images if image.row not in resumed.kept]
        # What can be mended comes first, so that a deadline or an outage cuts off what hardly can.
        todo.sort(key=lambda image: image.row in resumed.permanent)
        log.info(
            "%s: %d images, %d of them finished before; of the others, %d failed before for transient reasons "
            "and %d for good",
            self._batch.label,
            len(images),
            len(resumed.kept),
            len(resumed.transient),
            len(resumed.permanent),
        )
        engine = self._load(plan.settings)
        try:
            failed_before = sum(any(page.status.failed for page in pages) for pages in resumed.kept.values())
            progress = Progress(len(images), len(resumed.kept), failed_before)
            if todo:
                path = self._run.journal(self._batch.index)
                with known_contents(self._run) as known, Journal(path, forgive=self._retry_permanent) as journal:
                    watchdog = Watchdog(plan.settings, journal, CHECKPOINT_SECONDS, started + self._seconds)
                    reading = _Reading(plan, engine, self._allowances, self._store, progress, journal, watchdog, known)
                    self._run_loop(reading, todo)
        finally:
            engine.close()
        readings = self._store.finished()
        statistics = self._store.stage(
            {image.row: readings[image.row] for image in images},
            seconds=time.monotonic() - started,
            model=engine.model,
            resumed=len(resumed.kept),
        )
        log.info("%s: staged, %s", self._batch.label, statistics.statuses)
        return statistics

    def stop(self) -> None:
        """Ask :meth:`run` to end soon, keeping what is finished. May be called from a signal handler."""
        self._stopped = True
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # the loop is closed: all is read, and staging it takes a moment
                self._loop.call_soon_threadsafe(self._task.cancel)

    def _run_loop(self, reading: _Reading, todo: list[ImageRef]) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.ensure_future(reading.read(todo))
            if self._stopped:
                self._task.cancel()
            await self._task

        try:
            asyncio.run(main())
        except asyncio.CancelledError:
            raise BatchCancelledError(f"{self._batch.label} was stopped; a retry goes on from here") from None


class _Reading:
    """The stages of one batch, wired together."""

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        allowances: Allowances,
        store: BatchStore,
        progress: Progress,
        journal: Journal,
        watchdog: Watchdog,
        known: KnownContents,
    ) -> None:
        self._plan = plan
        self._settings = plan.settings
        self._engine = engine
        # One more than there are threads, so that a thread that is done finds the next image waiting for it.
        self._readers = engine.threads + 1
        self._budget = ByteBudget(HELD_BYTES)
        self._fetcher = Fetcher(plan.settings, allowances, base=parse_base(plan.base), budget=self._budget)
        self._store = store
        self._progress = progress
        self._journal = journal
        self._watchdog = watchdog
        self._known = known
        self._fetched: asyncio.Queue[FetchedImage | None] = asyncio.Queue()
        self._waiting: dict[int, None] = {}  # rows that were fetched and not read, in the order in which they will be
        self._unwritten: list[ResultRow] = []
        # Only the one thread of this pool writes, and holds what it could not write so far.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._held: list[ResultRow] = []
        self._readings: dict[str, asyncio.Future[list[ResultRow]]] = {}  # by the digest of the bytes

    async def read(self, todo: list[ImageRef]) -> None:
        """Read ``todo`` to the end, checkpointing all the while and, whatever happens, at the end."""
        pool = ThreadPoolExecutor(self._engine.threads, thread_name_prefix="ocr")
        try:
            async with self._fetcher, asyncio.TaskGroup() as stages:
                always = [stages.create_task(self._watch()), stages.create_task(self._keep_checkpoints())]
                todo = await self._read_suspects(todo, pool)
                readers = [stages.create_task(self._read_fetched(pool)) for _ in range(self._readers)]
                await self._fetch_all(todo)
                await asyncio.gather(*readers)
                for task in always:
                    task.cancel()
        except BaseExceptionGroup as group:
            raise _first_error(group) from None
        finally:
            self._watchdog.rest()
            try:
                self._submit_checkpoint().result()
            finally:
                self._writer.shutdown()
                # A page being read cannot be interrupted, and the engine must not be closed under it.
                pool.shutdown(wait=False, cancel_futures=True)
                self._watchdog.see_pages_out()
                pool.shutdown()
        self._progress.check_outage(self._settings.max_transient_failures)

    async def _fetch_all(self, todo: list[ImageRef]) -> None:
        await self._fetcher.fetch_all(todo, self._take)
        for _ in range(self._readers):
            self._fetched.put_nowait(None)

    def _take(self, outcome: FetchedImage | Failure) -> None:
        if isinstance(outcome, Failure):
            self._finish([unfetched_row(outcome)])
            return
        self._watchdog.moved()
        self._waiting[outcome.ref.row] = None
        self._fetched.put_nowait(outcome)
        self._expect()

    def _expect(self) -> None:
        self._journal.expect(chain(self._waiting, (ref.row for ref in self._fetcher.under_way)))

    async def _read_fetched(self, pool: ThreadPoolExecutor) -> None:
        while (image := await self._fetched.get()) is not None:
            self._finish(await self._read_once(image, pool))
            del self._waiting[image.ref.row]
            self._expect()

    async def _read_once(self, image: FetchedImage, pool: ThreadPoolExecutor) -> list[ResultRow]:
        """The rows of ``image``, whose bytes are read unless an earlier run or another row has them read."""
        if image.sha256 in self._known:
            self._budget.release(len(image.body))
            return [known_content_row(image)]
        if twin := self._readings.get(image.sha256):
            self._budget.release(len(image.body))
            # Shielded, as whoever else waits for it must not be cancelled with this task.
            return _same_reading(await asyncio.shield(twin), image)
        reading = asyncio.get_running_loop().run_in_executor(pool, self._read, image)
        self._readings[image.sha256] = reading
        rows = await reading
        self._budget.release(len(image.body))
        return rows

    async def _read_suspects(self, todo: list[ImageRef], pool: ThreadPoolExecutor) -> list[ImageRef]:
        """Deal with the images that may have ended an earlier attempt's process; return the others."""
        before = self._journal.before
        loop = asyncio.get_running_loop()
        for ref in todo:
            if ref.row in before.culprits:
                self._finish([unfetched_row(Failure(ref, ErrorCategory.ENGINE_CRASHED, _CRASHED))])
            elif ref.row in before.suspects:
                log.warning("row %d was being read when an earlier attempt died: reading it alone", ref.row + 1)
                outcome = await self._fetcher.fetch(ref)
                if isinstance(outcome, Failure):
                    self._finish([unfetched_row(outcome)])
                else:
                    self._finish(await loop.run_in_executor(pool, self._read, outcome, True))
                    self._budget.release(len(outcome.body))
        return [ref for ref in todo if ref.row not in before.culprits | before.suspects]

    def _read(self, image: FetchedImage, alone: bool = False) -> list[ResultRow]:
        """Read an image, in a reader thread."""
        with self._watchdog.reading(image.ref.row, alone=alone) as begin_page:
            return read_image(image, self._engine, self._settings, begin_page)

    def _finish(self, rows: list[ResultRow]) -> None:
        self._watchdog.moved()
        self._unwritten.extend(rows)
        self._progress.count(rows)

    async def _watch(self) -> None:
        while True:
            rows = sorted(ref.row for ref in self._fetcher.under_way)
            self._watchdog.check(rows, self._fetched.qsize())
            await asyncio.sleep(CHECKPOINT_SECONDS)

    async def _keep_checkpoints(self) -> None:
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            await asyncio.shield(asyncio.wrap_future(self._submit_checkpoint()))

    def _submit_checkpoint(self) -> Future[None]:
        """Have what is finished written down in the background, because a store may be slow, after what was before."""
        rows, self._unwritten = self._unwritten, []
        return self._writer.submit(self._checkpoint, rows, self._progress.done, self._progress.failed)

    def _checkpoint(self, rows: list[ResultRow], done: int, failed: int) -> None:
        self._held.extend(rows)
        if self._held:
            self._store.checkpoint(self._held)
            self._held = []
        self._store.report(done, failed)


def _same_reading(rows: list[ResultRow], image: FetchedImage) -> list[ResultRow]:
    """``rows``, read from the same bytes as ``image`` has, as its own: what it cost to fetch differs."""
    return [
        replace(
            row,
            row=image.ref.row,
            http_status=image.http_status,
            attempts=image.attempts,
            fetch_seconds=image.seconds,
            read_seconds=0.0,
        )
        for row in rows
    ]


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a task group: the others followed from it."""
    error = group.exceptions[0]
    return _first_error(error) if isinstance(error, BaseExceptionGroup) else error


def read_image(
    image: FetchedImage, engine: Engine, settings: ReadSettings, on_page: Callable[[], None]
) -> list[ResultRow]:
    """Decode and read every page of ``image``; the page that fails becomes a placeholder and is the last.

    Runs in a reader thread. ``on_page`` is called when a page is begun.
    """
    rows: list[ResultRow] = []
    pages = decode_pages(image.body, max_pixels=settings.max_pixels, pdf_dpi=settings.pdf_dpi)
    while True:
        page: Page | None = None
        started = time.monotonic()
        on_page()
        try:
            page = next(pages, None)
            if page is None:
                return rows
            text = engine.read(page)
            rows.append(read_row(image, page, text, time.monotonic() - started, engine.model))
        except ImageError as error:
            rows.append(unread_row(image, error, len(rows), page, time.monotonic() - started))
            return rows
        except Exception as error:
            log.exception("%s: the engine failed on page %d", engine.model, len(rows))
            unexpected = ImageError(ErrorCategory.ENGINE_ERROR, f"{type(error).__name__}: {error}")
            rows.append(unread_row(image, unexpected, len(rows), page, time.monotonic() - started))
            return rows
