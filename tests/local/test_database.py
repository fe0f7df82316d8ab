"""The local Airflow's database, SQLite, with several processes that write to it."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import Engine, event, text

from ocr_local.airflow import COMMAND_SETTINGS

MODULE = "airflow_local_settings"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As a command has them; other tests have them no more."""
    monkeypatch.syspath_prepend(COMMAND_SETTINGS)
    settings = importlib.import_module(MODULE)
    yield
    event.remove(Engine, "savepoint", settings.begin_to_write)
    del sys.modules[MODULE]


def test_what_begins_with_a_savepoint_waits_for_its_turn_to_write(tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'airflow.db'}?timeout=20")
    with engine.begin() as connection:
        connection.execute(text("PRAGMA journal_mode = WAL"))
        connection.execute(text("CREATE TABLE runs (name TEXT)"))

    def write() -> None:
        with engine.begin() as other:
            other.execute(text("INSERT INTO runs VALUES ('other')"))

    writer = threading.Thread(target=write)
    with engine.connect() as connection:
        with connection.begin(), connection.begin_nested():
            assert connection.execute(text("SELECT count(*) FROM runs")).scalar() == 0
            writer.start()
            writer.join(0.5)  # long enough to write, were it not waiting
            connection.execute(text("INSERT INTO runs VALUES ('own')"))
        writer.join(20)
        names = connection.execute(text("SELECT name FROM runs")).scalars().all()
    assert names == ["own", "other"]


def test_a_savepoint_in_a_transaction_stays_one(tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'airflow.db'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE runs (name TEXT)"))
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO runs VALUES ('first')"))
        nested = connection.begin_nested()
        connection.execute(text("INSERT INTO runs VALUES ('second')"))
        nested.rollback()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT name FROM runs")).scalars().all() == ["first"]
