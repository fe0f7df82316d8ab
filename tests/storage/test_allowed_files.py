"""Files whose folder is swapped for a link out of the allowed ones, after the check and before the opening."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from ocr_pipeline.dataset import open_dataset
from ocr_pipeline.errors import DatasetError, ErrorCategory, ImageError
from ocr_pipeline.fetch.files import read_file
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings
from ocr_pipeline.storage.allowed_files import IrregularError, OutsideError, open_allowed

SECRET = b"image_link\nsecret.jpg\n"
IMAGE = b"image_link\nimage.jpg\n"


@dataclass(frozen=True)
class Tricked(Allowances):
    """Allowances that are tricked: what was allowed is another file as soon as they have said so."""

    trick: Callable[[], None] = lambda: None

    def allows_path(self, path: Path) -> bool:
        allowed = super().allows_path(path)
        self.trick()
        return allowed


class Folders:
    """An allowed folder, with a folder in it, beside one that is not and has files of the same names."""

    def __init__(self, root: Path) -> None:
        self.allowed, self.secret = root / "allowed", root / "secret"
        self.sub, self._aside = self.allowed / "sub", self.allowed / "aside"
        for folder, content in ((self.sub, IMAGE), (self.secret, SECRET)):
            (folder / "photos").mkdir(parents=True)
            (folder / "file.csv").write_bytes(content)
            pyarrow.parquet.write_table(pa.table({"image_link": [folder.name]}), folder / "file.parquet")
            (folder / "photos" / f"{folder.name}.jpg").touch()

    def swap(self) -> None:
        """Let the inner folder be a link to the secret one, if it is not yet."""
        if not self.sub.is_symlink():
            self.sub.rename(self._aside)
            self.sub.symlink_to(self.secret)

    def swap_back(self) -> None:
        """Undo it."""
        self.sub.unlink()
        self._aside.rename(self.sub)

    def tricked(self) -> Tricked:
        """Allowances of the allowed folder, which is swapped under their eyes."""
        return Tricked(folders=Allowances.parse(str(self.allowed)).folders, trick=self.swap)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


@contextmanager
def swapping(folders: Folders) -> Iterator[None]:
    """Swap the folder to and fro as fast as it goes."""
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            folders.swap()
            folders.swap_back()

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_folder_that_is_swapped_after_the_check_gives_nothing_away(folders: Folders) -> None:
    with pytest.raises(ImageError) as caught:
        read_file(folders.sub / "file.csv", 1000, folders.tricked())
    assert caught.value.category is ErrorCategory.FORBIDDEN_PATH


def test_a_folder_that_is_swapped_all_the_time_gives_nothing_away(folders: Folders) -> None:
    allowed = Allowances.parse(str(folders.allowed))
    outcomes: set[bytes | ErrorCategory] = set()
    until = time.monotonic() + 3
    with swapping(folders):
        while time.monotonic() < until:
            try:
                outcomes.add(read_file(folders.sub / "file.csv", 1000, allowed))
            except ImageError as error:
                outcomes.add(error.category)
    assert SECRET not in outcomes
    assert {IMAGE, ErrorCategory.FORBIDDEN_PATH} <= outcomes  # it was read in between, and refused


@pytest.mark.parametrize("name", ["file.csv", "file.parquet", "photos"])
def test_a_dataset_whose_folder_is_swapped_is_refused(folders: Folders, tmp_path: Path, name: str) -> None:
    settings = RunSettings(dataset=str(folders.sub / name), output="/out")

    def links(allowances: Allowances) -> list[str]:
        batches = open_dataset(settings, allowances, tmp_path).record_batches()
        return [link for batch in batches for link in batch.column("image_link").to_pylist()]

    assert links(Allowances.parse(str(folders.allowed))) in (["image.jpg"], ["sub"], ["sub.jpg"])
    with pytest.raises(DatasetError, match="allowed folder"):
        links(folders.tricked())


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(folders: Folders) -> None:
    file = folders.sub / "file.csv"

    def put_a_pipe() -> None:
        file.unlink()
        os.mkfifo(file)

    allowed = Tricked(folders=Allowances.parse(str(folders.allowed)).folders, trick=put_a_pipe)
    with pytest.raises(IrregularError, match="a pipe, socket or device"):
        open_allowed(file, allowed)


def test_a_file_that_is_gone_once_it_is_open_is_read(folders: Folders) -> None:
    with open_allowed(folders.sub / "file.csv", Allowances.parse(str(folders.allowed))) as file:
        (folders.sub / "file.csv").unlink()
        assert file.read() == IMAGE


def test_links_within_the_allowed_folder_are_followed_and_others_are_not(folders: Folders) -> None:
    allowed = Allowances.parse(str(folders.allowed))
    (folders.allowed / "inside.csv").symlink_to("sub/file.csv")
    (folders.allowed / "outside.csv").symlink_to("../secret/file.csv")
    with open_allowed(folders.allowed / "inside.csv", allowed) as file:
        assert file.read() == IMAGE
    with pytest.raises(OutsideError, match="is not in an allowed folder"):
        open_allowed(folders.allowed / "outside.csv", allowed)
