"""Running a dataset's query on an Airflow connection."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException

if TYPE_CHECKING:
    from ocr_pipeline.dataset import QueryRows

_CURSOR = "ocr_dataset"

_REFUSED = re.compile(r"read.?only", re.IGNORECASE)
"""What databases say of a change that they were told to refuse."""

# By the driver's module: what makes the database refuse every change, in the transaction that follows or in all.
_READ_ONLY = {
    "sqlite3": "PRAGMA query_only = ON",
    "psycopg2": "SET TRANSACTION READ ONLY",
    "psycopg": "SET TRANSACTION READ ONLY",
    "MySQLdb": "SET SESSION TRANSACTION READ ONLY",
    "pymysql": "SET SESSION TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
}

# What the drivers' errors are called when the database cannot be reached or breaks off (PEP 249).
_TRANSIENT = {"OperationalError", "InterfaceError"}


def run_query(connection: str, query: str, portion: int) -> Generator[QueryRows, None, None]:
    """The rows of ``query`` on the Airflow connection ``connection``, ``portion`` at a time. Nothing is committed.

    Of a driver that leaves the result with the server, or makes it row by row, no more than is taken is asked for.

    :raises DatasetUnavailableError: when the database cannot be reached or breaks off.
    :raises DatasetError: when the connection is not one of a database, or the query is wrong.
    """
    from ocr_pipeline.errors import DatasetError, DatasetUnavailableError
    from ocr_pipeline.settings.addresses import shown_text

    try:
        hook = BaseHook.get_hook(connection)
    except (AirflowException, ImportError) as error:
        raise DatasetError(f"dataset sql:{connection}: the connection cannot be used: {error}") from error
    if not hasattr(hook, "get_cursor"):
        raise DatasetError(f"dataset sql:{connection}: the connection is not one of a database that is asked in SQL")
    try:
        with closing(hook.get_conn()) as opened:
            _forbid_changes(hook, opened)
            yield from _read(opened, connection, query, portion)
    except DatasetError:
        raise
    except Exception as error:  # each driver has errors of its own
        if _REFUSED.search(str(error)):
            raise DatasetError(
                f"dataset sql:{connection}: the query would change the database; it must be a SELECT"
            ) from None
        names = {kind.__name__ for kind in type(error).__mro__}
        kind = DatasetUnavailableError if names & _TRANSIENT else DatasetError
        # Not chained: it may quote rows, or where the database is.
        raise kind(f"dataset sql:{connection}: {type(error).__name__}: {shown_text(str(error))}") from None


def _read(opened: Any, connection: str, query: str, portion: int) -> Generator[QueryRows]:
    from ocr_pipeline.dataset import QueryRows
    from ocr_pipeline.errors import DatasetError

    try:
        with closing(_cursor(opened)) as cursor:
            cursor.execute(query)
            rows = cursor.fetchmany(portion)
            if cursor.description is None:
                raise DatasetError(f"dataset sql:{connection}: the query gives no rows; it must be a SELECT")
            columns = tuple(column[0] for column in cursor.description)
            yield QueryRows(columns, rows)
            while rows := cursor.fetchmany(portion):
                yield QueryRows(columns, rows)
    finally:
        opened.rollback()


def _forbid_changes(hook: Any, opened: Any) -> None:
    """Have the database refuse to change anything, where it can, and take back in the end what is changed.

    Where it cannot, the query runs in a transaction that is rolled back, also where the connection commits by itself.

    :raises DatasetError: when the connection commits by itself and cannot be told not to.
    """
    from ocr_pipeline.errors import DatasetError

    module = type(opened).__module__.partition(".")[0]
    if module == "sqlite3":
        opened.isolation_level = ""  # with None, every statement is committed at once
    elif getattr(hook, "supports_autocommit", False):
        hook.set_autocommit(opened, False)
        if hook.get_autocommit(opened):
            raise DatasetError("the connection commits by itself, so that a query could change the database")
    if statement := _READ_ONLY.get(module):
        with closing(opened.cursor()) as cursor:
            cursor.execute(statement)


def _cursor(connection: Any) -> Any:
    """A cursor that leaves the result with the server where the driver has such, as those of PostgreSQL do."""
    try:
        return connection.cursor(name=_CURSOR)
    except TypeError:
        return connection.cursor()
