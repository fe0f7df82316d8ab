"""Datasets that a query gives. Who runs it is said from outside: connections are not known here."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from ocr_pipeline.dataset.files import DataFile
from ocr_pipeline.dataset.locations import Found
from ocr_pipeline.errors import DatasetError
from ocr_pipeline.settings.addresses import shown_address
from ocr_pipeline.settings.deployment import Allowances

_KNOWN = (str, bytes, bool, int, float, Decimal, date, time, timedelta)
"""The kinds of values that keep their type; what else a driver gives, such as a UUID, becomes text."""


@dataclass(frozen=True, slots=True)
class QueryRows:
    """Some rows of a query's result; ``columns`` names their values."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


RunQuery = Callable[[str, str], Iterator[QueryRows]]
"""Runs a query on a connection, both given as text; gives its rows in portions, at least one. Raises DatasetError."""


def is_query(entry: str) -> bool:
    """Whether ``entry`` names a connection to be queried."""
    return entry.startswith("sql:")


def find_query(
    entry: str, query: str | None, allowances: Allowances, scratch: Path, run_query: RunQuery | None
) -> Found:
    """The result of ``query`` on the connection that ``entry`` (``sql:CONNECTION``) names, copied to ``scratch``.

    :raises DatasetError: when the connection may not be queried, or cannot be.
    """
    shown = shown_address(entry)
    connection = entry.removeprefix("sql:").strip("/")
    if connection not in allowances.databases:
        raise DatasetError(
            f"dataset {shown}: this connection may not be queried here; add "
            f"sql://{shown.removeprefix('sql:').strip('/')} to the Airflow variable ocr_allow"
        )
    if run_query is None or query is None:
        raise DatasetError(f"dataset {entry}: there is no query, or nobody here who could run it")
    folder = Path(tempfile.mkdtemp(dir=scratch))
    files = []
    for number, portion in enumerate(run_query(connection, query)):
        # Each in a file of its own: what type a column has, only all portions tell.
        path = folder / f"{number:06}.parquet"
        columns = zip(*portion.rows, strict=True) if portion.rows else ((),) * len(portion.columns)
        arrays = [_array(values) for values in columns]
        pa.parquet.write_table(pa.Table.from_arrays(arrays, names=list(portion.columns)), path)
        files.append(DataFile(path, entry))
    return Found("", tuple(files))


def _array(values: Sequence[Any]) -> pa.Array:
    plain = [_plain(value) for value in values]
    try:
        return pa.array(plain)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if value is None else str(value) for value in plain])


def _plain(value: Any) -> Any:
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value if value is None or isinstance(value, _KNOWN) else str(value)
