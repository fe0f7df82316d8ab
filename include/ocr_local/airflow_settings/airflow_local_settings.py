"""Read by the commands of ``make airflow``: Airflow looks for a module of this name on its path.

Its services do not read it: they hold what they have begun longer, and others would wait for them.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, event


@event.listens_for(Engine, "savepoint")
def begin_to_write(connection: Connection, name: str) -> None:
    """Have a transaction that begins with a savepoint wait for its turn to write.

    SQLite would let it read first. When another process writes meanwhile, what it has read is old, and its own first
    write ends with ``database is locked`` at once, however long it may wait: backfills begin like this.
    """
    if connection.dialect.name != "sqlite":
        return
    # Drivers that are awaited have no such attribute; Airflow reads by them.
    if not getattr(connection.connection.dbapi_connection, "in_transaction", True):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
