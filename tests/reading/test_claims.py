"""Memory that batches of one container set aside."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ocr_pipeline.reading.claims import Claim, open_claims

CLAIM = """
import sys, time
from pathlib import Path
from ocr_pipeline.reading.claims import open_claims
with open_claims(Path(sys.argv[1])) as claims:
    others = claims.others
    time.sleep(0.2)
    claim = claims.add(10)
print(others, flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "claims"


def claim(amount: int, folder: Path) -> Claim:
    with open_claims(folder) as claims:
        made = claims.add(amount)
    assert made is not None
    return made


def others(folder: Path) -> int:
    with open_claims(folder) as claims:
        return claims.others


def test_a_claim_holds_until_it_is_left(folder: Path) -> None:
    assert others(folder) == 0
    with claim(3, folder):
        with claim(4, folder):
            assert others(folder) == 7
        assert others(folder) == 3
    assert not list(folder.iterdir())


def test_a_claim_that_nobody_has_any_more_holds_no_longer(folder: Path) -> None:
    made = claim(3, folder)
    assert others(folder) == 3
    del made
    assert others(folder) == 0


def test_a_claim_may_be_left_though_its_file_was_removed(folder: Path) -> None:
    with claim(3, folder):
        for path in folder.iterdir():  # as what tidies up folders for temporary files does
            path.unlink()
    assert others(folder) == 0


def test_claims_of_batches_that_begin_together_or_are_killed(folder: Path) -> None:
    batches = [
        subprocess.Popen([sys.executable, "-c", CLAIM, str(folder)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    try:
        assert sorted(int(batch.stdout.readline()) for batch in batches if batch.stdout) == [0, 10, 20, 30]
        assert others(folder) == 40
    finally:
        for batch in batches:
            batch.kill()
            batch.communicate()
    assert others(folder) == 0
    assert not list(folder.iterdir())


def test_claims_come_and_go_while_others_look(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()

    def come_and_go() -> None:
        while not done.is_set():
            with claim(1, folder):
                pass

    with claim(100, folder):
        threads = [threading.Thread(target=come_and_go) for _ in range(3)]
        for thread in threads:
            thread.start()
        seen = {others(folder) for _ in range(500)}
        done.set()
        for thread in threads:
            thread.join()
    assert min(seen) >= 100
    assert max(seen) <= 103
    assert not caplog.records


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs, link, file = tmp_path / "theirs", tmp_path / "link", tmp_path / "file"
    theirs.mkdir()
    theirs.chmod(0o777)
    link.symlink_to(tmp_path)
    file.touch()
    for folder in (theirs, link, file, tmp_path / "no" / "parent"):
        caplog.clear()
        with open_claims(folder) as claims:
            assert claims.others == 0
            assert claims.add(3) is None
        (message,) = (record.message for record in caplog.records)
        assert "none knows of another" in message
    assert not list(theirs.iterdir())


def test_without_a_folder_for_temporary_files_that_is_said_as_well(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> str:
        raise FileNotFoundError("no usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", refuse)
    with open_claims() as claims:
        assert claims.others == 0
    assert "no usable temporary directory" in caplog.text
