"""Running together what several threads ask of one network.

A graphics processor is idle for most of a run over one page, and a run costs it the same commands whatever its size.
So the rows of all calls that wait go together, page by page and line by line, as far as they have one shape.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ocr_pipeline.ocr.inference import Network
from ocr_pipeline.records import Pixels

_STEP = 4
"""Runs of one shape have so many times the rows of the next smaller ones."""


class Batched:
    """A network whose calls run together. It is a :data:`~ocr_pipeline.ocr.inference.Network` itself.

    One run is under way at a time. Meanwhile calls wait, and what waits is run in the order in which it came: the
    oldest row, and all others of its shape that there is room for. Nothing waits for company, so a call that comes
    alone runs at once. The waiting threads themselves do the running, so there is nothing to start or to close.

    When a run fails, each call in it is run again alone, so that a bad page or a lack of memory concerns nobody else.

    :param network: called by one thread at a time. Its rows (the first axis) must not depend on each other.
    :param most_pixels: of one run, which bounds its memory. A single row may have more.
    """

    def __init__(self, network: Network, most_pixels: int) -> None:
        self._network = network
        self._most_pixels = most_pixels
        self._waiting: list[_Row] = []
        self._running = False
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """Rows that no run has taken yet."""
        return len(self._waiting)

    def __call__(self, pixels: Pixels) -> tuple[npt.NDArray[Any], ...]:
        """Run ``pixels``, uint8 (n, height, width, 3), together with what else there is.

        :raises RuntimeError: when the network fails on them, also alone.
        """
        call = _Call(pixels, pixels.shape[1:], len(pixels))
        with self._changed:
            self._waiting += (_Row(call, index) for index in range(len(pixels)))
            try:
                while call.left and call.error is None:
                    if self._running:
                        self._changed.wait()
                    else:
                        self._run_next()
            finally:
                if call.left:  # it failed, or this thread was interrupted: the rest is for nobody
                    self._waiting = [row for row in self._waiting if row.call is not call]
        if call.error is not None:
            raise call.error
        return call.outputs

    def _run_next(self) -> None:
        """Run what is next. To be called with the lock, which others may take during the run."""
        shape = self._waiting[0].call.shape
        rows = [row for row in self._waiting if row.call.shape == shape][: self._most_rows(shape)]
        taken = set(rows)
        self._waiting = [row for row in self._waiting if row not in taken]
        self._running = True
        self._changed.release()
        try:
            self._run(rows)
        finally:
            self._changed.acquire()
            self._running = False
            # Only what interrupts a thread leaves rows undone; those of others go on.
            self._waiting = [row for row in rows if not row.done] + self._waiting
            self._changed.notify_all()

    def _run(self, rows: Sequence[_Row]) -> None:
        try:
            outputs = self._network(self._batch(rows))
        except Exception as error:
            calls = list(dict.fromkeys(row.call for row in rows))
            if len(calls) > 1:
                for call in calls:
                    self._run([row for row in rows if row.call is call])
                return
            calls[0].error = error
        else:
            for place, row in enumerate(rows):
                row.call.take(row.index, [output[place] for output in outputs])
        for row in rows:
            row.done = True

    def _batch(self, rows: Sequence[_Row]) -> Pixels:
        """The rows in one array, filled up with blank ones to one of few sizes.

        Libraries prepare for every new shape, which takes as long as many runs: a blank row costs far less.
        """
        shape = rows[0].call.shape
        size = self._most_rows(shape)
        while size >= _STEP and size // _STEP >= len(rows):
            size //= _STEP
        batch = np.zeros((size, *shape), np.uint8)
        for place, row in enumerate(rows):
            batch[place] = row.call.pixels[row.index]
        return batch

    def _most_rows(self, shape: tuple[int, ...]) -> int:
        """Of one run: the largest power of two that the memory allows."""
        fitting = self._most_pixels // math.prod(shape[:2])
        return 1 << (max(fitting, 1).bit_length() - 1)


@dataclass(eq=False, slots=True)
class _Call:
    """One call: what came in, how many of its rows are not done, and what has come out of the others."""

    pixels: Pixels
    shape: tuple[int, ...]
    left: int
    outputs: tuple[npt.NDArray[Any], ...] = ()
    error: Exception | None = None

    def take(self, index: int, outputs: Sequence[npt.NDArray[Any]]) -> None:
        """Keep the ``outputs`` of a row: copied, as the network may use their memory again."""
        if not self.outputs:
            self.outputs = tuple(np.empty((len(self.pixels), *output.shape), output.dtype) for output in outputs)
        for whole, output in zip(self.outputs, outputs, strict=True):
            whole[index] = output
        self.left -= 1


@dataclass(eq=False, slots=True)
class _Row:
    """One row of a call; ``done`` when its outputs are there, or the call's error."""

    call: _Call
    index: int
    done: bool = False
