"""Whatever a dataset holds and whatever happens to its batches, every row comes out once a page, in order."""

from __future__ import annotations

import csv
import tempfile
from dataclasses import dataclass
from itertools import cycle, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_pipeline.errors import ErrorCategory, Status
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.planning.planning import plan_run
from ocr_pipeline.records import BatchRef, ImageRef, ResultRow, unfinished_row
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan, batch_images
from ocr_pipeline.run.staging import load_staged
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings
from tests.conftest import local_path

Outcome = tuple[ErrorCategory | Status, ...]
"""What becomes of each page of an image in one attempt; only the last one can fail."""

READ = st.sampled_from([Status.OK, Status.NO_TEXT])
FAILURE = st.sampled_from(
    [ErrorCategory.TIMEOUT, ErrorCategory.NOT_FOUND, ErrorCategory.CORRUPT, ErrorCategory.ENGINE_ERROR]
)
OUTCOME = st.builds(
    lambda pages, failure: (*pages, *failure),
    st.lists(READ, max_size=3),
    st.lists(FAILURE, max_size=1),
).filter(bool)
LINKS = st.lists(st.sampled_from(["", "a", "b", "ü c", 'd"\r\n,', "=e", *"fghijklm"]), max_size=30)


@dataclass(frozen=True)
class Attempt:
    """One attempt at a batch: outcomes by turns, how many images it checkpoints, whether it comes to its end."""

    outcomes: list[Outcome]
    checkpointed: int
    staged: bool
    cleared: bool


ATTEMPTS = st.lists(
    st.builds(Attempt, st.lists(OUTCOME, min_size=1, max_size=5), st.integers(0, 6), st.booleans(), st.booleans()),
    max_size=3,
)


def rows_of(image: ImageRef, outcome: Outcome, attempt: int) -> list[ResultRow]:
    """The rows of an outcome; their text says by which attempt they were made."""
    rows = []
    for page, end in enumerate(outcome):
        category = end if isinstance(end, ErrorCategory) else None
        failed = category is not None
        rows.append(
            ResultRow(
                row=image.row, status=end.status if isinstance(end, ErrorCategory) else end,
                text=f"{image.link} {page} by {attempt}",
                confidence=None if failed else 0.5, lines="[]", page=page, width=None, height=4, bytes=5, sha256="ab",
                error=category and category.value, error_detail=None,
                warning=None, warning_detail=None,
                http_status=200, attempts=attempt,
                fetch_seconds=0.25, read_seconds=0.5, model=None if failed else "m",
            )
        )  # fmt: skip
    return rows


def is_read(rows: list[ResultRow]) -> bool:
    return not any(row.status.failed for row in rows)


def pages_read(rows: list[ResultRow]) -> int:
    return sum(not row.status.failed for row in rows)


def run_attempt(
    run: RunFolder, batch: BatchRef, plan: Plan, number: int, attempt: Attempt, best: dict[int, list[ResultRow]]
) -> None:
    """What a batch does in one attempt; ``best`` is what its images have come to so far."""
    images = batch_images(run, batch, plan)
    with BatchStore(run, batch, plan.digests[batch.index]) as store:
        resumed = store.resume({image.row for image in images}, retry_permanent=attempt.cleared)
        assert resumed.kept | resumed.transient | resumed.permanent == best.keys()
        assert all(is_read(best[row]) for row in resumed.kept) or not attempt.cleared
        todo = [image for image in images if image.row not in resumed.kept]
        outcomes = cycle(attempt.outcomes)
        for image in todo if attempt.staged else todo[: attempt.checkpointed]:
            rows = rows_of(image, next(outcomes), number)
            store.add(rows)
            store.checkpoint()
            before = pages_read(best.get(image.row, []))
            if is_read(rows) or pages_read(rows) > before or not before:
                best[image.row] = rows
        if attempt.staged:
            store.stage((image.row for image in images), seconds=1.0, resumed=len(resumed.kept))


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@settings(max_examples=30)
@given(
    links=LINKS,
    size=st.integers(1, 12),
    most=st.integers(1, 40),
    attempts=st.lists(ATTEMPTS, min_size=1, max_size=6),
    guard=st.booleans(),
    tight=st.booleans(),
)
def test_every_row_comes_out_once_a_page_in_order(
    links: list[str], size: int, most: int, attempts: list[list[Attempt]], guard: bool, tight: bool
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        if tight:  # so that little fits into memory
            patch.setattr("ocr_pipeline.merging.repeats._GROUPS", 3)
            patch.setattr("ocr_pipeline.merging.repeats._WAITING_BYTES", 300)
            patch.setattr("ocr_pipeline.merging.merge._TABLE_BYTES", 300)
            patch.setattr("ocr_pipeline.run.blocks._BLOCK_BYTES", 300)
        folder = Path(name)
        with (folder / "d.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("id", "image"), *enumerate(links)])
        allowances = Allowances.parse(name)
        parsed = RunSettings(
            dataset=str(folder / "d.csv"), output=str(folder / "out"), batch_size=size,
            csv_formulas="guard" if guard else "keep",
        )  # fmt: skip
        run = RunFolder.of(parsed.output, "run", allowances)
        plan = plan_run(parsed, run, allowances, max_batches=most)
        check_plan(run, plan, links, most)
        readings: dict[int, list[ResultRow]] = {}
        for batch in plan.batches:
            best: dict[int, list[ResultRow]] = {}
            for number, attempt in enumerate(attempts[batch.index % len(attempts)]):
                run_attempt(run, batch, plan, number, attempt, best)
            readings |= best
        check_results(run, plan, links, guard, readings)


def check_plan(run: RunFolder, plan: Plan, links: list[str], most: int) -> None:
    assert len(plan.batches) <= most
    assert plan.batches[0].first_row == 0
    for one, next_one in pairwise(plan.batches):
        assert next_one.first_row == one.first_row + one.rows
        assert one.rows == plan.batch_size
    assert sum(batch.rows for batch in plan.batches) == len(links)
    images = [image for batch in plan.batches for image in batch_images(run, batch, plan)]
    assert images == [ImageRef(row, link) for row, link in enumerate(links) if links.index(link) == row]


def check_results(
    run: RunFolder, plan: Plan, links: list[str], guard: bool, finished: dict[int, list[ResultRow]]
) -> None:
    there = [batch for batch in plan.batches if run.marker(batch.index).exists()]
    readings: dict[int, list[ResultRow]] = {}
    for batch in there:
        for page in load_staged(run, batch, plan.digests[batch.index]):
            readings.setdefault(page.row, []).append(page)
    for row, link in enumerate(links):
        if links.index(link) == row and row not in readings:
            readings[row] = finished.get(row) or [unfinished_row(row, "")]
    expected = [(row, page) for row in range(len(links)) for page in readings[links.index(links[row])]]

    merged = merge_run(run)
    files = (run.results_csv, run.results_parquet, run.failures_csv)
    before = [file.read_bytes() for file in files]

    def cell(text: str) -> str:
        return f"'{text}" if guard and text.startswith("=") else text

    assert [
        (line["id"], line["image"], line["ocr_page"], line["ocr_status"], line["ocr_text"])
        for line in read_csv(local_path(run.results_csv))
    ] == [(str(row), cell(links[row]), str(page.page), page.status, cell(page.text)) for row, page in expected]
    table = pa.parquet.read_table(local_path(run.results_parquet))
    assert list(zip(*(table[name].to_pylist() for name in ("id", "ocr_page", "ocr_text")), strict=True)) == [
        (str(row), page.page, page.text) for row, page in expected
    ]
    failures = [(line["id"], line["ocr_page"], line["ocr_error"]) for line in read_csv(local_path(run.failures_csv))]
    assert failures == [(str(row), str(page.page), page.error) for row, page in expected if page.status.failed]

    assert merged.complete == (len(there) == len(plan.batches))
    assert len(merged.unfinished) == len(plan.batches) - len(there)
    assert (merged.rows, merged.result_rows, merged.failed_rows) == (len(links), len(expected), len(failures))
    assert merged.images == len(readings) == len(set(links))
    assert merged.failed_images == sum(not is_read(pages) for pages in readings.values())
    assert sum(merged.statuses.values()) == merged.result_rows
    assert sum(merged.errors.values()) == merged.failed_rows

    merge_run(run)
    assert [file.read_bytes() for file in files] == before
