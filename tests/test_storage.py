import os
import resource
import signal
from pathlib import Path

import pytest

from ocr_pipeline.config import Allowances
from ocr_pipeline.errors import StorageError
from ocr_pipeline.storage import RunFolder, whole_file, write_whole


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_whole(path, b"old")

    def write_half() -> None:
        with whole_file(path) as temporary:
            temporary.write_bytes(b"ne")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        # A limit of the file size fails a write as a full disk does, once its signal is ignored.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_whole(tmp_path / "file", b"x" * 2000)
        except StorageError as error:
            os._exit(7 if f"cannot write {tmp_path / 'file'}" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert list(tmp_path.iterdir()) == []


def test_a_run_has_a_folder_whatever_its_name(tmp_path: Path) -> None:
    allowances = Allowances.parse(str(tmp_path))
    names = ["scheduled__2026-01-01T00:00:00+00:00", "scheduled__2026-01-01T00-00-00+00-00", "../../etc", "ünï", "a/b"]
    folders = [RunFolder.of(str(tmp_path / "out"), name, allowances).path for name in names]
    assert len(set(folders)) == len(names)
    assert {folder.parent for folder in folders} == {tmp_path / "out"}


@pytest.mark.parametrize(
    ("output", "said"), [("results", "absolute"), ("/etc/ocr", "ALLOW=/etc/ocr"), ("s3://b/k", "absolute")]
)
def test_results_go_only_where_the_deployment_allows(tmp_path: Path, output: str, said: str) -> None:
    with pytest.raises(StorageError, match=said):
        RunFolder.of(output, "run", Allowances.parse(str(tmp_path)))
