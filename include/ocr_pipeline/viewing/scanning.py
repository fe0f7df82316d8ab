"""Searching in texts: which of them have a piece of text in them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

THREADS = 2

_PIECE_BYTES = 32 << 20
"""About how much is looked through at once: asking takes a millisecond, and in between is looked at the clock."""

Mask: TypeAlias = npt.NDArray[np.bool_]


def texts_with(
    database: duckdb.DuckDBPyConnection,
    blocks: Iterable[pa.StringArray],
    needle: str,
    deadline: float | None = None,
) -> Mask:
    """Whether each text has ``needle`` in it: of all of them, or of the first, as many as there was time for.

    :param database: what compares them; it needs no more than memory.
    :param blocks: the texts, one block after the other.
    :param needle: not empty.
    :param deadline: when to stop, by the monotonic clock; something is looked at in any case.
    """
    found: list[Mask] = [np.empty(0, np.bool_)]
    under_way: deque[Future[Mask]] = deque()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="search") as pool:
        for piece in _pieces(blocks):
            if len(found) > 1 and deadline is not None and time.monotonic() > deadline:
                break
            under_way.append(pool.submit(_look_through, database, piece, needle))
            if len(under_way) > THREADS:
                found.append(under_way.popleft().result())
        found += [future.result() for future in under_way]
    return np.concatenate(found)


def _pieces(blocks: Iterable[pa.StringArray]) -> Iterator[list[pa.StringArray]]:
    """Blocks, or parts of them, that are together about as large as is looked through at once."""
    piece: list[pa.StringArray] = []
    size = 0
    for texts in blocks:
        step = max(1, len(texts) * _PIECE_BYTES // max(texts.nbytes, 1))
        for start in range(0, len(texts), step):
            part = texts.slice(start, step)
            piece.append(part)
            size += part.nbytes
            if size >= _PIECE_BYTES:
                yield piece
                piece, size = [], 0
    if piece:
        yield piece


def _look_through(database: duckdb.DuckDBPyConnection, piece: Sequence[pa.StringArray], needle: str) -> Mask:
    with database.cursor() as own:  # another thread has its own texts
        own.register("texts", pa.table({"text": pa.chunked_array(piece, pa.string())}))
        # In the order of the texts, as DuckDB has it where it is told no other.
        found = own.execute("SELECT contains(text, $1) AS found FROM texts", [needle])
        return np.asarray(found.fetchnumpy()["found"], np.bool_)
