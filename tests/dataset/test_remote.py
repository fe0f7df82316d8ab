"""Datasets on a web server and in an object store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ocr_pipeline.dataset import Dataset, dataset_exists, open_dataset
from ocr_pipeline.errors import DatasetError, DatasetMissingError, DatasetUnavailableError, StorageRefusedError
from ocr_pipeline.fetch import parse_base
from ocr_pipeline.fetch.links import ObjectLink, WebLink, parse_link
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings
from ocr_pipeline.storage.folders import Folder
from ocr_pipeline.storage.opening import open_folder
from tests.misbehaving_server import MisbehavingServer


def settings(dataset: str, **values: Any) -> RunSettings:
    return RunSettings.parse({"dataset": dataset, "output": "/x", "attempts": 1, **values})


def opened(dataset: str, allowances: Allowances, scratch: Path, **values: Any) -> Dataset:
    return open_dataset(settings(dataset, **values), allowances, scratch)


def rows(dataset: Dataset) -> list[dict[str, Any]]:
    return [row for batch in dataset.record_batches() for row in batch.to_pylist()]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Serves the folder ``tmp_path / "site"``; returns its address."""
    folder = tmp_path / "site"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def store(bucket: str, s3_allowances: Allowances) -> Folder:
    return open_folder(f"s3://{bucket}/some", s3_allowances)


def test_a_web_file_is_read_and_its_links_start_from_it(tmp_path: Path, site: str) -> None:
    (tmp_path / "site" / "drop").mkdir()
    (tmp_path / "site" / "drop" / "d 1.csv").write_text("image\na.png\n")
    dataset = opened(f"http://{site}/drop/d%201.csv?key=1", Allowances.parse(site), tmp_path)
    assert rows(dataset) == [{"image": "a.png"}]
    assert dataset.base == f"http://{site}/drop/"
    for link, url in (("a b.png", "/drop/a%20b.png"), ("../x.png", "/x.png"), ("/y.png", "/y.png")):
        found = parse_link(link, parse_base(dataset.base))
        assert isinstance(found, WebLink)
        assert str(found.url) == f"http://{site}{url}"


def test_a_web_file_that_is_not_there_or_refused_or_broken(tmp_path: Path, site: str) -> None:
    with pytest.raises(DatasetMissingError, match=f"http://{site}/none.csv: {site} answered HTTP 404"):
        opened(f"http://user:secret@{site}/none.csv?key=1", Allowances.parse(site), tmp_path)
    with pytest.raises(DatasetError, match=r"127\.0\.0\.1") as refused:
        opened(f"http://{site}/d.csv", Allowances(), tmp_path)
    assert not refused.value.retryable
    with MisbehavingServer() as server:
        allowances = Allowances.parse(server.address)
        with pytest.raises(DatasetUnavailableError, match="HTTP 503"):
            opened(server.url("status", code=503), allowances, tmp_path)
        with pytest.raises(DatasetUnavailableError, match="ended too early"):
            opened(server.url("short"), allowances, tmp_path)
        with pytest.raises(DatasetError, match="redirects, the last"):
            opened(server.url("redirect-loop"), allowances, tmp_path)


def test_a_web_file_is_asked_for_again(tmp_path: Path) -> None:
    with MisbehavingServer() as server:
        url = server.url("status", code=503, times=1)
        with pytest.raises(DatasetError, match=r"column|UTF-8"):  # what it serves then is an image
            opened(url, Allowances.parse(server.address), tmp_path, attempts=2, format="csv")
        assert len(server.times(url)) == 2


def test_redirects_to_forbidden_addresses_are_not_followed(tmp_path: Path, site: str) -> None:
    (tmp_path / "site" / "d.csv").write_text("image\na\n")
    with MisbehavingServer() as server, pytest.raises(DatasetError, match=r"127\.0\.0\.1"):
        opened(server.url("redirect", to=f"http://{site}/d.csv"), Allowances.parse(server.address), tmp_path)


def test_objects_are_read_and_their_links_start_from_them(
    tmp_path: Path, store: Folder, bucket: str, s3_allowances: Allowances
) -> None:
    store.file("day 1/a.csv").write_bytes(b"image\na.png\n")
    store.file("day 1/b.csv").write_bytes(b"image\nb.png\n")
    store.file("day 2/deep/c.csv").write_bytes(b"image\nc.png\n")
    one = opened(f"s3://minio@{bucket}/some/day 1/a.csv", s3_allowances, tmp_path)
    assert (rows(one), one.base) == ([{"image": "a.png"}], f"s3://minio@{bucket}/some/day 1")
    several = opened(f"s3://{bucket}/some/**/*.csv", s3_allowances, tmp_path)
    assert [row["image"] for row in rows(several)] == ["a.png", "b.png", "c.png"]
    day = opened(f"s3://{bucket}/some/day [!2]/?.csv", s3_allowances, tmp_path)
    assert [row["image"] for row in rows(day)] == ["a.png", "b.png"]
    found = parse_link("../x y%.png", parse_base(one.base))
    assert isinstance(found, ObjectLink)
    assert str(found.uri) == f"s3://minio@{bucket}/some/x y%.png"


def test_a_folder_of_images_in_a_bucket(
    tmp_path: Path, store: Folder, bucket: str, s3_allowances: Allowances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocr_pipeline.storage.objects._PAGE", 2)
    for name in ("a.png", "b.txt", "c/d.JPG", "c/e.tif", "z.webp"):
        store.file(name).write_bytes(b"")
    for uri in (f"s3://{bucket}/some", f"s3://{bucket}/some/"):
        dataset = opened(uri, s3_allowances, tmp_path)
        assert [row["image_link"] for row in rows(dataset)] == ["a.png", "c/d.JPG", "c/e.tif", "z.webp"]
        assert dataset.base == f"s3://{bucket}/some"
    with pytest.raises(DatasetError, match="images and other objects"):
        opened(f"s3://{bucket}/some/*", s3_allowances, tmp_path)
    assert [r["image_link"] for r in rows(opened(f"s3://{bucket}/some/c/*", s3_allowances, tmp_path))] == [
        "d.JPG",
        "e.tif",
    ]


def test_brackets_in_a_key_that_is_there_are_no_glob(
    tmp_path: Path, store: Folder, bucket: str, s3_allowances: Allowances
) -> None:
    for name in ("[2024]/a.csv", "[2024]/b.csv", "2/a.csv", "c[1].csv", "c1.csv", "[x]/1.png"):
        store.file(name).write_bytes(f"image\n{name}\n".encode())
    for key, found in (
        ("[2024]/a.csv", ["[2024]/a.csv"]),
        ("[2024]/*.csv", ["[2024]/a.csv", "[2024]/b.csv"]),
        ("[0-9]/*.csv", ["2/a.csv"]),
        ("c[1].csv", ["c[1].csv"]),
        ("c[12].csv", ["c1.csv"]),
    ):
        dataset = opened(f"s3://{bucket}/some/{key}", s3_allowances, tmp_path)
        assert [row["image"] for row in rows(dataset)] == found
        folder = "some/[2024]" if key.startswith("[2024]") else "some"
        assert dataset.base == f"s3://{bucket}/{folder}"
        assert dataset_exists(settings(f"s3://{bucket}/some/{key}"), s3_allowances)
    images = opened(f"s3://{bucket}/some/[x]", s3_allowances, tmp_path)
    assert ([row["image_link"] for row in rows(images)], images.base) == (["1.png"], f"s3://{bucket}/some/[x]")


def test_objects_that_are_not_there_or_not_allowed(tmp_path: Path, bucket: str, s3_allowances: Allowances) -> None:
    for key in ("none.csv", "*.csv", "none/"):
        with pytest.raises(DatasetMissingError, match=f"s3://{bucket}/.*no (such )?object"):
            opened(f"s3://{bucket}/{key}", s3_allowances, tmp_path)
    with pytest.raises(DatasetError, match="not allowed here: add s3://other"):
        opened("s3://other/d.csv", s3_allowances, tmp_path)
    gone = Allowances(stores=(replace(s3_allowances.stores[0], bucket="gone"),))
    with pytest.raises(StorageRefusedError, match="bucket"):
        opened("s3://gone/d.csv", gone, tmp_path)
