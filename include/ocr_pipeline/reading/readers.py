"""What reads the images of a batch: one process, or several where there are many cores."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from itertools import pairwise
from types import TracebackType
from typing import Self

from ocr_pipeline.machine import usable_cores
from ocr_pipeline.reading.claims import claim_units, claims_folder
from ocr_pipeline.reading.memory import reader_memory
from ocr_pipeline.reading.meter import ReaderState
from ocr_pipeline.reading.previews import PreviewWriter
from ocr_pipeline.reading.reader import ReaderProcess
from ocr_pipeline.reading.stream import ImageReader
from ocr_pipeline.records import FetchedImage, ResultRow
from ocr_pipeline.settings.run import ReadSettings

log = logging.getLogger(__name__)

CORES_A_PROCESS = 4
"""So many cores one process keeps busy: beyond, its threads wait for the interpreter's lock (``make bench-cores``)."""

_MEMORY_A_THREAD = 7 << 27
"""Bytes that there should be for each thread, or there are fewer: it holds networks of its own for all common widths of
lines, 0.75 GB (decision 78), and its page."""


def open_reader(settings: ReadSettings, previews: PreviewWriter | None = None) -> ImageReader:
    """What is to read with ``settings`` on this machine; not yet entered.

    Unless they say in how many threads, that is as many as there are cores, and as there is memory for beside the other
    batches of this container.
    """
    if settings.device != "cpu":  # a GPU is kept busy by one
        return ReaderProcess(settings, previews)
    memory, cores = reader_memory(), usable_cores()
    threads, claim = claim_units(settings.threads or cores, _MEMORY_A_THREAD, memory, claims_folder())
    if threads < cores and not settings.threads:
        log.info(
            "reading in %d threads on %d cores: %.1f GB of memory, for all batches here, are enough for no more",
            threads,
            cores,
            memory / 1e9,
        )
    shares = share_threads(settings.threads or threads)
    return ReaderGroup(
        [
            ReaderProcess(settings.model_copy(update={"threads": share}), previews, memory=memory // len(shares))
            for share in shares
        ],
        claim,
    )


def share_threads(threads: int) -> list[int]:
    """In how many threads each process is to compute, of so many in all."""
    processes = -(-threads // CORES_A_PROCESS)
    edges = [threads * number // processes for number in range(processes + 1)]
    return [end - start for start, end in pairwise(edges)]


class ReaderGroup:
    """Several readers as one: each image goes to the one with the most room. An asynchronous context manager.

    :param readers: not yet entered.
    :param claim: what is left when they are.
    """

    def __init__(self, readers: Sequence[ImageReader], claim: AbstractContextManager[object] | None = None) -> None:
        self._readers = readers
        self._claim = claim
        self._room = [0] * len(readers)
        self._entered = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as entered:
            if self._claim is not None:
                entered.enter_context(self._claim)
            for reader in self._readers:
                await entered.enter_async_context(reader)
            self._entered = entered.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._entered.__aexit__(kind, error, trace)

    @property
    def state(self) -> ReaderState:
        """That of all together."""
        states = [reader.state for reader in self._readers]
        limits = [state.memory_limit for state in states if state.memory_limit is not None]
        return ReaderState(
            sum(state.restarts for state in states),
            sum(state.memory for state in states),
            sum(limits) if limits else None,
        )

    async def ready(self, compiling: Callable[[], None]) -> int:
        """Wait until all can read; gives how many images should be in :meth:`read` at once.

        :param compiling: told if it takes longer, because networks are compiled.
        :raises EngineError: when one cannot be loaded.
        :raises ReaderError: when one ends again and again.
        """
        self._room = list(await asyncio.gather(*(reader.ready(compiling) for reader in self._readers)))
        return sum(self._room)

    async def read(self, image: FetchedImage) -> list[ResultRow]:
        """The rows of the pages of ``image``.

        :raises EngineError: when the engine cannot be loaded any more.
        :raises ReaderError: when the process that has it ends again and again.
        """
        number = max(range(len(self._readers)), key=self._room.__getitem__)
        self._room[number] -= 1
        try:
            return await self._readers[number].read(image)
        finally:
            self._room[number] += 1
