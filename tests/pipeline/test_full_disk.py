"""A disk that is full or cannot be written, with real file systems, which only root can mount."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocr_pipeline.errors import StorageError
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.records import Page, PageText
from ocr_pipeline.settings.deployment import Allowances
from tests.conftest import WidthEngine, reading_with
from tests.pipeline.bucket_runs import plan, read_all, results
from tests.pipeline.test_refusals import STEPS, refuse, run_until

_BYTES = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_BYTES}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room there is; returns the file to remove again."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        size = 1 << 16
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2
    return ballast


def test_a_run_goes_on_when_there_is_room_again(
    disk: Path, dataset: Path, allowances: Allowances, expected: list[dict[str, str]]
) -> None:
    ballast = fill(disk)
    with pytest.raises(StorageError, match=r"cannot write .*No space left"):
        plan(dataset, str(disk), allowances)
    ballast.unlink()
    run, planned = plan(dataset, str(disk), allowances)
    ballast = fill(disk)
    for batch in planned.batches:
        with pytest.raises(StorageError, match=r"cannot write .*No space left"):
            Batch(batch, allowances, reading_with()).run()
    assert not any(run.marker(batch.index).exists() for batch in planned.batches)
    ballast.unlink()
    read_all(planned, allowances)
    ballast = fill(disk)
    with pytest.raises(StorageError, match=r"cannot write .*No space left"):
        merge_run(run)
    assert not run.summary.exists()
    ballast.unlink()
    assert merge_run(run).complete
    assert results(run) == expected


def test_a_disk_that_is_full_while_reading_ends_the_batch_and_blames_no_image(
    disk: Path, dataset: Path, allowances: Allowances, expected: list[dict[str, str]]
) -> None:
    run, planned = plan(dataset, str(disk), allowances)

    class FillingEngine(WidthEngine):
        def read(self, page: Page) -> PageText:
            if self.pages == 5:
                fill(disk)
            return super().read(page)

    with pytest.raises(StorageError, match="cannot write"):
        Batch(planned.batches[0], allowances, reading_with(FillingEngine())).run()
    (disk / "ballast").unlink()
    read_all(planned, allowances)
    assert merge_run(run).complete
    assert results(run) == expected


@pytest.mark.parametrize("step", STEPS)
def test_an_output_that_is_read_only_is_said(step: str, disk: Path, dataset: Path, allowances: Allowances) -> None:
    act = run_until(step, dataset, str(disk / "out"), allowances)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    refuse(
        act, r"^cannot (write|make folder) .*Read-only file system; correct the place or the rights to it, then retry"
    )
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    act()
