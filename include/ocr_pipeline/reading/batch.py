"""Reading one batch: go on from what earlier attempts finished, read the rest, and stage it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator, Set
from contextlib import suppress
from functools import partial

from ocr_pipeline.errors import BatchCancelledError, StorageError
from ocr_pipeline.fetch import ByteBudget, Fetcher, parse_base
from ocr_pipeline.metrics import Send
from ocr_pipeline.ocr.allocator import return_large_blocks
from ocr_pipeline.reading.checkpoints import CHECKPOINT_SECONDS, CheckpointWriter
from ocr_pipeline.reading.previews import PreviewWriter
from ocr_pipeline.reading.progress import Progress, check_outage
from ocr_pipeline.reading.readers import open_reader
from ocr_pipeline.reading.reporting import Observer, Reporter, reason
from ocr_pipeline.reading.stream import HELD_BYTES, ImageReader, ImageStream
from ocr_pipeline.reading.watchdog import Watchdog, stall_seconds
from ocr_pipeline.records import BatchRef, ImageRef
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.catalog import KnownContents, known_contents
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan, batch_images, failed_before
from ocr_pipeline.run.staged_index import write_staged_index
from ocr_pipeline.run.staging import BatchProgress, BatchStatistics
from ocr_pipeline.run.troubles import Tally, Trouble, add_failure, add_warnings, lines
from ocr_pipeline.settings.addresses import with_login
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings, ReadSettings
from ocr_pipeline.storage.patience import PATIENCE, Patience

log = logging.getLogger(__name__)


class Batch:
    """One batch of a planned run, to be run once.

    :param reader: makes what reads the images; by default processes of their own.
    :param at_once: how many batches of the run are read at the same time at most, all that there are by default. They
        share what a host may be asked.
    :param places: how many tasks run at most in the container of this one, if that is known; they share its memory.
    :param dataset: the run's setting; where its address has a login, relative links have it too, and the plan has none.
    :param retry_permanent: whether to try again also what failed for good; a staged batch always does.
    :param last_try: whether nobody tries the batch again by itself; then a few transient failures are staged, whatever
        share of it they are, and judged with the whole run.
    :param observer: told how far the batch is, every few seconds, in a thread of its own.
    :param send_metric: given what the batch has done since, likewise.
    :param seconds: how long it may take to read; what is being read then is left to a retry.
    :param checkpoint_seconds: how often finished images are written down.
    :param held_bytes: of images, at once.
    :param idle_seconds: how long nothing may happen; as long as the settings' deadlines explain, without it.
    :param patience: with the store of the run's folder, if it lies in a bucket.
    :raises SettingsError: when the deployment does not allow the run's folder.
    """

    def __init__(
        self,
        batch: BatchRef,
        allowances: Allowances,
        reader: Callable[[ReadSettings, PreviewWriter], ImageReader] | None = None,
        *,
        at_once: int | None = None,
        places: int | None = None,
        dataset: str = "",
        retry_permanent: bool = False,
        last_try: bool = False,
        observer: Observer | None = None,
        send_metric: Send | None = None,
        seconds: float = math.inf,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        held_bytes: int = HELD_BYTES,
        idle_seconds: float | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        self._batch = batch
        self._run = RunFolder.open(batch.run, allowances, patience)
        self._allowances = allowances
        self._reader = reader
        self._at_once = at_once
        self._places = places
        self._dataset = dataset
        self._retry_permanent = retry_permanent
        self._last_try = last_try
        self._observer = observer
        self._send_metric = send_metric
        self._seconds = seconds
        self._checkpoint_seconds = checkpoint_seconds
        self._held_bytes = held_bytes
        self._idle_seconds = idle_seconds
        self._progress = Progress(batch.images)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def run(self) -> BatchStatistics:
        """Read what is left to read of the batch and stage it.

        :raises PlanError: when the run is not planned.
        :raises EngineError: when the engine cannot be used.
        :raises ReaderError: when the process that reads ends again and again, whatever it reads.
        :raises OutageError: when so many images failed transiently that it looks like an outage.
        :raises StalledError: when nothing happens any more.
        :raises DeadlineError: when ``seconds`` have passed.
        :raises BatchCancelledError: when :meth:`stop` was called.
        :raises StorageError: when the run's folder cannot be read or written.
        """
        started = time.monotonic()
        plan = Plan.load(self._run)
        images = batch_images(self._run, self._batch, plan)
        with BatchStore(self._run, self._batch, plan.digests[self._batch.index]) as store:
            try:
                statistics = self._attempt(plan, images, store, started)
            except BaseException as error:
                store.report_end(reason(error))
                raise
        try:
            write_staged_index(self._run, self._batch, plan, statistics)
        except StorageError as error:
            log.warning("%s: it is searched more slowly until the merge: %s", self._batch.label, error)
        return statistics

    @property
    def progress(self) -> BatchProgress:
        """How far it is, or was in the end."""
        return self._progress.look()

    def _attempt(self, plan: Plan, images: list[ImageRef], store: BatchStore, started: float) -> BatchStatistics:
        resumed = store.resume({image.row for image in images}, retry_permanent=self._retry_permanent)
        left = [image for image in images if image.row not in resumed.kept]
        expected = frozenset(failed_before(self._run, plan).tolist()) & {image.row for image in images}
        # What can be mended comes first, so that a deadline or an outage cuts off what hardly can.
        left.sort(key=lambda image: image.row in resumed.permanent or image.row in expected)
        log.info(
            "%s: %d images, %d of them finished before; of the others, %d failed before for transient reasons "
            "and %d for good",
            self._batch.label,
            len(images),
            len(resumed.kept),
            len(resumed.transient),
            len(resumed.permanent),
        )
        allowed = plan.settings.max_failures
        self._progress = Progress(
            len(images), len(resumed.kept), resumed.kept_failed, resumed.kept_known, allowed=allowed, expected=expected
        )
        with Reporter(self._batch.label, self._progress, self._observers()) as reporter:
            if left:
                shown = self._batch.rows / max(plan.rows, 1)
                deadline = started + self._seconds
                with known_contents(self._run) as known, PreviewWriter(self._run, plan.settings, shown) as previews:
                    self._run_loop(self._stream(plan, known, store, previews, reporter, deadline), left)
            failures, again, warnings = _troubles(store, images, expected)
            wanted = len(images) - self._progress.known - sum(trouble.images for trouble in again)
            check_outage(failures, wanted, allowed, self._progress.hosts, last_try=self._last_try)
            seconds = time.monotonic() - started
            rows = (image.row for image in images)
            statistics = store.stage(rows, seconds=seconds, resumed=len(resumed.kept))
        for line in lines([*failures, *again, *warnings]):
            log.warning("%s: %s", self._batch.label, line)
        log.info("%s: staged, %s", self._batch.label, statistics.statuses)
        return statistics

    def _observers(self) -> Iterator[Observer]:
        if self._observer is not None:
            yield self._observer
        if self._send_metric is not None:
            yield partial(self._progress.meter.send, self._send_metric)

    def stop(self) -> None:
        """Ask :meth:`run` to end soon, keeping what is finished. May be called from a signal handler."""
        self._stopped = True
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # the loop is closed: all is read, and staging it takes a moment
                self._loop.call_soon_threadsafe(self._task.cancel)

    def _stream(
        self,
        plan: Plan,
        known: KnownContents,
        store: BatchStore,
        previews: PreviewWriter,
        reporter: Reporter,
        deadline: float,
    ) -> ImageStream:
        return_large_blocks()  # bodies of images come and go
        budget = ByteBudget(self._held_bytes)
        base = parse_base(with_login(plan.base, self._dataset))
        batches = max(1, sum(batch.images > 0 for batch in plan.batches))
        at_once = min(batches, self._at_once or batches)
        fetching = self._share_of_hosts(plan, at_once)
        reader = self._reader or partial(open_reader, alone=1 in (self._at_once, self._places))
        return ImageStream(
            Fetcher(fetching, self._allowances, base=base, budget=budget, shared=self._run.robots),
            budget,
            reader(plan.settings, previews),
            known,
            store,
            previews,
            CheckpointWriter(store, self._progress, self._checkpoint_seconds),
            self._progress,
            reporter,
            Watchdog(self._idle_seconds or stall_seconds(fetching), deadline),
            base,
        )

    def _share_of_hosts(self, plan: Plan, at_once: int) -> FetchSettings:
        """The settings of the run with what is left of its limits where other batches are read at the same time."""
        share = plan.settings.shared_by(at_once)
        if at_once > 1:
            log.info(
                "%s: of each host at most %d requests at once and %s a second, as up to %d batches are read at once",
                self._batch.label,
                share.per_host,
                "any number" if share.host_rate is None else f"{share.host_rate:g}",
                at_once,
            )
        return share

    def _run_loop(self, stream: ImageStream, images: list[ImageRef]) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.ensure_future(stream.run(images))
            if self._stopped:
                self._task.cancel()
            await self._task

        try:
            asyncio.run(main())
        except asyncio.CancelledError:
            raise BatchCancelledError(f"{self._batch.label} was stopped; the next attempt goes on from here") from None


def _troubles(store: BatchStore, images: list[ImageRef], expected: Set[int]) -> Iterator[tuple[Trouble, ...]]:
    """Of the finished images: the failures, those of ``expected`` images by themselves, and the warnings."""
    links = {image.row: image.link for image in images}
    failures, again, warnings = Tally(), Tally(), Tally()
    for pages in store.troubled():
        add_failure(again if pages[0].row in expected else failures, pages, links[pages[0].row])
        add_warnings(warnings, pages, links[pages[0].row])
    return (tally.troubles for tally in (failures, again, warnings))
