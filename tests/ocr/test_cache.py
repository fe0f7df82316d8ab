"""The cache of edited graphs and compiled networks."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ocr_pipeline.ocr import cache, load_engine
from ocr_pipeline.ocr.cache import cached
from ocr_pipeline.settings.run import ReadSettings
from tests.ocr.drawing import receipt

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OCR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / cache.OWN_FOLDER


class Maker:
    """Makes ``content`` and counts how often it had to."""

    def __init__(self, content: bytes = b"made") -> None:
        self.content = content
        self.calls = 0

    def __call__(self) -> bytes:
        self.calls += 1
        return self.content


def test_what_was_made_is_kept_for_its_key(folder: Path) -> None:
    maker = Maker()
    assert [cached([b"a", b"b"], maker) for _ in range(3)] == [b"made"] * 3
    assert maker.calls == 1
    for other in ([b"ab"], [b"a", b"b", b""], [b"b", b"a"]):
        cached(other, maker)
    assert maker.calls == 4


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 40])
def test_a_damaged_file_is_made_again(folder: Path, damage: bytes) -> None:
    maker = Maker()
    cached([b"key"], maker)
    (path,) = folder.iterdir()
    path.write_bytes(damage)

    assert [cached([b"key"], maker), cached([b"key"], maker)] == [b"made"] * 2
    assert maker.calls == 2


def test_a_folder_that_cannot_be_written_costs_only_time(folder: Path) -> None:
    folder.parent.write_text("a file")
    maker = Maker()
    assert [cached([b"key"], maker), cached([b"key"], maker)] == [b"made"] * 2
    assert maker.calls == 2


def test_a_file_of_somebody_else_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(f"not the owner of {path}")

    maker = Maker()
    cached([b"key"], maker)
    monkeypatch.setattr("os.utime", refuse)
    assert cached([b"key"], maker) == b"made"
    assert maker.calls == 1


def test_without_a_home_folder_nothing_is_cached(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OCR_CACHE", "~user-that-there-is-not/cache")
    maker = Maker()
    assert [cached([b"key"], maker), cached([b"key"], maker)] == [b"made"] * 2
    assert maker.calls == 2
    assert caplog.text.count("OCR_CACHE names another folder") == 1


def test_in_a_bucket_nothing_is_cached(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCR_CACHE", "s3://bucket/cache")
    maker = Maker()
    assert [cached([b"key"], maker), cached([b"key"], maker)] == [b"made"] * 2
    assert maker.calls == 2
    assert caplog.text.count("OCR_CACHE must be a folder, not 's3://bucket/cache'") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_was_not_used_for_longest_goes(folder: Path) -> None:
    for i in range(cache._KEPT):
        cached([b"%d" % i], Maker())
    for age, path in enumerate(folder.iterdir()):
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    used = Maker()
    cached([b"3"], used)
    assert used.calls == 0

    for i in range(1000, 1010):
        cached([b"%d" % i], Maker())

    assert len(list(folder.iterdir())) == cache._KEPT
    cached([b"3"], used)
    assert used.calls == 0


def test_what_others_have_put_there_stays(folder: Path) -> None:
    digest = "0" * 64
    foreign = {
        folder.parent / "of-another-program": b"theirs",
        folder.parent / digest: b"ocr_pipeline cache 1\nnot in our folder",
        folder / "notes.txt": b"theirs",
        folder / digest: b"our kind of name, no signature",
        folder / f"{digest}.txt": b"ocr_pipeline cache 1\nnot our kind of name",
        folder / "tmpabcdefgh": b"",
    }
    folder.mkdir(parents=True)
    for path, content in foreign.items():
        path.write_bytes(content)
        os.utime(path, (1_000_000, 1_000_000))
    (folder / ("1" * 64)).mkdir()
    (folder / ("2" * 64)).symlink_to(folder.parent / digest)

    for i in range(2 * cache._KEPT):
        cached([b"%d" % i], Maker())

    assert {path: path.read_bytes() for path in foreign} == foreign
    assert (folder / ("1" * 64)).is_dir()
    assert (folder / ("2" * 64)).is_symlink()
    assert len(list(folder.iterdir())) == cache._KEPT + 6


def test_what_a_killed_process_has_begun_goes_after_a_while(folder: Path) -> None:
    folder.mkdir(parents=True)
    begun = [folder / f"{'0' * 64}.abcdefg{n}.partial" for n in range(4)]
    for path, content in zip(begun, (b"", b"ocr_pipe", b"ocr_pipeline cache 1\nhalf", b"theirs"), strict=True):
        path.write_bytes(content)
        os.utime(path, (1_000_000, 1_000_000))
    (now := folder / f"{'0' * 64}.abcdefgh.partial").touch()

    cached([b"key"], Maker())

    assert [path.exists() for path in begun] == [False, False, False, True]
    assert now.exists()


def test_threads_may_use_it_at_once(folder: Path) -> None:
    contents = [b"%03d" % i * 50_000 for i in range(100)]
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda content: cached([content[:3]], lambda: content), contents * 5))
    assert read == contents * 5
    assert len(list(folder.iterdir())) <= cache._KEPT + 8  # who finds another clearing up leaves it to them


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_an_engine_from_the_cache_reads_the_same(folder: Path, engine: str) -> None:
    settings = ReadSettings.model_validate({"engine": engine, "languages": ["en", "ja"], "threads": 1})
    first = load_engine(settings).read(receipt())
    made = {path: path.stat().st_ino for path in folder.iterdir()}
    second = load_engine(settings).read(receipt())

    assert second == first
    # Two graphs; OpenVINO compiles each for any shape, and the recogniser for the widths of the lines as well.
    assert len(made) > 4 if engine == "openvino" else len(made) == 2
    assert {path: path.stat().st_ino for path in folder.iterdir()} == made


def test_the_log_says_once_what_takes_so_long(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for key in (b"one", b"two", b"one"):
        cached([key], Maker())
    (record,) = caplog.records
    assert record.getMessage().startswith("compiling networks")
    assert str(folder) in record.getMessage()
