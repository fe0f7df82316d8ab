"""Datasets that a query gives, on a database that an Airflow connection opens."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from airflow.providers.sqlite.hooks.sqlite import SqliteHook
from airflow.sdk import BaseHook

from ocr_airflow.queries import run_query
from ocr_pipeline.dataset import Dataset, QueryRows, RunQuery, open_dataset
from ocr_pipeline.errors import DatasetError, DatasetUnavailableError, SettingsError
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings

QUERY = "SELECT id, image, price FROM links ORDER BY id"


def opened(tmp_path: Path, run: RunQuery | None = run_query, query: str = QUERY, entry: str = "sql:shop") -> Dataset:
    settings = RunSettings.parse({"dataset": entry, "query": query, "output": "/x"})
    return open_dataset(settings, Allowances.parse("sql://shop,sql://nowhere,sql://web,sql://gone"), tmp_path, run)


def rows(dataset: Dataset) -> list[dict[str, Any]]:
    return [row for batch in dataset.record_batches() for row in batch.to_pylist()]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with three links, which the connection ``shop`` opens."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE links (id INTEGER, image TEXT, price)")
        database.executemany(
            "INSERT INTO links VALUES (?, ?, ?)",
            [(1, "http://x/ä.png", 1), (2, None, 2.5), (3, "http://x/c%.png", None)],
        )
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    monkeypatch.setenv("AIRFLOW_CONN_GONE", json.dumps({"conn_type": "sqlite", "host": f"{tmp_path}/none/gone.db"}))
    monkeypatch.setenv("AIRFLOW_CONN_WEB", "http://host.example")
    return path


@pytest.mark.parametrize("portion", [1, 2, 3, 100])
def test_a_query_is_read_in_portions_with_its_types(tmp_path: Path, shop: Path, portion: int) -> None:
    dataset = opened(tmp_path, lambda connection, query, _: run_query(connection, query, portion))
    assert rows(dataset) == [
        {"id": 1, "image": "http://x/ä.png", "price": 1.0},
        {"id": 2, "image": None, "price": 2.5},
        {"id": 3, "image": "http://x/c%.png", "price": None},
    ]
    assert (dataset.image_column, dataset.base) == ("image", "")


class AutocommitHook(SqliteHook):
    """Opens connections on which every statement is committed at once."""

    def get_conn(self) -> sqlite3.Connection:
        connection = super().get_conn()
        connection.isolation_level = None
        return connection


@pytest.mark.parametrize(
    "query", ["DELETE FROM links RETURNING image", "INSERT INTO links VALUES (4, 4, 4) RETURNING *"]
)
@pytest.mark.parametrize("autocommit", [False, True])
def test_a_query_that_gives_rows_changes_nothing_either(
    query: str, autocommit: bool, tmp_path: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if autocommit:
        hook = AutocommitHook(sqlite_conn_id="shop")  # type: ignore[no-untyped-call]
        monkeypatch.setattr(BaseHook, "get_hook", lambda name: hook)
    with pytest.raises(DatasetError, match="would change the database"):
        rows(opened(tmp_path, query=query))
    with sqlite3.connect(shop) as database:
        assert database.execute("SELECT count(*) FROM links").fetchone() == (3,)


def test_a_query_without_rows_is_an_empty_dataset(tmp_path: Path, shop: Path) -> None:
    assert rows(opened(tmp_path, query="SELECT image FROM links WHERE id > 3")) == []


def test_a_query_changes_nothing(tmp_path: Path, shop: Path) -> None:
    with pytest.raises(DatasetError, match="would change the database"):
        opened(tmp_path, query="DELETE FROM links")
    with pytest.raises(DatasetError, match="gives no rows"):
        opened(tmp_path, query="SAVEPOINT one")
    assert len(rows(opened(tmp_path))) == 3


@pytest.mark.parametrize(
    ("entry", "query", "kind", "said"),
    [
        ("sql:other", QUERY, DatasetError, "add sql://other to the Airflow variable ocr_allow"),
        ("sql:nowhere", QUERY, DatasetError, "nowhere"),
        ("sql:web", QUERY, DatasetError, "sql:web"),
        ("sql:shop", "SELECT absent FROM links", DatasetUnavailableError, "no such column"),
        ("sql:gone", QUERY, DatasetUnavailableError, "unable to open"),
    ],
)
def test_what_cannot_be_queried_is_said(
    tmp_path: Path, shop: Path, entry: str, query: str, kind: type[DatasetError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        opened(tmp_path, query=query, entry=entry)


def test_values_of_all_kinds_are_carried(tmp_path: Path) -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    values = (Decimal("1.50"), noon, memoryview(b"x"), {"k": [1]}, UUID(int=1), 2**70)

    def run(connection: str, query: str, portion: int) -> Generator[QueryRows, None, None]:
        columns = ("image", "price", "at", "raw", "tags", "key", "big")
        yield QueryRows(columns, [("a", *values)])
        yield QueryRows(columns, [("b", *[None] * 6)])

    first, second = rows(opened(tmp_path, run))
    assert list(first.values()) == ["a", Decimal("1.50"), noon, b"x", '{"k": [1]}', str(UUID(int=1)), str(2**70)]
    assert list(second.values()) == ["b", *[None] * 6]


EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ([Decimal("1.5"), Decimal("Infinity"), None], ["1.5", "Infinity", None]),
        ([Decimal("Infinity")], ["Infinity"]),
        ([date(2026, 1, 2), datetime(2026, 1, 2, 3, 4)], ["2026-01-02", "2026-01-02 03:04:00"]),
        (
            [datetime(2026, 1, 2), datetime(2026, 1, 2, tzinfo=EAST)],
            ["2026-01-02 00:00:00", "2026-01-02 00:00:00+02:00"],
        ),
        ([time(3, 4, tzinfo=EAST), None], ["03:04:00+02:00", None]),
        (["a\ud800b", "\ud83d\ude00"], ["a\ufffdb", "\N{GRINNING FACE}"]),
        ([b"\xff", 7], [r"\xff", "7"]),
    ],
)
def test_what_arrow_has_no_type_for_is_text(tmp_path: Path, values: list[Any], read: list[Any]) -> None:
    def run(connection: str, query: str, portion: int) -> Generator[QueryRows, None, None]:
        yield QueryRows(("image", "v"), [("a", value) for value in values])

    assert [row["v"] for row in rows(opened(tmp_path, run))] == read


def test_a_link_of_a_query_that_is_no_text_costs_no_other(tmp_path: Path) -> None:
    def run(connection: str, query: str, portion: int) -> Generator[QueryRows, None, None]:
        yield QueryRows(("image",), [("a.png",), ("b\udcff.png",), (None,)])

    assert [row["image"] for row in rows(opened(tmp_path, run))] == ["a.png", "b\ufffd.png", None]


def test_a_query_and_its_connection_go_together() -> None:
    for values in ({"dataset": "/d.csv", "query": "SELECT 1"}, {"dataset": "sql:shop"}):
        with pytest.raises(SettingsError, match="query: is needed with a dataset sql:CONNECTION, and only then"):
            RunSettings.parse({"output": "/x", **values})
