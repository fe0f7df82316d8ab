"""Parts of files in buckets, which are kept up to a limit."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from ocr_pipeline.errors import StorageError
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.storage.disk import LocalFile
from ocr_pipeline.storage.folders import FileVersion, StoredFile
from ocr_pipeline.storage.objects import ObjectFile
from ocr_pipeline.storage.opening import open_folder
from ocr_pipeline.viewing import files
from ocr_pipeline.viewing.files import BLOCK_BYTES, _Blocks, opened

SIZE = 5 * BLOCK_BYTES + 123
RANGES = [(0, 10), (BLOCK_BYTES - 5, BLOCK_BYTES + 5), (0, SIZE), (SIZE - 3, SIZE), (7, 7), (3 * BLOCK_BYTES, SIZE)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where each part began that was fetched."""
    starts: list[int] = []
    for kind in (LocalFile, ObjectFile):
        fetch = kind.read_part

        def read_part(self: StoredFile, start: int, end: int, version: FileVersion, fetch: object = fetch) -> bytes:
            starts.append(start)
            return fetch(self, start, end, version)  # type: ignore[operator, no-any-return]

        monkeypatch.setattr(kind, "read_part", read_part)
    return starts


def read(blocks: _Blocks, file: StoredFile, version: FileVersion, start: int, end: int) -> bytes:
    content = bytearray(end - start)
    blocks.read_into(memoryview(content), file, version, start)
    return bytes(content)


@pytest.mark.parametrize("kept", [1, 2, 100])
def test_parts_are_right_whatever_is_kept(tmp_path: Path, kept: int, asked: list[int]) -> None:
    content = os.urandom(SIZE)
    file = LocalFile(tmp_path / "file", tmp_path)
    file.write_bytes(content)
    blocks = _Blocks(kept * BLOCK_BYTES)
    for start, end in [*RANGES, *RANGES]:
        assert read(blocks, file, file.version(), start, end) == content[start:end]
    assert (len(asked) == len(set(asked)) == 6) == (kept == 100)


def test_a_file_that_was_replaced_is_another_one(tmp_path: Path) -> None:
    file = LocalFile(tmp_path / "file", tmp_path)
    blocks = _Blocks(10 * BLOCK_BYTES)
    file.write_bytes(b"before")
    before = file.version()
    assert read(blocks, file, before, 0, 6) == b"before"
    file.write_bytes(b"after!")
    assert read(blocks, file, file.version(), 0, 6) == b"after!"
    with pytest.raises(StorageError, match="replaced while it was read"):
        read(_Blocks(10 * BLOCK_BYTES), file, before, 0, 6)


def test_without_room_on_the_local_disk_parts_are_fetched_again(
    tmp_path: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LocalFile(tmp_path / "file", tmp_path)
    file.write_bytes(b"content")

    def full() -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    blocks = _Blocks(10 * BLOCK_BYTES)
    assert [read(blocks, file, file.version(), 1, 3) for _ in range(3)] == [b"on"] * 3
    assert asked == [0, 0, 0]


def test_arrow_reads_an_object_by_parts_once(
    bucket: str, s3_allowances: Allowances, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_BLOCKS", _Blocks(100 * BLOCK_BYTES))
    table = pa.table({"wide": [os.urandom(1 << 16) for _ in range(160)], "narrow": list(range(160))})
    file = open_folder(f"s3://minio@{bucket}/folder", s3_allowances).file("t.parquet")
    with file.writing() as path:
        pa.parquet.write_table(table, path, row_group_size=40)
    for _ in range(2):
        with opened(file) as readable, pa.parquet.ParquetFile(readable.stream()) as content:
            assert content.read(columns=["narrow"])["narrow"].to_pylist() == list(range(160))
    assert len(asked) == len(set(asked))
    with opened(file) as readable, readable.native() as content:
        assert content.size() == readable.size == file.version().size
        assert content.read(4) == b"PAR1"
        content.seek(content.size() - 2)
        assert content.read(4) == b"R1"
        assert readable.stream().read() == file.read_bytes()


def test_what_is_not_there_is_told(tmp_path: Path, bucket: str, s3_allowances: Allowances) -> None:
    for folder in (
        open_folder(str(tmp_path), Allowances.parse(str(tmp_path))),
        open_folder(f"s3://minio@{bucket}", s3_allowances),
    ):
        with pytest.raises(FileNotFoundError), opened(folder.file("absent")):
            pass
