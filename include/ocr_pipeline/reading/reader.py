"""The batch's side of its reader process: hand it images, take their rows, and go on whatever becomes of it.

A file or a library may crash the process that reads, hang it, or take all memory. So reading is done by a process of
its own (:mod:`ocr_pipeline.reading.reader_process`), which tells when it begins a page and when it has read one. When
it ends, whatever it had begun is suspect. Another process reads the suspects one at a time, and the one over which it
ends again is the culprit: that image becomes a placeholder, and everything else is read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from ocr_pipeline import errors
from ocr_pipeline.errors import EngineError, ErrorCategory, ImageError, ReaderError
from ocr_pipeline.reading.child import Child
from ocr_pipeline.reading.memory import reader_memory, resident_bytes
from ocr_pipeline.reading.messages import Facts, image_facts, to_row
from ocr_pipeline.reading.meter import ReaderState
from ocr_pipeline.reading.previews import PreviewWriter
from ocr_pipeline.records import FetchedImage, ResultRow, unread_row
from ocr_pipeline.settings.run import ReadSettings

log = logging.getLogger(__name__)

ENGINE = "ocr_pipeline.ocr:load_engine"
"""What makes the engine, in the reader process: ``module:name``."""

PAGE_SECONDS = 300.0
"""A page that takes longer to decode and read hangs: seconds are usual, a minute is possible."""

_LOAD_SECONDS = 900.0
"""An engine that takes longer to load hangs: compiling its networks takes seconds, Paddle's many."""

_WATCH_SECONDS = 1.0

_VAIN_STARTS = 3
"""So many processes in a row that end without having read a page: then it is not the images."""


@dataclass(slots=True, eq=False)
class _Job:
    """An image to be read: the pages it has given so far, and since when the present one is read."""

    image: FetchedImage
    outcome: asyncio.Future[list[ResultRow]]
    rows: list[ResultRow] = field(default_factory=list)
    page: int = 0
    began: float | None = None


class ReaderProcess:
    """Reads images in a process of its own. An asynchronous context manager, to be used in one event loop.

    :param previews: takes the pictures of pages that it wants.
    :param engine: makes the engine, as ``module:name``.
    :param page_seconds: a page that takes longer hangs.
    :param memory: bytes that the process may take; most of what the container has, without one.
    """

    def __init__(
        self,
        settings: ReadSettings,
        previews: PreviewWriter | None = None,
        *,
        engine: str = ENGINE,
        page_seconds: float = PAGE_SECONDS,
        memory: int | None = None,
    ) -> None:
        # A run's settings are more than these, and may hold what the reader process need not know.
        self._settings = settings.model_dump(mode="json", include=set(ReadSettings.model_fields))
        self._previews = previews
        self._engine = engine
        self._page_seconds = page_seconds
        self._memory = memory or reader_memory()
        self._limits_memory = settings.device == "cpu"  # drivers of GPUs reserve far more than they use
        self._waiting: deque[_Job] = deque()
        self._suspects: deque[_Job] = deque()
        self._under_way: dict[int, _Job] = {}  # by row
        self._alone: _Job | None = None
        self._process: Child | None = None
        self._tell_compiling: Callable[[], None] = lambda: None
        self._most = 0
        self._vain = 0
        self._restarts = 0
        self._held = 0

    async def __aenter__(self) -> Self:
        self._ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._supervisor = asyncio.create_task(self._supervise())
        self._supervisor.add_done_callback(self._give_up)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._supervisor.cancel()
        with suppress(BaseException):  # what ended it, whoever waited for an image has been told
            await self._supervisor

    @property
    def state(self) -> ReaderState:
        """How often the process was started again, and the memory that it held when that was last looked at."""
        return ReaderState(self._restarts, self._held, self._memory if self._limits_memory else None)

    async def ready(self, compiling: Callable[[], None]) -> int:
        """Wait until the engine is loaded; gives how many images should be in :meth:`read` at once.

        :param compiling: told if it takes longer, because nothing that the engine needs is compiled on this machine.
        :raises EngineError: when it cannot be.
        :raises ReaderError: when its process ends again and again.
        """
        self._tell_compiling = compiling
        return await asyncio.shield(self._ready)

    async def read(self, image: FetchedImage) -> list[ResultRow]:
        """The rows of the pages of ``image``, whatever it does to the process.

        :raises EngineError: when the engine cannot be loaded.
        :raises ReaderError: when the process ends again and again, also without an image.
        """
        job = _Job(image, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._supervisor.done():
            self._give_up(self._supervisor)
        self._hand_over()
        return await job.outcome

    async def _supervise(self) -> None:
        """Keep a process running."""
        again = False
        while True:
            self._process = process = await Child.start()
            try:
                facts = {"engine": self._engine, "settings": self._settings, "probe": again}
                facts["previews"] = self._previews.previews if self._previews else "none"
                facts |= {"memory": self._memory if self._limits_memory else None, "log_level": log.getEffectiveLevel()}
                process.send(facts)
                how = await self._serve(process)
            finally:
                self._process = None
                self._most = 0
                await process.kill()
            self._restarts += 1
            self._after_end(how)
            again = True

    async def _serve(self, process: Child) -> str:
        """Deal with what ``process`` says until it ends; gives how it ended, for people."""
        watch = asyncio.create_task(self._watch(process))
        try:
            async for facts, body in process.messages():
                self._take(facts, body)
                self._hand_over()
        except (KeyError, TypeError, ValueError) as error:
            await process.kill(f"said what makes no sense ({type(error).__name__})")
        finally:
            watch.cancel()
        return await process.how_it_ended()

    def _take(self, facts: Facts, body: bytes) -> None:
        match facts["kind"]:
            case "ready":
                # One more than there are threads, so that a thread that is done finds the next image waiting for it.
                self._most = facts["threads"] + 1
                if not self._ready.done():
                    self._ready.set_result(self._most)
            case "compiling":
                if not self._ready.done():  # later, it is a network for one more shape, and others read meanwhile
                    self._tell_compiling()
            case "failed":
                kind = getattr(errors, facts["error"], EngineError)
                raise kind(facts["reason"]) if issubclass(kind, EngineError) else EngineError(facts["reason"])
            case "begun":
                job = self._under_way[facts["row"]]
                job.page, job.began = facts["page"], time.monotonic()
            case "page":
                row = to_row(facts["read"])
                self._under_way[facts["row"]].rows.append(row)
                if body and self._previews:
                    self._previews.add(row, body)
                self._vain = 0
            case "done":
                self._finish(self._under_way[facts["row"]])
            case "log":
                logging.getLogger(facts["name"]).log(facts["level"], "%s", facts["text"])
            case other:
                raise ValueError(f"unknown message {other}")

    def _finish(self, job: _Job) -> None:
        self._under_way.pop(job.image.ref.row, None)
        if self._alone is job:
            self._alone = None
        if not job.outcome.done():
            job.outcome.set_result(job.rows)

    def _hand_over(self) -> None:
        """Give the process what it may have now: suspects one at a time, others as many as keep it busy."""
        process = self._process
        while process is not None and len(self._under_way) < self._most and self._alone is None:
            if self._suspects:
                if self._under_way:
                    return
                job = self._alone = self._suspects.popleft()
            elif self._waiting:
                job = self._waiting.popleft()
            else:
                return
            job.rows, job.began = [], None
            self._under_way[job.image.ref.row] = job
            process.send(image_facts(job.image), job.image.body)

    def _after_end(self, how: str) -> None:
        """Find out what the process was reading when it ended.

        :raises ReaderError: when it is not the images.
        """
        begun = [job for job in self._under_way.values() if job.began is not None]
        # Nobody has touched these.
        self._waiting.extendleft(reversed([job for job in self._under_way.values() if job.began is None]))
        if self._alone in begun:
            assert self._alone is not None
            self._blame(self._alone, how)
        else:
            self._suspects.extend(begun)
        self._under_way.clear()
        self._alone = None
        rows = ", ".join(str(job.image.ref.row + 1) for job in begun)
        log.warning("the reader process %s while reading row %s: starting another", how, rows or "none")
        if not begun:
            self._vain += 1
            if self._vain >= _VAIN_STARTS:
                raise ReaderError(
                    f"the reader process ended {self._vain} times in a row without an image to blame, the last time it "
                    f"{how}; look at the memory and the devices of this machine; a retry goes on from here"
                )

    def _blame(self, job: _Job, how: str) -> None:
        """Put a placeholder in place of the page over which the process ended, and of those after it."""
        seconds = time.monotonic() - (job.began or 0.0)
        detail = (
            f"the process that read it {how}, also when it read nothing else; clear the task to try it again, or "
            "read it with another engine"
        )
        error = ImageError(ErrorCategory.ENGINE_CRASHED, detail)
        job.rows.append(unread_row(job.image, error, job.page, None, seconds))
        self._finish(job)

    async def _watch(self, process: Child) -> None:
        """End ``process`` when it hangs or takes too much memory."""
        started = time.monotonic()
        while True:
            now = time.monotonic()
            if not self._most and now - started > _LOAD_SECONDS:
                await process.kill(f"did not load its engine within {_LOAD_SECONDS:g} s")
            if any(job.began and now - job.began > self._page_seconds for job in self._under_way.values()):
                await process.kill(f"took more than {self._page_seconds:g} s for a page")
            self._held = resident_bytes(process.number)
            if self._limits_memory and self._held > self._memory:
                await process.kill(f"took {self._held / 1e6:,.0f} MB of memory, more than {self._memory / 1e6:,.0f}")
            await asyncio.sleep(min(_WATCH_SECONDS, self._page_seconds / 4))

    def _give_up(self, supervisor: asyncio.Task[None]) -> None:
        """Tell all who wait why there is no process any more."""
        error = None if supervisor.cancelled() else supervisor.exception()
        jobs = [*self._waiting, *self._suspects, *self._under_way.values()]
        futures: list[asyncio.Future[Any]] = [self._ready, *(job.outcome for job in jobs)]
        for future in futures:
            if future.done():
                continue
            if error is None:
                future.cancel()
            else:
                future.set_exception(error)
                future.exception()  # nobody may be waiting, which is no reason to complain
