"""Running a dataset's query on an Airflow connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException

if TYPE_CHECKING:
    from ocr_pipeline.dataset import QueryRows

_PORTION = 20_000
_CURSOR = "ocr_dataset"

# What the drivers' errors are called when the database cannot be reached or breaks off (PEP 249).
_TRANSIENT = {"OperationalError", "InterfaceError"}


def run_query(connection: str, query: str) -> Iterator[QueryRows]:
    """The rows of ``query`` on the Airflow connection ``connection``, some thousand at a time. Nothing is committed.

    :raises DatasetUnavailableError: when the database cannot be reached or breaks off.
    :raises DatasetError: when the connection is not one of a database, or the query is wrong.
    """
    from ocr_pipeline.dataset import QueryRows
    from ocr_pipeline.errors import DatasetError, DatasetUnavailableError
    from ocr_pipeline.settings.addresses import shown_text

    try:
        hook = BaseHook.get_hook(connection)
    except (AirflowException, ImportError) as error:
        raise DatasetError(f"dataset sql:{connection}: the connection cannot be used: {error}") from error
    if not hasattr(hook, "get_cursor"):
        raise DatasetError(f"dataset sql:{connection}: the connection is not one of a database that is asked in SQL")
    try:
        with closing(hook.get_conn()) as opened, closing(_cursor(opened)) as cursor:
            cursor.execute(query)
            rows = cursor.fetchmany(_PORTION)
            if cursor.description is None:
                raise DatasetError(f"dataset sql:{connection}: the query gives no rows; it must be a SELECT")
            columns = tuple(column[0] for column in cursor.description)
            yield QueryRows(columns, rows)
            while rows := cursor.fetchmany(_PORTION):
                yield QueryRows(columns, rows)
    except DatasetError:
        raise
    except Exception as error:  # each driver has errors of its own
        names = {kind.__name__ for kind in type(error).__mro__}
        kind = DatasetUnavailableError if names & _TRANSIENT else DatasetError
        # Not chained: it may quote rows, or where the database is.
        raise kind(f"dataset sql:{connection}: {type(error).__name__}: {shown_text(str(error))}") from None


def _cursor(connection: Any) -> Any:
    """A cursor that leaves the result with the server where the driver has such, as those of PostgreSQL do."""
    try:
        return connection.cursor(name=_CURSOR)
    except TypeError:
        return connection.cursor()
