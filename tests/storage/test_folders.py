import os
import resource
import signal
from pathlib import Path

import pytest

from ocr_pipeline.errors import SettingsError, StorageError
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.storage.disk import LocalFolder
from ocr_pipeline.storage.opening import open_folder


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    file = LocalFolder(tmp_path).file("deep/file")
    file.write_bytes(b"old")

    def write_half() -> None:
        with file.writing() as temporary:
            temporary.write_bytes(b"ne")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        write_half()
    assert file.read_bytes() == b"old"
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "file"]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        # A limit of the file size fails a write as a full disk does, once its signal is ignored.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            LocalFolder(tmp_path).file("file").write_bytes(b"x" * 2000)
        except StorageError as error:
            os._exit(7 if f"cannot write {tmp_path / 'file'}" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert list(tmp_path.iterdir()) == []


def test_a_run_has_a_folder_whatever_its_name(tmp_path: Path) -> None:
    allowances = Allowances.parse(str(tmp_path))
    names = ["scheduled__2026-01-01T00:00:00+00:00", "scheduled__2026-01-01T00-00-00+00-00", "../../etc", "ünï", "a/b"]
    folders = [RunFolder.of(str(tmp_path / "out"), name, allowances).uri for name in names]
    assert len(set(folders)) == len(names)
    assert {Path(folder).parent for folder in folders} == {tmp_path / "out"}


@pytest.mark.parametrize(
    ("output", "said"),
    [("results", "absolute"), ("/etc/ocr", "ALLOW=/etc/ocr"), ("s3://b/k", "s3://b/k is not allowed")],
)
def test_results_go_only_where_the_deployment_allows(tmp_path: Path, output: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        RunFolder.of(output, "run", Allowances.parse(str(tmp_path)))


def test_a_run_is_opened_again_by_its_uri(tmp_path: Path) -> None:
    allowances = Allowances.parse(str(tmp_path))
    run = RunFolder.of(str(tmp_path / "out"), "run", allowances)
    assert RunFolder.open(run.uri, allowances) == run
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "elsewhere").symlink_to("/etc")
    with pytest.raises(SettingsError, match="/etc is not allowed"):
        RunFolder.open(f"{tmp_path}/out/elsewhere", allowances)


def test_a_folder_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path / "mounted")
    with pytest.raises(StorageError, match=r"cannot write .*mounted is gone"):
        folder.file("a/b").write_bytes(b"1")
    assert not folder.path.exists()
    folder.create()
    folder.file("a/b").write_bytes(b"1")
    assert folder.file("a/b").exists()


def test_a_folder_lists_and_clears_its_files(tmp_path: Path) -> None:
    folder = open_folder(str(tmp_path), Allowances.parse(str(tmp_path))).folder("parts")
    assert folder.files() == []
    folder.clear()
    for name in ("b", "a", "deeper/c"):
        folder.file(name).write_bytes(name.encode())
    (tmp_path / "parts" / ".tmp-a-1234").touch()
    assert [file.name for file in folder.files()] == ["a", "b"]
    folder.file("a").delete()
    folder.file("a").delete()
    with pytest.raises(FileNotFoundError):
        folder.file("a").read_bytes()
    folder.clear()
    assert list(tmp_path.iterdir()) == []
