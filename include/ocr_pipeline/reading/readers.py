"""What reads the images of a batch: one process, or several where there are many cores."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from types import TracebackType
from typing import Self

from ocr_pipeline.machine import usable_cores
from ocr_pipeline.reading.claims import Claim, open_claims
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
"""Bytes that are set aside for each thread: its own networks for all common widths of lines, 0.75 GB (decision 78), and
its page."""

_MEMORY_A_PROCESS = 1 << 29
"""Bytes that are set aside for each process besides: the interpreter, its libraries, and what threads share."""


def open_reader(settings: ReadSettings, previews: PreviewWriter | None = None, *, alone: bool = True) -> ImageReader:
    """What is to read with ``settings`` on this machine; not yet entered.

    Unless they say in how many threads, that is as many as there are cores, and as there is memory for.

    :param alone: whether nothing else is read here at the same time; otherwise half of the memory is left.
    """
    if settings.device != "cpu":  # a GPU is kept busy by one
        return ReaderProcess(settings, previews)
    memory, cores = reader_memory(), usable_cores()
    with open_claims() as claims:
        free = memory - claims.others
        threads = settings.threads or threads_for(cores, free if alone else min(free, memory // 2))
        claim = claims.add(memory_for(threads))
    if threads < cores and not settings.threads:
        log.warning(
            "for want of memory only %d of %d cores read: batches here may take %.1f GB, others have set aside %.1f%s",
            threads,
            cores,
            memory / 1e9,
            claims.others / 1e9,
            "" if alone else ", and one of several has half at most",
        )
    limit = max(free, min(memory, memory_for(threads)))
    return ReaderGroup(
        [
            ReaderProcess(settings.model_copy(update={"threads": share}), previews, memory=limit * share // threads)
            for share in share_threads(threads)
        ],
        claim,
    )


def threads_for(cores: int, memory: int) -> int:
    """In how many threads to read with so many cores and bytes of memory."""
    return next((threads for threads in range(cores, 1, -1) if memory_for(threads) <= memory), 1)


def memory_for(threads: int) -> int:
    """How many bytes so many threads and their processes need."""
    return threads * _MEMORY_A_THREAD + len(share_threads(threads)) * _MEMORY_A_PROCESS


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

    def __init__(self, readers: Sequence[ImageReader], claim: Claim | None = None) -> None:
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
        """How often any of them was started again, and the memory of the one that is nearest to its limit."""
        states = [reader.state for reader in self._readers]
        fullest = max(states, key=lambda state: state.share)
        return ReaderState(sum(state.restarts for state in states), fullest.memory, fullest.memory_limit)

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
