from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_pipeline.errors import ErrorCategory, StagedBatchError, Status
from ocr_pipeline.records import BatchRef, Failure, ImageRef, ResultRow, unfetched_row
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.staging import BatchStore, by_image, decode_rows, encode_rows, load_staged, read_progress
from ocr_pipeline.storage.disk import LocalFolder

READ = ResultRow(
    row=0, status=Status.OK, text="a\n\"b\",\r\nc", confidence=0.5, lines="[]", page=0, width=3, height=4, bytes=5,
    sha256="ab", error=None, error_detail=None, http_status=200, attempts=1, fetch_seconds=0.25, read_seconds=1e-05,
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
        http_status=st.none() | st.integers(100, 599),
        attempts=st.integers(0, 10),
        fetch_seconds=st.floats(0, 1e6),
        read_seconds=st.floats(0, 1e6),
        model=st.none() | TEXT.filter(bool),
    )
)
def test_rows_survive_the_csv(row: ResultRow) -> None:
    assert decode_rows(encode_rows([row, READ]), "x") == [row, READ]


def test_characters_that_csv_cannot_carry_are_replaced() -> None:
    row = replace(READ, text="a\0b", error_detail="\ud800")
    (read,) = decode_rows(encode_rows([row]), "x")
    assert (read.text, read.error_detail) == ("a\N{REPLACEMENT CHARACTER}b", "?")


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-7], lambda c: c.replace(b"ok", b"oK"), lambda c: b"", lambda c: c[9:]]
)
def test_damaged_rows_are_refused(damage) -> None:
    with pytest.raises(StagedBatchError, match="part-1"):
        decode_rows(damage(encode_rows([READ])), "part-1")


def test_images_with_a_page_missing_are_not_taken_for_whole() -> None:
    pages = [replace(READ, row=1, page=1), replace(READ, row=1), replace(READ, row=2, page=1)]
    assert by_image(pages) == {1: [pages[1], pages[0]]}


def test_a_batch_is_staged_with_its_marker_and_checkpoints_go(run: RunFolder, batch: BatchRef) -> None:
    store = BatchStore(run, batch)
    assert store.resume({0, 1}).kept == {}
    store.checkpoint([replace(READ, row=1), failure(0, ErrorCategory.NOT_FOUND)])
    store.report(done=2, failed=1)
    assert read_progress(run, batch).done == 2
    statistics = store.stage(store.finished(), seconds=2.0, resumed=0)
    assert [row.row for row in load_staged(run, batch)] == [0, 1]
    assert (statistics.images, statistics.failed, statistics.errors) == (2, 1, {"not_found": 1})
    assert not run.checkpoints(3).path.exists()
    assert read_progress(run, batch).staged


def test_a_staged_batch_that_is_not_the_markers_is_refused(run: RunFolder, batch: BatchRef) -> None:
    with pytest.raises(StagedBatchError, match=r"batch 3 .* is not finished"):
        load_staged(run, batch)
    store = BatchStore(run, batch)
    store.stage({0: [READ]}, seconds=1, resumed=0)
    run.staged(3).write_bytes(encode_rows([replace(READ, text="other")]))
    with pytest.raises(StagedBatchError, match="not the file that its marker describes"):
        load_staged(run, batch)
    run.marker(3).write_bytes(b"[]")
    with pytest.raises(StagedBatchError, match="damaged"):
        load_staged(run, batch)


def test_an_unfinished_batch_resumes_with_all_but_transient_failures(run: RunFolder, batch: BatchRef) -> None:
    first = BatchStore(run, batch)
    first.resume({0, 1, 2})
    first.checkpoint([READ, failure(1, ErrorCategory.NOT_FOUND), failure(2, ErrorCategory.TIMEOUT)])
    again = BatchStore(run, batch)
    resumed = again.resume({0, 1, 2})
    assert (resumed.kept.keys(), resumed.transient, resumed.permanent) == ({0, 1}, {2}, set())
    again.checkpoint([replace(READ, row=2)])
    assert again.finished()[2][0].status is Status.OK


def test_a_person_has_permanent_failures_of_an_unfinished_batch_tried_again(run: RunFolder, batch: BatchRef) -> None:
    BatchStore(run, batch).checkpoint([READ, failure(1, ErrorCategory.NOT_FOUND), failure(2, ErrorCategory.TIMEOUT)])
    resumed = BatchStore(run, batch).resume({0, 1, 2}, retry_permanent=True)
    assert (resumed.kept.keys(), resumed.transient, resumed.permanent) == ({0}, {2}, {1})


def test_a_worse_outcome_does_not_replace_pages_that_were_read(run: RunFolder, batch: BatchRef) -> None:
    broken = replace(READ, page=1, status=Status.READ_FAILED, error="engine_error", text="")
    store = BatchStore(run, batch)
    store.checkpoint([READ, broken])
    again = BatchStore(run, batch)
    assert again.resume({0}).transient == {0}
    again.checkpoint([failure(0, ErrorCategory.TIMEOUT)])
    assert again.finished() == {0: [READ, broken]}
    third = BatchStore(run, batch)
    third.resume({0})
    assert third.finished() == {0: [READ, broken]}
    whole = [READ, replace(READ, page=1), replace(READ, page=2)]
    again.checkpoint(whole)
    assert again.finished() == {0: whole}
    assert BatchStore(run, batch).resume({0}).kept == {0: whole}


def test_a_staged_batch_resumes_with_what_was_read(run: RunFolder, batch: BatchRef) -> None:
    rows = {0: [READ], 1: [failure(1, ErrorCategory.NOT_FOUND)], 2: [failure(2, ErrorCategory.TIMEOUT)]}
    BatchStore(run, batch).stage(rows, seconds=1, resumed=0)
    assert BatchStore(run, batch).resume({0, 1, 2}).kept == {0: [READ]}
    # A crash between the data and the marker loses nothing either.
    run.marker(3).delete()
    assert BatchStore(run, batch).resume({0, 1, 2}).kept == {0: [READ]}


def test_damaged_checkpoints_are_read_again(run: RunFolder, batch: BatchRef) -> None:
    store = BatchStore(run, batch)
    store.checkpoint([READ])
    store.checkpoint([replace(READ, row=1)])
    part = run.checkpoints(3).files()[0]
    part.write_bytes(part.read_bytes()[:-9])
    again = BatchStore(run, batch)
    assert again.resume({0, 1}).kept.keys() == {1}
    again.checkpoint([READ])
    assert again.finished().keys() == {0, 1}
