"""Searching in texts: which of them have a piece of text in them.

A database would compare text by text. Here all texts of a block, which lie one after the other, are compared at once
with NumPy, which takes a fraction of the time and leaves other threads running: the rarest byte of what is looked for
first, then the others where that one is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ocr_pipeline.records import Rows

THREADS = 2

_PIECE_BYTES = 3 << 19
"""About how many bytes are compared at once: with what is made of them, they stay in a processor's cache."""

_SAMPLE = 997
"""Of so many bytes one is looked at to tell which are rare."""

_SPARSE = 128
"""With fewer places than one in so many bytes, the places are looked at one by one."""

Bytes = npt.NDArray[np.uint8]


def positions_with(
    blocks: Iterable[tuple[int, pa.StringArray]], needle: bytes, deadline: float | None = None
) -> tuple[Rows, int | None]:
    """The positions of the texts that have ``needle`` in them, in order, and where it was stopped looking, if it was.

    :param blocks: texts, each ending with a byte that is not in ``needle``, and the position of the first of them.
    :param needle: not empty, in UTF-8.
    :param deadline: when to stop, by the monotonic clock; something is looked at in any case.
    """
    sought = np.frombuffer(needle, np.uint8)
    found: list[Rows] = [np.empty(0, np.int64)]
    under_way: deque[Future[Rows]] = deque()
    stopped: int | None = None
    with ThreadPoolExecutor(THREADS, thread_name_prefix="search") as pool:
        for first, texts in _pieces(blocks):
            if len(found) > 1 and deadline is not None and time.monotonic() > deadline:
                stopped = first
                break
            under_way.append(pool.submit(_positions, first, texts, sought))
            if len(under_way) > 2 * THREADS:
                found.append(under_way.popleft().result())
        found += [future.result() for future in under_way]
    return np.concatenate(found), stopped


def _pieces(blocks: Iterable[tuple[int, pa.StringArray]]) -> Iterator[tuple[int, pa.StringArray]]:
    for first, texts in blocks:
        step = max(1, len(texts) * _PIECE_BYTES // max(texts.nbytes, 1))
        for start in range(0, len(texts), step):
            yield first + start, texts.slice(start, step)


def _positions(first: int, texts: pa.StringArray, needle: Bytes) -> Rows:
    _, starts, values = texts.buffers()
    offsets = np.frombuffer(starts, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    content = np.frombuffer(values, np.uint8)[offsets[0] : offsets[-1]]
    rows: Rows = np.flatnonzero(_rows_with(content, offsets - offsets[0], needle)) + first
    return rows


def _rows_with(content: Bytes, offsets: npt.NDArray[np.int32], needle: Bytes) -> npt.NDArray[np.bool_]:
    """Whether each text, from one offset to the next, has ``needle`` in it."""
    found = np.zeros(len(offsets) - 1, np.bool_)
    end = len(content) - len(needle) + 1
    if end <= 0:
        return found
    mask = np.zeros(len(content), np.bool_)  # where it may begin
    places = mask[:end]
    left = _rarest_first(needle, np.bincount(content[::_SAMPLE], minlength=256))
    places[:] = content[left[0] : left[0] + end] == needle[left[0]]
    for number, offset in enumerate(left[1:], 1):
        if np.count_nonzero(places) * _SPARSE < end:
            at = np.flatnonzero(places)
            for other in left[number:]:
                at = at[content[at + other] == needle[other]]
            found[np.searchsorted(offsets, at, side="right") - 1] = True
            return found
        places &= content[offset : offset + end] == needle[offset]
    return np.logical_or.reduceat(mask, offsets[:-1])


def _rarest_first(needle: Bytes, counts: npt.NDArray[np.int64]) -> list[int]:
    """The offsets in ``needle`` in the order to compare them: a rare byte, then the others, from rare to frequent."""
    order: list[int] = np.argsort(counts[needle], kind="stable").tolist()
    return order
