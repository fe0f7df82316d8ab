from pathlib import Path

import pytest

from ocr_pipeline.errors import StorageError
from ocr_pipeline.folders import LocalFile
from ocr_pipeline.journal import DeathNote, Journal


def file(folder: Path) -> LocalFile:
    return LocalFile(folder / "j", folder)


_dead: list[object] = []


def open_for_good(context) -> None:
    """Enter ``context`` and never leave it, not even when it is collected: what a killed process does."""
    context.__enter__()
    _dead.append(context)


def test_an_attempt_that_ends_leaves_no_suspects(tmp_path: Path) -> None:
    with Journal(file(tmp_path)) as journal, journal.reading(1):
        pass
    assert Journal(file(tmp_path)).before == DeathNote()


def test_an_error_is_no_death(tmp_path: Path) -> None:
    def fail() -> None:
        with Journal(file(tmp_path)) as journal, journal.reading(1):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert Journal(file(tmp_path)).before == DeathNote()


def test_what_was_under_way_is_suspect_and_what_was_read_alone_is_at_fault(tmp_path: Path) -> None:
    first = Journal(file(tmp_path))
    open_for_good(first)
    with first.reading(1):
        pass
    open_for_good(first.reading(2))
    open_for_good(first.reading(3))
    second = Journal(file(tmp_path))
    assert second.before == DeathNote(suspects=frozenset({2, 3}))
    open_for_good(second)
    with second.reading(2, alone=True):
        pass
    open_for_good(second.reading(3, alone=True))
    third = Journal(file(tmp_path))
    assert third.before == DeathNote(culprits=frozenset({3}))
    open_for_good(third)
    open_for_good(third.reading(4))
    assert Journal(file(tmp_path)).before == DeathNote(frozenset({4}), frozenset({3}))


def test_suspects_not_yet_read_stay_suspects(tmp_path: Path) -> None:
    first = Journal(file(tmp_path))
    open_for_good(first)
    for row in (5, 6):
        open_for_good(first.reading(row))
    second = Journal(file(tmp_path))
    open_for_good(second)
    assert Journal(file(tmp_path)).before.suspects == {5, 6}
    second.blame([6])
    assert Journal(file(tmp_path)).before == DeathNote(culprits=frozenset({6}))


def test_a_culprit_may_be_given_one_more_chance(tmp_path: Path) -> None:
    first = Journal(file(tmp_path))
    open_for_good(first)
    first.blame([6])
    second = Journal(file(tmp_path), forgive=True)
    assert second.before == DeathNote(suspects=frozenset({6}))
    open_for_good(second)
    open_for_good(second.reading(6, alone=True))
    assert Journal(file(tmp_path)).before == DeathNote(culprits=frozenset({6}))


def test_a_torn_note_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"+12\n+\n\xff\n-1x\n?3\nx4\n!5")
    assert Journal(file(tmp_path)).before == DeathNote(frozenset({12}), frozenset({4}))


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot read .*Not a directory"):
        Journal(LocalFile(tmp_path / "file" / "j", tmp_path)).__enter__()
