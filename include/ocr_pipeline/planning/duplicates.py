"""Finding rows whose link repeats an earlier one, with the digests of links instead of the links, on disk."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ocr_pipeline.records import Rows
from ocr_pipeline.run.catalog import Digests

_SHARES = 64
"""Parts that the rows are looked at in, by the first digest of their link: links that are the same share one."""

_RECORD = np.dtype([("row", np.int64), ("first", np.uint64), ("second", np.uint64)])


class LinkDigests:
    """The digests of a dataset's links, row by row.

    Links count as the same when both halves of their digests agree: among 100 million links that happens by chance
    with a probability below 10^-22.

    ``rows`` is how many were added so far.

    :param scratch: a local folder with room for 24 bytes a row.
    """

    def __init__(self, scratch: Path) -> None:
        self._open = ExitStack()
        self._files = [
            self._open.enter_context(tempfile.TemporaryFile(dir=scratch))  # noqa: SIM115 (the stack closes it)
            for _ in range(_SHARES)
        ]
        self.rows = 0

    def __enter__(self) -> LinkDigests:
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def add(self, first: Digests, second: Digests) -> None:
        """Append rows.

        :param first: uint64 of shape (rows,), one half of the digest of each link.
        :param second: likewise, the other half.
        """
        records = np.empty(len(first), dtype=_RECORD)
        records["row"] = np.arange(self.rows, self.rows + len(first))
        records["first"], records["second"] = first, second
        self.rows += len(first)
        shares = (first // np.uint64((1 << 64) // _SHARES)).astype(np.uint8)
        records = records[np.argsort(shares, kind="stable")]  # rows stay in order
        ends = np.cumsum(np.bincount(shares, minlength=_SHARES))
        for file, part in zip(self._files, np.split(records, ends[:-1]), strict=True):
            file.write(part.tobytes())

    def first_rows(self) -> Rows:
        """For every row, the first row with the same link; int64 of shape (rows,)."""
        result = np.arange(self.rows)
        for file in self._files:
            file.seek(0)
            records = np.frombuffer(file.read(), dtype=_RECORD)
            records = records[np.lexsort((records["second"], records["first"]))]  # stable as well
            one, two, rows = records["first"], records["second"], records["row"]
            starts = np.ones(len(rows), dtype=bool)
            starts[1:] = (one[1:] != one[:-1]) | (two[1:] != two[:-1])
            result[rows] = rows[starts][np.cumsum(starts) - 1]
        return result
