from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_pipeline.errors import ErrorCategory, StagedBatchError, Status, StorageError
from ocr_pipeline.records import BatchRef, Failure, ImageRef, ResultRow, unfetched_row
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.rows import HEADER, decode_rows, encode_rows, read_rows
from ocr_pipeline.run.staging import BatchProgress, load_staged, read_progress
from ocr_pipeline.storage.disk import LocalFolder
from tests.conftest import local_path

DIGEST = "0123456789abcdef" * 2

READ = ResultRow(
    row=0, status=Status.OK, text="a\n\"b\",\r\nc", confidence=0.5, lines="[]", page=0, width=3, height=4, bytes=5,
    sha256="ab", error=None, error_detail=None,
    warning=None, warning_detail=None,
    http_status=200, attempts=1, fetch_seconds=0.25, read_seconds=1e-05,
    model="m",
)  # fmt: skip


def failure(row: int, category: ErrorCategory) -> ResultRow:
    return unfetched_row(Failure(ImageRef(row, "x"), category, "why"))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(LocalFolder(tmp_path))


@pytest.fixture
def batch(tmp_path: Path) -> BatchRef:
    return BatchRef(run=str(tmp_path), index=3, first_row=0, rows=5, images=5)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(
    st.builds(
        ResultRow,
        row=st.integers(0, 10**12),
        status=st.sampled_from(Status),
        text=TEXT,
        confidence=st.none() | st.floats(0, 1),
        lines=TEXT,
        page=st.integers(0, 1000),
        width=st.none() | st.integers(1, 10**6),
        height=st.none() | st.integers(1, 10**6),
        bytes=st.none() | st.integers(0),
        sha256=st.none() | TEXT.filter(bool),
        error=st.none() | st.sampled_from([category.value for category in ErrorCategory]),
        error_detail=st.none() | TEXT.filter(bool),
        warning=st.none() | st.sampled_from(["fonts_missing", "fonts_missing,unknown_script"]),
        warning_detail=st.none() | TEXT.filter(bool),
        http_status=st.none() | st.integers(100, 599),
        attempts=st.integers(0, 10),
        fetch_seconds=st.floats(0, 1e6),
        read_seconds=st.floats(0, 1e6),
        model=st.none() | TEXT.filter(bool),
    )
)
def test_rows_survive_the_csv(row: ResultRow) -> None:
    assert decode_rows(encode_rows([row, READ])) == [row, READ]


def test_characters_that_csv_cannot_carry_are_replaced() -> None:
    row = replace(READ, text="a\0b", error_detail="\ud800")
    (read,) = decode_rows(encode_rows([row]))
    assert (read.text, read.error_detail) == ("a\N{REPLACEMENT CHARACTER}b", "?")


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-7], lambda c: c.replace(b"ok", b"oK"), lambda c: b"", lambda c: c[9:]]
)
def test_damaged_rows_are_refused(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(damage(HEADER + encode_rows([READ])))
    with pytest.raises(StagedBatchError, match="part-1"):
        list(read_rows(path, "part-1"))


@pytest.fixture
def open_store(run: RunFolder, batch: BatchRef) -> Iterator[Callable[..., BatchStore]]:
    """Opens the store of the batch, as each attempt does."""
    with ExitStack() as opened:
        yield lambda digest=DIGEST: opened.enter_context(BatchStore(run, batch, digest))


def keep(store: BatchStore, *images: list[ResultRow]) -> None:
    """Finish images and write them down."""
    for pages in images:
        store.add(pages)
    store.checkpoint()


def rows_of(store: BatchStore, tmp_path: Path, *images: int) -> list[ResultRow]:
    """What the store has of some images."""
    path = tmp_path / "written.csv"
    store.write(path, images)
    return list(read_rows(path, "written"))


def test_images_with_a_page_missing_are_not_taken_for_whole(
    open_store: Callable[..., BatchStore], tmp_path: Path
) -> None:
    pages = [replace(READ, row=1, page=1), replace(READ, row=1), replace(READ, row=2, page=1)]
    keep(open_store(), pages[:2], pages[2:])
    again = open_store()
    assert again.resume({1, 2}).kept == {1}
    assert rows_of(again, tmp_path, 1) == [pages[1], pages[0]]


def test_a_batch_is_staged_with_its_marker_and_checkpoints_go(
    run: RunFolder, batch: BatchRef, open_store: Callable[..., BatchStore]
) -> None:
    store = open_store()
    assert store.resume({0, 1}).kept == set()
    keep(store, [replace(READ, row=1)], [failure(0, ErrorCategory.NOT_FOUND)])
    store.report(BatchProgress(done=2, failed=1, total=2, slowest_hosts={"a.example": 1.5}))
    assert read_progress(run, batch) == BatchProgress(2, 1, 2, slowest_hosts={"a.example": 1.5})
    store.report_end("the disk is full")
    assert read_progress(run, batch).error == "the disk is full"
    statistics = store.stage([0, 1], seconds=2.0, resumed=0)
    assert [row.row for row in load_staged(run, batch, DIGEST)] == [0, 1]
    assert (statistics.images, statistics.failed, statistics.errors) == (2, 1, {"not_found": 1})
    assert (statistics.models, statistics.digest) == (["m"], DIGEST)
    assert not local_path(run.checkpoints(3)).exists()
    assert read_progress(run, batch).staged


def test_a_staged_batch_that_is_not_the_markers_is_refused(
    run: RunFolder, batch: BatchRef, open_store: Callable[..., BatchStore]
) -> None:
    with pytest.raises(StagedBatchError, match=r"batch 3 .* is not finished"):
        load_staged(run, batch, DIGEST)
    store = open_store()
    keep(store, [READ])
    store.stage([0], seconds=1, resumed=0)
    with pytest.raises(StagedBatchError, match="was staged for another plan"):
        load_staged(run, batch, "other")
    run.staged(3).write_bytes(HEADER + encode_rows([replace(READ, text="other")]))
    with pytest.raises(StagedBatchError, match="not the file that its marker describes"):
        load_staged(run, batch, DIGEST)
    run.marker(3).write_bytes(b"[]")
    with pytest.raises(StagedBatchError, match="damaged"):
        load_staged(run, batch, DIGEST)


def test_an_unfinished_batch_resumes_with_all_but_transient_failures(
    open_store: Callable[..., BatchStore], tmp_path: Path
) -> None:
    first = open_store()
    first.resume({0, 1, 2})
    keep(first, [READ], [failure(1, ErrorCategory.NOT_FOUND)], [failure(2, ErrorCategory.TIMEOUT)])
    again = open_store()
    resumed = again.resume({0, 1, 2})
    assert (resumed.kept, resumed.kept_failed, resumed.transient, resumed.permanent) == (
        frozenset({0, 1}), 1, frozenset({2}), frozenset[int](),
    )  # fmt: skip
    keep(again, [replace(READ, row=2)])
    assert rows_of(again, tmp_path, 2)[0].status is Status.OK


def test_a_person_has_permanent_failures_of_an_unfinished_batch_tried_again(
    open_store: Callable[..., BatchStore],
) -> None:
    keep(open_store(), [READ], [failure(1, ErrorCategory.NOT_FOUND)], [failure(2, ErrorCategory.TIMEOUT)])
    resumed = open_store().resume({0, 1, 2}, retry_permanent=True)
    assert (resumed.kept, resumed.transient, resumed.permanent) == (frozenset({0}), frozenset({2}), frozenset({1}))


def test_what_was_kept_for_another_plan_is_left_alone(
    run: RunFolder, open_store: Callable[..., BatchStore], caplog: pytest.LogCaptureFixture
) -> None:
    keep(open_store(), [READ])
    other = open_store("other")
    assert other.resume({0}).kept == set()
    assert "belongs to another plan" in caplog.text
    assert open_store().resume({0}).kept == {0}
    keep(other, [READ])
    other.stage([0], seconds=1, resumed=0)
    caplog.clear()
    assert open_store().resume({0}).kept == set()
    assert "was staged for another plan" in caplog.text


def test_a_worse_outcome_does_not_replace_pages_that_were_read(
    open_store: Callable[..., BatchStore], tmp_path: Path
) -> None:
    broken = replace(READ, page=1, status=Status.READ_FAILED, error="engine_error", text="")
    keep(open_store(), [READ, broken])
    again = open_store()
    assert again.resume({0}).transient == {0}
    keep(again, [failure(0, ErrorCategory.TIMEOUT)])
    assert rows_of(again, tmp_path, 0) == [READ, broken]
    third = open_store()
    third.resume({0})
    assert rows_of(third, tmp_path, 0) == [READ, broken]
    whole = [READ, replace(READ, page=1), replace(READ, page=2)]
    keep(again, whole)
    assert rows_of(again, tmp_path, 0) == whole
    fourth = open_store()
    assert fourth.resume({0}).kept == {0}
    assert rows_of(fourth, tmp_path, 0) == whole


def test_a_staged_batch_resumes_with_what_was_read(run: RunFolder, open_store: Callable[..., BatchStore]) -> None:
    store = open_store()
    keep(store, [READ], [failure(1, ErrorCategory.NOT_FOUND)], [failure(2, ErrorCategory.TIMEOUT)])
    store.stage([0, 1, 2], seconds=1, resumed=0)
    again = open_store()
    assert again.resume({0, 1, 2}).kept == {0}
    # Nothing is lost when staging again is cut off between the data and the marker.
    for image in (1, 2):
        again.add([replace(READ, row=image)])
    marker = run.marker(3).read_bytes()
    again.stage([0, 1, 2], seconds=1, resumed=1)
    assert open_store().resume({0, 1, 2}).kept == {0, 1, 2}
    run.marker(3).write_bytes(marker)
    assert open_store().resume({0, 1, 2}).kept == set()


def test_damaged_checkpoints_are_read_again(
    run: RunFolder, open_store: Callable[..., BatchStore], tmp_path: Path
) -> None:
    store = open_store()
    keep(store, [READ])
    keep(store, [replace(READ, row=1)])
    part = run.checkpoints(3).files()[0]
    part.write_bytes(part.read_bytes()[:-9])
    again = open_store()
    assert again.resume({0, 1}).kept == {1}
    keep(again, [READ])
    assert len(rows_of(again, tmp_path, 0, 1)) == 2


def test_what_could_not_be_written_is_written_with_the_next_part(
    run: RunFolder, open_store: Callable[..., BatchStore]
) -> None:
    store = open_store()
    run.folder.file("checkpoints").write_bytes(b"in the way")
    store.add([READ])
    with pytest.raises(StorageError):
        store.checkpoint()
    run.folder.file("checkpoints").delete()
    keep(store, [replace(READ, row=1)])
    assert open_store().resume({0, 1}).kept == {0, 1}
