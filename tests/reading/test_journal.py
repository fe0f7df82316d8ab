import ctypes
from collections import deque
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from ocr_pipeline.errors import StorageError
from ocr_pipeline.reading.journal import LEASE, DeathNote, Journal
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.storage import objects
from ocr_pipeline.storage.disk import LocalFile
from ocr_pipeline.storage.folders import StoredFile
from ocr_pipeline.storage.opening import open_folder
from tests.storage.faulty_store import Fault, FaultyStore, StoreRequest


@pytest.fixture(params=["disk", "bucket"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> StoredFile:
    if request.param == "disk":
        return LocalFile(tmp_path / "j", tmp_path)
    bucket = request.getfixturevalue("bucket")
    return open_folder(f"s3://{bucket}", request.getfixturevalue("s3_allowances")).file("j")


def open_for_good(context: AbstractContextManager[object]) -> None:
    """Enter ``context`` and never leave it, not even when the interpreter ends: what a killed process does."""
    context.__enter__()
    # One reference too many: closing a generator at the end would wait for a thread that is no more.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(context))


def test_an_attempt_that_ends_leaves_no_suspects(file: StoredFile) -> None:
    with Journal(file) as journal, journal.reading(1):
        pass
    assert Journal(file).before == DeathNote()


def test_an_error_is_no_death(file: StoredFile) -> None:
    def fail() -> None:
        with Journal(file) as journal, journal.reading(1):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert Journal(file).before == DeathNote()


def test_what_was_under_way_is_suspect_and_what_was_read_alone_is_at_fault(file: StoredFile) -> None:
    first = Journal(file)
    open_for_good(first)
    with first.reading(1):
        pass
    open_for_good(first.reading(2))
    open_for_good(first.reading(3))
    second = Journal(file)
    assert second.before == DeathNote(suspects=frozenset({2, 3}))
    open_for_good(second)
    with second.reading(2, alone=True):
        pass
    open_for_good(second.reading(3, alone=True))
    third = Journal(file)
    assert third.before == DeathNote(culprits=frozenset({3}))
    open_for_good(third)
    open_for_good(third.reading(4))
    assert Journal(file).before == DeathNote(frozenset({4}), frozenset({3}))


def test_suspects_not_yet_read_stay_suspects(file: StoredFile) -> None:
    first = Journal(file)
    open_for_good(first)
    for row in (5, 6):
        open_for_good(first.reading(row))
    second = Journal(file)
    open_for_good(second)
    assert Journal(file).before.suspects == {5, 6}
    second.blame([6])
    assert Journal(file).before == DeathNote(culprits=frozenset({6}))


def test_a_culprit_may_be_given_one_more_chance(file: StoredFile) -> None:
    first = Journal(file)
    open_for_good(first)
    first.blame([6])
    second = Journal(file, forgive=True)
    assert second.before == DeathNote(suspects=frozenset({6}))
    open_for_good(second)
    open_for_good(second.reading(6, alone=True))
    assert Journal(file).before == DeathNote(culprits=frozenset({6}))


def test_a_torn_note_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"+12\n+\n\xff\n-1x\n?3\nx4\n!5")
    assert Journal(LocalFile(tmp_path / "j", tmp_path)).before == DeathNote(frozenset({12}), frozenset({4}))


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot read .*Not a directory"):
        Journal(LocalFile(tmp_path / "file" / "j", tmp_path)).__enter__()


def through(store: FaultyStore, bucket: str, connection: Connection) -> StoredFile:
    """The journal's file behind the proxy."""
    found = replace(connection, extra={**connection.extra, "endpoint_url": store.url})
    return open_folder(f"s3://{bucket}", Allowances.parse(f"s3://minio@{bucket}", lambda _: found)).file("j")


@pytest.mark.slow
@pytest.mark.parametrize("readers", [1, LEASE + 8])
def test_what_is_read_next_is_noted_ahead_some_at_a_time(
    readers: int, bucket: str, s3_connection: Connection, s3_endpoint: str
) -> None:
    puts = []

    def judge(request: StoreRequest) -> None:
        if request.changes:
            puts.append(request)

    with FaultyStore(s3_endpoint, judge) as store, Journal(through(store, bucket, s3_connection)) as journal:
        rows = list(range(4 * LEASE))
        under_way: deque[AbstractContextManager[None]] = deque()
        for row in rows:
            if len(under_way) == readers:
                under_way.popleft().__exit__(None, None, None)
            journal.expect(rows[row - len(under_way) :])
            under_way.append(journal.reading(row))
            under_way[-1].__enter__()
            before = Journal(through(store, bucket, s3_connection)).before
            assert row in before.suspects
            assert len(before.suspects) <= LEASE + readers
        for reading in under_way:
            reading.__exit__(None, None, None)
    assert len(puts) < LEASE


def test_a_note_that_the_store_does_not_take_is_an_error_for_whoever_reads(
    bucket: str, s3_connection: Connection, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_RETRIES", 0)
    monkeypatch.setattr(objects, "_PAUSE_SECONDS", 0)
    with FaultyStore(s3_endpoint) as store:
        with Journal(through(store, bucket, s3_connection)) as journal:
            store.judge = lambda request: Fault.SERVER_ERROR if request.method == "PUT" else None
            for row in (1, 2):
                with pytest.raises(StorageError, match=r"cannot write s3://.*/j: .*500"):
                    journal.reading(row).__enter__()
        assert Journal(through(store, bucket, s3_connection)).before == DeathNote()


def test_an_error_that_nobody_foresaw_reaches_whoever_reads_too(
    bucket: str, s3_allowances: Allowances, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = open_folder(f"s3://{bucket}", s3_allowances).file("j")

    def fail(file: StoredFile, content: bytes) -> None:
        raise ZeroDivisionError

    with Journal(file) as journal:
        monkeypatch.setattr(type(file), "write_bytes", fail)
        with pytest.raises(ZeroDivisionError), journal.reading(1):
            pytest.fail("it was not noted")
