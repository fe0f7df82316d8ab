"""What is asked of the results: which rows, in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ocr_pipeline.errors import ErrorCategory, QueryError, Status, WarningCategory

MOST_ROWS = 500
"""Most rows of an answer."""

Order = Literal["row", "confidence", "fetch_seconds", "read_seconds", "bytes", "link", "random"]
"""What rows can be ordered by: as the results have them, or a column; ``random`` is the same at each call."""

ORDERS: tuple[Order, ...] = get_args(Order)

_LONGEST = 253
_MOST = 10**12


@dataclass(frozen=True, slots=True)
class RowQuery:
    """What a row of the results must be like, in which order rows come, and which of them are wanted.

    What is empty or None says nothing. All that is given must hold; of several statuses, categories or warnings, one.

    :param text: stands, as it is and in any case, in the text, the link or another text of the dataset, where white
        space of any kind and length is one space.
    :param host: of the link, such as ``images.example.org``; of an object, its store, such as ``s3://bucket``.
    :param batch: the batch that the row is in.
    :param confidence: least and greatest, from 0 to 1; rows without text have none.
    :param order: one of :data:`ORDERS`; with a minus before it the other way round. Rows without a value come last.
    :param offset: how many of the rows to leave out.
    :param limit: how many to give, at most :data:`MOST_ROWS`.
    :raises QueryError: when a value is not allowed, naming it.
    """

    text: str = ""
    status: tuple[str, ...] = ()
    error: tuple[str, ...] = ()
    warning: tuple[str, ...] = ()
    host: str = ""
    batch: int | None = None
    confidence: tuple[float | None, float | None] = (None, None)
    order: str = "row"
    offset: int = 0
    limit: int = 50

    def __post_init__(self) -> None:
        for name in ("text", "host"):
            if len(getattr(self, name)) > _LONGEST:
                raise QueryError(f"{name}: it has more than {_LONGEST} characters; look for a part of it")
        for name, kinds in (("status", Status), ("error", ErrorCategory), ("warning", WarningCategory)):
            known = [kind.value for kind in kinds]
            for value in getattr(self, name):
                if value not in known:
                    raise QueryError(f"{name}: there is no {value!r}; there are {', '.join(known)}")
        if self.order.removeprefix("-") not in ORDERS:
            raise QueryError(f"order: there is no {self.order!r}; there are {', '.join(ORDERS)}, or with - before it")
        for bound in self.confidence:
            if bound is not None and not 0 <= bound <= 1:
                raise QueryError(f"confidence: {bound} is not from 0 to 1")
        for name, value, least, most in (
            ("batch", self.batch or 0, 0, _MOST),
            ("offset", self.offset, 0, _MOST),
            ("limit", self.limit, 1, MOST_ROWS),
        ):
            if not least <= value <= most:
                raise QueryError(f"{name}: {value} is not from {least} to {most:,}")

    @property
    def column(self) -> str:
        """What the rows are ordered by."""
        return self.order.removeprefix("-")

    @property
    def descending(self) -> bool:
        """Whether the greatest comes first."""
        return self.order.startswith("-")
