"""Folders in a bucket, on a server that speaks S3."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ocr_pipeline.errors import StorageError, StorageRefusedError
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.storage import objects
from ocr_pipeline.storage.folders import Folder
from ocr_pipeline.storage.opening import open_folder
from ocr_pipeline.storage.patience import Patience


@pytest.fixture
def folder(bucket: str, s3_allowances: Allowances) -> Folder:
    return open_folder(f"s3://{bucket}/some run+ü", s3_allowances)


def test_a_file_is_written_read_and_removed(folder: Folder) -> None:
    file = folder.file("deep/a b.txt")
    assert (file.exists(), file.name) == (False, "a b.txt")
    with pytest.raises(FileNotFoundError):
        file.read_bytes()
    for content in (b"old", b"new", b""):
        file.write_bytes(content)
        assert (file.exists(), file.read_bytes()) == (True, content)
    file.delete()
    file.delete()
    assert not file.exists()


def test_a_folder_lists_and_clears_its_own_files_only(folder: Folder) -> None:
    assert folder.files() == []
    folder.clear()
    for name in ("b", "a", "deeper/c", "deeper-still/d"):
        folder.file(name).write_bytes(name.encode())
    assert [file.name for file in folder.files()] == ["a", "b"]
    assert folder.files()[0] == folder.file("a")
    folder.folder("deeper").clear()
    assert not folder.file("deeper/c").exists()
    assert [file.read_bytes() for file in folder.folder("deeper-still").files()] == [b"deeper-still/d"]


def test_what_is_large_passes_through_the_local_disk_in_parts(folder: Folder) -> None:
    content = bytes(range(256)) * (80 << 10)
    assert len(content) > 2 * objects.PART_BYTES
    with folder.file("large").writing() as path:
        path.write_bytes(content)
    assert not path.exists()
    with folder.file("large").reading() as path:
        assert path.read_bytes() == content
    assert not path.exists()
    assert folder.file("large").read_bytes() == content


def test_an_error_while_writing_leaves_the_object_as_it_was(folder: Folder) -> None:
    folder.file("a").write_bytes(b"old")

    def write_half() -> None:
        with folder.file("a").writing() as path:
            path.write_bytes(b"ne")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        write_half()
    assert folder.file("a").read_bytes() == b"old"


def test_a_run_in_a_bucket_is_opened_again_by_its_uri(bucket: str, s3_allowances: Allowances) -> None:
    run = RunFolder.of(f"s3://{bucket}/out/", "manual__2026-01-01T00:00:00+00:00", s3_allowances)
    assert run.uri.startswith(f"s3://{bucket}/out/manual__2026")
    assert RunFolder.open(run.uri, s3_allowances) == run
    run.plan.write_bytes(b"1")
    assert RunFolder.open(run.uri, s3_allowances).plan.read_bytes() == b"1"
    assert str(run.marker(3)) == f"{run.uri}/batches/batch-00003.json"


def test_a_bucket_that_is_not_there_is_said_and_not_retried(s3_connection: Connection) -> None:
    folder = open_folder("s3://nowhere/out", Allowances.parse("s3://minio@nowhere", lambda _: s3_connection))
    file = folder.file("a")
    requests = (lambda: file.write_bytes(b"1"), file.read_bytes, file.delete, folder.files, folder.clear)
    for request in requests:
        with pytest.raises(StorageRefusedError, match=r"cannot .*s3://nowhere/out.* bucket .*make the bucket"):
            request()
    assert not StorageRefusedError.retryable


def test_a_store_that_is_down_is_an_error_to_be_retried(s3_connection: Connection) -> None:
    down = replace(s3_connection, extra={"endpoint_url": "http://127.0.0.1:9"})
    allowed = Allowances.parse("s3://minio@bucket", lambda _: down)
    folder = open_folder("s3://bucket/out", allowed, Patience(outage=0.5, pause=0.1))
    with pytest.raises(StorageError, match=r"cannot write s3://bucket/out/a: .*a retry goes on") as caught:
        folder.file("a").write_bytes(b"1")
    assert caught.value.retryable
    assert "\n" not in str(caught.value)


def test_no_room_on_the_local_disk_is_named(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with (
        pytest.raises(StorageError, match=r"cannot make a folder on the local disk \(TMPDIR\)"),
        folder.file("a").writing(),
    ):
        pass
