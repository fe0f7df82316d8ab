"""Files that are no dataset: each is called what it is, and nothing that is one is taken for another."""

from __future__ import annotations

import io
import pickle
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from ocr_pipeline.errors import DatasetError
from tests.dataset.reading import opened, rows


def drawn(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind)
    return file.getvalue()


def workbook() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as parts:
        parts.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


def database() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE links (image TEXT)")
        return connection.serialize()


def archive() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as parts:
        parts.addfile(tarfile.TarInfo("links.csv"))
    return file.getvalue()


def arrow(stream: bool) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"image": ["a"]})
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(3))
    return file.getvalue()


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(pa.table({"image": ["a"]}), sink)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("name", ["d.csv", "d.parquet", "no-name"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (workbook(), "an Excel workbook .* save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook of an old Excel"),
        (database(), "an SQLite database: read it with a query"),
        (archive(), "a tar archive: unpack it"),
        (arrow(stream=False), "an Arrow file: write it as Parquet"),
        (arrow(stream=True), "an Arrow stream: write it as Parquet"),
        (array(), "an array of NumPy"),
        (pickle.dumps([1], 4), "a pickle of Python"),
        (pickle.dumps([1]), "a pickle of Python"),
        (b"ORC\x0a\x03\0\0\x12", "an ORC file: write it as Parquet"),
        (b"Obj\x01\x04", "an Avro file: write it as Parquet"),
        (b"%PDF-1.7\n", "a PDF, not a list"),
        *((drawn(kind), "an image, not a list") for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")),
        (b"\xfd7zXZ\0\0\x04", "packed with xz: unpack it"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS.* run git lfs pull"),
        (b"\n<!DOCTYPE html><title>Log in</title>", "a web page .* log in"),
        ("\ufeff<!-- page --> <HTML lang=en>".encode(), "a web page .* log in"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page or XML"),
    ],
)
def test_what_is_no_dataset_is_called_what_it_is(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=f"{name} is {said}") as refused:
        opened(tmp_path / name, tmp_path)
    assert not refused.value.retryable
    with pytest.raises(DatasetError, match=f"{name} is {said}"):
        opened(tmp_path / name, tmp_path, format="csv")


def test_parquet_that_is_said_to_be_text_is_parquet(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(parquet())
    assert rows(tmp_path / "d.csv") == rows(tmp_path / "d.csv", format="parquet") == [{"image": "a"}]
    with pytest.raises(DatasetError, match="is a Parquet file: set format to parquet, or to auto"):
        opened(tmp_path / "d.csv", tmp_path, format="csv")


@pytest.mark.parametrize("name", ["d.csv", "d.txt", "d.tsv"])
@pytest.mark.parametrize("content", ['{"image":"a.png"}\n', '[\n {"image":"a.png"}\n]'])
def test_json_by_another_name_is_read_when_asked(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=f"{name} holds JSON, and its name says otherwise: set format to jsonl"):
        opened(tmp_path / name, tmp_path)
    assert rows(tmp_path / name, format="jsonl") == [{"image": "a.png"}]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("row", ["1,a.png", "表表表,https://x/表.png", "ü,ü.png"])
def test_text_without_a_mark_says_which_encoding_to_set(tmp_path: Path, encoding: str, row: str) -> None:
    (tmp_path / "d.csv").write_bytes(f"名前,image\n{row}\n".encode(encoding))
    with pytest.raises(DatasetError, match=f"set encoding to {encoding}"):
        opened(tmp_path / "d.csv", tmp_path)
    assert list(rows(tmp_path / "d.csv", encoding=encoding)[0].values()) == row.split(",")


@pytest.mark.parametrize("column", ["ORC", "BM", "RIFF", "GIF8", "PAR1", "ARROW1", "BMI", "html", "ustar"])
def test_a_column_may_be_called_as_a_magic_number_is(tmp_path: Path, column: str) -> None:
    (tmp_path / "d.csv").write_text(f"{column},image\n1,a.png\n")
    assert rows(tmp_path / "d.csv") == [{column: "1", "image": "a.png"}]


def test_null_bytes_make_no_other_encoding(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(b"image,n\n" + b"a\0\0b.png,\0\0\0\0\n" * 50)
    assert len(rows(tmp_path / "d.csv")) == 50
