"""Datasets that a query gives. Who runs it is said from outside: connections are not known here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from ocr_pipeline.dataset.files import DataFile
from ocr_pipeline.dataset.locations import Found
from ocr_pipeline.errors import DatasetError, DatasetMissingError
from ocr_pipeline.records import json_text
from ocr_pipeline.settings.addresses import shown_address
from ocr_pipeline.settings.deployment import Allowances

_KNOWN = (str, bytes, bool, int, float, Decimal, date, time, timedelta)
"""The kinds of values that keep their type; what else a driver gives, such as a UUID, becomes text."""


@dataclass(frozen=True, slots=True)
class QueryRows:
    """Some rows of a query's result; ``columns`` names their values."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


RunQuery = Callable[[str, str, int], Generator[QueryRows, None, None]]
"""Runs a query on a connection, both given as text; gives its rows in portions of at most so many.

There is at least one portion, if an empty one. Taking no more of them leaves the rest of the work undone where the
driver lets it. Raises DatasetError.
"""

_PORTION = 20_000


def is_query(entry: str) -> bool:
    """Whether ``entry`` names a connection to be queried."""
    return entry.startswith("sql:")


def find_query(
    entry: str, query: str | None, allowances: Allowances, scratch: Path, run_query: RunQuery | None
) -> Found:
    """The result of ``query`` on the connection that ``entry`` (``sql:CONNECTION``) names, copied to ``scratch``.

    :raises DatasetError: when the connection may not be queried, or cannot be.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch))
    files = []
    for number, portion in enumerate(_run(entry, query, allowances, run_query, _PORTION)):
        # Each in a file of its own: what type a column has, only all portions tell.
        path = folder / f"{number:06}.parquet"
        columns = zip(*portion.rows, strict=True) if portion.rows else ((),) * len(portion.columns)
        arrays = [_array(values) for values in columns]
        pa.parquet.write_table(pa.Table.from_arrays(arrays, names=list(portion.columns)), path)
        files.append(DataFile(path, entry))
    return Found("", tuple(files))


def look_for_rows(entry: str, query: str | None, allowances: Allowances, run_query: RunQuery | None) -> None:
    """Run ``query`` on the connection that ``entry`` names until it gives a row.

    :raises DatasetMissingError: when it gives none.
    :raises DatasetError: when the connection may not be queried, or cannot be.
    """
    with closing(_run(entry, query, allowances, run_query, 1)) as portions:
        if not next(portions).rows:
            raise DatasetMissingError(f"dataset {entry}: the query gives no rows")


def _run(
    entry: str, query: str | None, allowances: Allowances, run_query: RunQuery | None, portion: int
) -> Generator[QueryRows, None, None]:
    shown = shown_address(entry)
    connection = entry.removeprefix("sql:").strip("/")
    if connection not in allowances.databases:
        raise DatasetError(
            f"dataset {shown}: this connection may not be queried here; add "
            f"sql://{shown.removeprefix('sql:').strip('/')} to the Airflow variable ocr_allow"
        )
    if run_query is None or query is None:
        raise DatasetError(f"dataset {entry}: there is no query, or nobody here who could run it")
    return run_query(connection, query, portion)


def _array(values: Sequence[Any]) -> pa.Array:
    plain = [_plain(value) for value in values]
    # Of several kinds of moments Arrow takes the first, and leaves out the time or the zone of others.
    if len({_moment(value) for value in plain if isinstance(value, (date, time))}) <= 1:
        try:
            return pa.array(plain)
        except (pa.ArrowException, OverflowError, TypeError, UnicodeEncodeError):
            pass  # one has another type, or is what no type of Arrow holds, such as an infinite decimal number
    return pa.array([None if value is None else _text(value) for value in plain], pa.string())


def _plain(value: Any) -> Any:
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, (dict, list)):
        return json_text(value, str)
    if isinstance(value, time) and value.tzinfo:
        return str(value)  # Arrow's times have no zone
    return value if value is None or isinstance(value, _KNOWN) else str(value)


def _moment(value: date | time) -> tuple[type, bool]:
    """What kind of moment ``value`` is: with a date, a time or both, and with a zone or without."""
    return type(value), isinstance(value, datetime) and value.tzinfo is not None


def _text(value: Any) -> str:
    """``value`` as text, with a replacement for what is none, such as half of a surrogate pair."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
