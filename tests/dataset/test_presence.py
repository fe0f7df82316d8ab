"""Looking whether a dataset is there: what counts as being there, and how little is asked for."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocr_airflow.queries import run_query
from ocr_pipeline.dataset import QueryRows, RunQuery, dataset_exists, open_dataset
from ocr_pipeline.errors import DatasetError, DatasetUnavailableError, OcrPipelineError, StorageRefusedError
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.settings.run import RunSettings
from ocr_pipeline.storage.opening import open_folder
from tests.misbehaving_server import MisbehavingServer
from tests.storage.faulty_store import FaultyStore, StoreRequest

LARGE = 200_000_000


def parsed(dataset: str | Path, **settings: Any) -> RunSettings:
    return RunSettings.parse({"dataset": str(dataset), "output": "/x", "attempts": 1, **settings})


def exists(dataset: str | Path, allow: str | Path | Allowances, run: RunQuery | None = None, **settings: Any) -> bool:
    allowances = allow if isinstance(allow, Allowances) else Allowances.parse(str(allow))
    return dataset_exists(parsed(dataset, **settings), allowances, run)


class LargeFile:
    """A web server for one connection, whose answer never ends by itself; counts what the client lets it send."""

    def __init__(self, *headers: str) -> None:
        self.requests: list[str] = []
        self.sent = 0
        self._headers = headers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> LargeFile:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.join(30)
        self._socket.close()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            self.requests.append(connection.recv(65536).split(b"\r\n")[0].decode())
            connection.sendall("\r\n".join(["HTTP/1.1 200 OK", *self._headers, "\r\n"]).encode())
            try:
                while self.sent < LARGE:
                    self.sent += connection.send(b"10000\r\n" + bytes(65536) + b"\r\n")
            except ConnectionError:
                pass


@contextmanager
def asked_of(endpoint: str) -> Iterator[tuple[Connection, list[str]]]:
    """A connection to the store at ``endpoint`` and, as they come, the methods and paths of what it is asked for."""
    asked: list[str] = []

    def note(request: StoreRequest) -> None:
        asked.append(f"{request.method} {request.path.partition('?')[0]}")

    with FaultyStore(endpoint, note) as store:
        extra = {"endpoint_url": store.url, "region_name": "us-east-1"}
        yield Connection("minio", "aws", login="key", password="secret", extra=extra), asked


def test_a_file_is_there_whatever_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    assert not exists(path, tmp_path)
    path.write_text("colour\n")
    assert exists(path, tmp_path)
    with pytest.raises(DatasetError, match="The columns are colour"):
        open_dataset(parsed(path), Allowances.parse(str(tmp_path)), tmp_path)


def test_a_glob_and_a_folder_are_there_with_what_they_are_for(tmp_path: Path) -> None:
    assert not exists(tmp_path / "*.csv", tmp_path)
    assert not exists(tmp_path, tmp_path)
    (tmp_path / "d.csv").touch()
    assert exists(tmp_path / "*.csv", tmp_path)
    assert not exists(tmp_path, tmp_path)
    (tmp_path / "a.png").touch()
    assert exists(tmp_path, tmp_path)


def test_all_places_of_a_dataset_must_be_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for name in ("a.csv", "b.csv"):
        assert not exists(f"{tmp_path}/a.csv, {tmp_path}/b.csv", tmp_path)
        assert f"{tmp_path}/{name}: there is no such file" in caplog.messages[-1]
        (tmp_path / name).touch()
    assert exists(f"{tmp_path}/a.csv, {tmp_path}/b.csv", tmp_path)


@pytest.mark.parametrize(
    "dataset",
    ["/etc/none.csv", "/etc/*.none", "http://127.0.0.1:9/none.csv", "s3://bucket/none.csv", "s3://bucket/*.csv"],
)
def test_what_is_not_allowed_is_not_looked_for(tmp_path: Path, dataset: str) -> None:
    with pytest.raises(DatasetError) as refused:
        exists(dataset, tmp_path)
    assert not refused.value.retryable


@pytest.mark.parametrize("headers", [(f"Content-Length: {LARGE}",), ("Transfer-Encoding: chunked",), ()])
def test_of_a_web_file_no_more_comes_than_was_under_way(headers: tuple[str, ...]) -> None:
    with LargeFile(*headers) as server:
        assert exists(f"http://{server.address}/d.csv", server.address)
    assert server.requests == ["GET /d.csv HTTP/1.1"]
    assert server.sent < LARGE / 10  # the system's buffers on both sides


@pytest.mark.parametrize(
    ("behaviour", "query", "there"),
    [
        ("image", {}, True),
        ("image", {"bytes": 0}, True),
        ("gzipped", {}, True),
        ("status", {"code": 404}, False),
        ("status", {"code": 410}, False),
        ("short", {}, True),  # as anything else that only a download finds
    ],
)
def test_a_web_file_is_there_as_the_server_says(behaviour: str, query: dict[str, int], there: bool) -> None:
    with MisbehavingServer() as server:
        url = server.url(behaviour, **query)
        assert exists(url, server.address) is there
        assert len(server.times(url)) == 1


@pytest.mark.parametrize(
    ("behaviour", "query", "kind", "said"),
    [
        ("status", {"code": 403}, DatasetError, "HTTP 403"),
        ("status", {"code": 503}, DatasetUnavailableError, "HTTP 503"),
        ("status", {"code": 429}, DatasetUnavailableError, "HTTP 429"),
        ("reset-at-once", {}, DatasetUnavailableError, "broke before any answer"),
        ("silent", {}, DatasetUnavailableError, "sent nothing"),
        ("not-http", {}, DatasetError, "not valid HTTP"),
        ("redirect-loop", {}, DatasetError, "redirects, the last"),
    ],
)
def test_a_server_that_does_not_say_is_no_file_that_is_not_there(
    behaviour: str, query: dict[str, int], kind: type[DatasetError], said: str
) -> None:
    with MisbehavingServer() as server, pytest.raises(OcrPipelineError, match=said) as error:
        exists(server.url(behaviour, **query), server.address, connect_timeout=1, read_timeout=0.3, total_timeout=1)
    assert type(error.value) is kind


def test_a_web_server_that_is_away_is_no_file_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(DatasetUnavailableError, match=f"dataset http://{address}/d.csv: ") as error:
        exists(f"http://user:secret@{address}/d.csv?key=1", address)
    assert "secret" not in str(error.value)
    assert "key" not in str(error.value)


def test_a_web_file_is_looked_for_as_it_is_fetched() -> None:
    def site(_: str) -> Connection:
        return Connection("site", "http", host="127.0.0.1", port=server.port, login="me", password="secret")

    with MisbehavingServer() as server, MisbehavingServer() as other:
        allowances = Allowances.parse([server.address, "connection:site"], site)
        passing = server.url("status", code=503, times=1)
        assert exists(passing, allowances, attempts=2)
        assert len(server.times(passing)) == 2
        assert exists(server.url("redirect", to=server.url("image")), allowances)
        assert all(request.headers["authorization"].startswith("Basic ") for request in server.requests)
        with pytest.raises(DatasetError, match=r"127\.0\.0\.1") as refused:
            exists(server.url("redirect", to=other.url("image")), allowances)
        assert not refused.value.retryable
        assert other.requests == []


def test_of_an_object_only_the_head_is_asked_for(s3_endpoint: str, bucket: str, s3_allowances: Allowances) -> None:
    store = open_folder(f"s3://{bucket}/some", s3_allowances)
    store.file("d.csv").write_bytes(b"image\n" * 1_000_000)
    store.file("images/a.png").write_bytes(b"x")
    with asked_of(s3_endpoint) as (connection, asked):
        allowances = Allowances.parse(f"s3://minio@{bucket}", lambda _: connection)
        for key, there, requests in (
            ("d.csv", True, [f"HEAD /{bucket}/some/d.csv"]),
            ("none.csv", False, [f"HEAD /{bucket}/some/none.csv", f"GET /{bucket}"]),
            ("*.csv", True, [f"GET /{bucket}"]),
            ("**/*.tsv", False, [f"GET /{bucket}"]),
            ("images/", True, [f"GET /{bucket}"]),
            ("images", True, [f"HEAD /{bucket}/some/images", f"GET /{bucket}"]),
        ):
            asked.clear()
            assert exists(f"s3://{bucket}/some/{key}", allowances) is there, key
            # Listing a bucket ends with a page that is empty, unless what is on the first is enough.
            assert [request.rstrip("/") for request in dict.fromkeys(asked)] == requests, key


def test_a_store_that_does_not_say_is_no_object_that_is_not_there(s3_allowances: Allowances) -> None:
    gone = Allowances(stores=(replace(s3_allowances.stores[0], bucket="gone"),))
    for key in ("d.csv", "*.csv", "folder/"):
        with pytest.raises(StorageRefusedError, match="bucket"):
            exists(f"s3://gone/{key}", gone)


COUNTING = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'a.png' AS image FROM n"
"""A query whose rows never end."""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Allowances:
    """Allows the connection ``shop`` to a database, and ``gone`` to one that cannot be opened."""
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({"conn_type": "sqlite", "host": f"{tmp_path}/shop.db"}))
    monkeypatch.setenv("AIRFLOW_CONN_GONE", json.dumps({"conn_type": "sqlite", "host": f"{tmp_path}/none/gone.db"}))
    return Allowances.parse("sql://shop,sql://gone")


def test_a_query_is_there_with_its_first_row_and_run_no_further(shop: Allowances) -> None:
    given: list[int] = []

    def counted(connection: str, query: str, portion: int) -> Generator[QueryRows, None, None]:
        for rows in run_query(connection, query, portion):
            given.append(len(rows.rows))
            yield rows

    assert exists("sql:shop", shop, counted, query=COUNTING)
    assert given == [1]
    assert not exists("sql:shop", shop, run_query, query="SELECT 'a.png' AS image WHERE 1 = 2")


def test_a_query_that_cannot_be_run_is_no_query_without_rows(shop: Allowances) -> None:
    for entry, kind, said in (
        ("sql:gone", DatasetUnavailableError, "unable to open"),
        ("sql:other", DatasetError, "add sql://other to the Airflow variable ocr_allow"),
    ):
        with pytest.raises(kind, match=said):
            exists(entry, shop, run_query, query="SELECT 1 AS image")
    with pytest.raises(DatasetError, match="would change the database"):
        exists("sql:shop", shop, run_query, query="CREATE TABLE links (image TEXT)")
