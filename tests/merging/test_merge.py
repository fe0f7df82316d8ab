import csv
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from ocr_pipeline.errors import ErrorCategory, StagedBatchError, Status, TooManyFailuresError
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.records import RESULT_COLUMNS, Failure, ImageRef, ResultRow, unfetched_row
from ocr_pipeline.run import blocks
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan, batch_images
from ocr_pipeline.run.rows import HEADER, encode_rows
from ocr_pipeline.run.staging import BatchProgress
from ocr_pipeline.viewing.results import RunResults
from tests.conftest import MakePlan, WriteCsv, local_path, stage_batch


def page(image: ImageRef, number: int) -> ResultRow:
    text = f'{image.link} page {number}, "quoted"\r\nsecond line\rthird'
    return ResultRow(
        row=image.row, status=Status.OK, text=text, confidence=0.5, lines="[]", page=number, width=3, height=4,
        bytes=5, sha256="ab" * 32, error=None, error_detail=None,
        warning=None, warning_detail=None,
        http_status=None, attempts=1, fetch_seconds=0.25,
        read_seconds=0.5, model="m",
    )  # fmt: skip


def pages_of(image: ImageRef) -> list[ResultRow]:
    """What links say of themselves: "3…" has three pages, "0…" is missing."""
    count = int(image.link[:1] or "0")
    if not count:
        return [unfetched_row(Failure(image, ErrorCategory.NOT_FOUND, "HTTP 404", 404, 1))]
    return [page(image, number) for number in range(count)]


def stage(run: RunFolder, plan: Plan, *, leave_out: tuple[int, ...] = ()) -> None:
    for batch in plan.batches:
        if batch.index not in leave_out:
            stage_batch(run, plan, batch, {image.row: pages_of(image) for image in batch_images(run, batch, plan)})


def results(run: RunFolder) -> list[dict[str, str]]:
    with local_path(run.results_csv).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_row_comes_out_once_a_page_in_order(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    run, plan = make_plan(write_csv(enumerate(["1a", "3b", "1a", "0c", "3b", "1d", "0c"])), batch_size=2)
    stage(run, plan)
    merged = merge_run(run)
    rows = results(run)
    assert [(row["id"], row["ocr_page"]) for row in rows] == [
        ("0", "0"), ("1", "0"), ("1", "1"), ("1", "2"), ("2", "0"), ("3", "0"),
        ("4", "0"), ("4", "1"), ("4", "2"), ("5", "0"), ("6", "0"),
    ]  # fmt: skip
    assert [row["ocr_status"] for row in rows if row["image"] == "0c"] == ["fetch_failed"] * 2
    assert rows[0] | {"id": "2"} == rows[4]
    assert list(rows[0]) == ["id", "image", *(column.name for column in RESULT_COLUMNS)]
    assert (merged.complete, merged.rows, merged.result_rows, merged.images) == (True, 7, 11, 4)
    assert merged.statuses == {"ok": 9, "fetch_failed": 2}
    assert (merged.failed_rows, merged.failed_images, merged.bytes) == (2, 1, 15)
    assert merged.batches == 4
    assert json.loads(run.summary.read_bytes())["errors"] == {"not_found": 2}


def test_parquet_says_the_same_with_types(tmp_path: Path, make_plan: MakePlan) -> None:
    table = pa.table({"n": pa.array([7, None], pa.int16()), "url": ["1a", "0b"], "tags": [["x", "y"], None]})
    pa.parquet.write_table(table, tmp_path / "d.parquet")
    run, plan = make_plan(tmp_path / "d.parquet")
    stage(run, plan)
    merge_run(run)
    merged = pa.parquet.read_table(local_path(run.results_parquet))
    assert merged.select(["n", "url", "tags"]) == table
    assert merged["ocr_text"].to_pylist() == [row["ocr_text"] for row in results(run)]
    assert merged["ocr_http_status"].to_pylist() == [None, 404]
    assert [row["tags"] for row in results(run)] == ['["x", "y"]', ""]


def test_failures_are_listed_by_themselves(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    run, plan = make_plan(write_csv(enumerate(["1a", "0b"])))
    stage(run, plan)
    merge_run(run)
    with local_path(run.failures_csv).open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["id"] == "1"
    assert (row["ocr_error"], row["ocr_error_detail"], row["ocr_http_status"]) == ("not_found", "HTTP 404", "404")


def test_rows_of_a_batch_that_never_finished_are_there_as_they_are(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    run, plan = make_plan(write_csv(enumerate(["1a", "1b", "2c", "1d", "1e", "1c", "1d"])), batch_size=2)
    stage(run, plan, leave_out=(1,))
    with BatchStore(run, plan.batches[1], plan.digests[1]) as store:
        store.add(pages_of(ImageRef(2, "2c")))
        store.checkpoint()
        store.report(BatchProgress(done=1, total=2))
        store.report_end("the hosts are down")
    merged = merge_run(run)
    assert [(row["id"], row["ocr_status"], row["ocr_page"]) for row in results(run)] == [
        ("0", "ok", "0"), ("1", "ok", "0"), ("2", "ok", "0"), ("2", "ok", "1"), ("3", "unfinished", "0"),
        ("4", "ok", "0"), ("5", "ok", "0"), ("6", "unfinished", "0"),
    ]  # fmt: skip
    placeholder = results(run)[4]
    assert placeholder["ocr_error"] == "batch_unfinished"
    for said in ("batch 1 (rows 3 to 4) is not finished", "the hosts are down", "Clear its read_batch task"):
        assert said in placeholder["ocr_error_detail"]
    assert (merged.complete, merged.rows, merged.images, merged.failed_images) == (False, 7, 6, 1)
    (unfinished,) = merged.unfinished
    assert (unfinished.index, unfinished.first_row, unfinished.images, unfinished.finished) == (1, 2, 2, 1)
    assert "batch 1: 1 of 2 images finished" in merged.problem
    assert json.loads(run.summary.read_bytes())["complete"] is False
    with local_path(run.failures_csv).open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["3", "6"]
    stage(run, plan)
    assert merge_run(run).complete
    assert "unfinished" not in {row["ocr_status"] for row in results(run)}


def test_a_run_of_which_no_batch_finished_has_every_row(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    run, plan = make_plan(write_csv(enumerate(["1a", "1b", "1a"])), batch_size=1)
    merged = merge_run(run)
    assert (merged.complete, merged.statuses, plan.batches[2].images) == (False, {"unfinished": 3}, 0)
    assert [row["id"] for row in results(run)] == ["0", "1", "2"]


def test_what_was_kept_for_another_plan_is_not_merged(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    run, plan = make_plan(write_csv(enumerate(["1a", "1b"])), batch_size=1)
    stage(run, plan, leave_out=(1,))
    with BatchStore(run, plan.batches[1], plan.digests[1]) as store:
        store.add(pages_of(ImageRef(1, "1b")))
        store.checkpoint()
    # A person deletes the plan and has it made anew, and the dataset has gained a row meanwhile.
    run.plan.delete()
    run, plan = make_plan(write_csv(enumerate(["1x", "1a", "1b"])), batch_size=1)
    merged = merge_run(run)
    assert merged.statuses == {"unfinished": 3}
    assert "batch 0 (rows 1 to 1) was staged for another plan" in merged.unfinished[0].reason
    with BatchStore(run, plan.batches[0], plan.digests[0]) as store:
        assert store.resume({0}).kept == set()
    stage(run, plan)
    assert merge_run(run).complete
    assert [row["ocr_text"][:2] for row in results(run)] == ["1x", "1a", "1b"]


def test_the_same_links_read_in_another_way_are_another_plan(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    dataset = write_csv(enumerate(["1a"]))
    ways: list[dict[str, Any]] = [{}, {"concurrency": 3}, {"languages": ["en"]}]
    digests = [make_plan(dataset, run_id=str(n), **settings)[1].digests for n, settings in enumerate(ways)]
    assert digests[0] == digests[1] != digests[2]


def test_a_batch_that_disagrees_with_the_plan_is_not_merged(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    run, plan = make_plan(write_csv(enumerate(["1a", "1b"])), batch_size=1)
    stage(run, plan)
    stage_batch(run, plan, plan.batches[1], {})
    assert "batch 1 (rows 2 to 2) has 0 images staged, not 1" in merge_run(run).unfinished[0].reason
    stage_batch(run, plan, plan.batches[1], {0: pages_of(ImageRef(0, "1a"))})
    with pytest.raises(StagedBatchError, match=r"batch 1 .* other rows than were planned"):
        merge_run(run)
    stage(run, plan)
    changed = replace(page(ImageRef(0, "1a"), 0), text="changed by hand")
    run.staged(0).write_bytes(HEADER + encode_rows([changed]))
    assert "not the file that its marker describes" in merge_run(run).unfinished[0].reason


def test_line_ends_within_texts_stay_wherever_a_file_is_cut(
    write_csv: WriteCsv, make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, plan = make_plan(write_csv(enumerate(["1a", "3b", "1c"])))
    text = '"\r\n,\r\n"\r"\n""\r\n'
    readings = {
        image.row: [replace(row, text=text * (row.page + image.row)) for row in pages_of(image)]
        for image in batch_images(run, plan.batches[0], plan)
    }
    stage_batch(run, plan, plan.batches[0], readings)
    for size in range(1, 400, 7):
        monkeypatch.setattr(blocks, "_BLOCK_BYTES", size)
        merge_run(run)
        assert [row["ocr_text"] for row in results(run)] == ["", text, text * 2, text * 3, text * 2]


def test_long_documents_are_joined_a_part_at_a_time(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    links = ["9a", "9b", "9a", "1c", "9b", "3d", "9a"]
    run, plan = make_plan(write_csv(enumerate(links)))
    text = "wide " * 400_000
    readings = {
        image.row: [replace(row, text=f"{image.link} {row.page} {text}") for row in pages_of(image)]
        for image in batch_images(run, plan.batches[0], plan)
    }
    stage_batch(run, plan, plan.batches[0], readings)
    merge_run(run)
    with local_path(run.results_csv).open(newline="", encoding="utf-8") as file:
        found = [(int(row["id"]), row["ocr_text"][:4]) for row in csv.DictReader(file)]
    assert found == [(row, f"{link} {n}") for row, link in enumerate(links) for n in range(int(link[0]))]


def test_merging_again_changes_nothing(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    run, plan = make_plan(write_csv(enumerate(["1a", "0b", "2c"])), batch_size=2)
    stage(run, plan)
    merge_run(run)
    files = (run.results_csv, run.results_parquet, run.failures_csv, run.index, run.searched)
    before = [file.read_bytes() for file in files]
    merge_run(run)
    assert [file.read_bytes() for file in files] == before


def test_what_a_killed_merge_left_is_gone_after_the_next(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    run, plan = make_plan(write_csv(enumerate(["1a", "0b"])))
    stage(run, plan)
    merging = f"""
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.merging.results import ResultsWriter
from ocr_pipeline.run.folder import RunFolder
import os
ResultsWriter.__exit__ = lambda *_: os.kill(os.getpid(), 9)
merge_run(RunFolder.open({run.uri!r}, Allowances.parse({run.uri!r})))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", merging], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = set(local_path(run.results_csv).parent.glob(".tmp-*"))
    assert {path.name.split("-")[1] for path in left} == {
        "results.csv", "results.parquet", "failures.csv", "index.parquet", "searched.arrow",
    }  # fmt: skip
    assert merge_run(run).complete
    assert {path.name for path in local_path(run.results_csv).parent.iterdir()} == {
        "plan", "plan.json", "batches", "results.csv", "results.parquet", "failures.csv", "index.parquet",
        "searched.arrow", "summary.json", "report.html",
    }  # fmt: skip


def test_a_dataset_without_rows_has_results_without_rows(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    run, plan = make_plan(write_csv([]))
    stage(run, plan)
    assert merge_run(run).complete
    assert results(run) == []
    assert pa.parquet.read_table(local_path(run.results_parquet)).num_rows == 0


@pytest.mark.parametrize(
    ("missing", "allowed", "succeeded"),
    [(5, 0.5, True), (6, 0.5, False), (10, 0.99, False), (10, 1, True), (1, 0, False), (0, 0, True)],
)
def test_a_run_in_which_more_failed_than_it_allows_is_no_success(
    write_csv: WriteCsv, make_plan: MakePlan, missing: int, allowed: float, succeeded: bool
) -> None:
    links = [f"0{n}?sig=KEY" for n in range(missing)] + [f"2{n}" for n in range(10 - missing)]
    # Repeated links are images once.
    run, plan = make_plan(write_csv(enumerate(links + links[-1:] * 30)), batch_size=3, max_failures=allowed)
    stage(run, plan)
    merged = merge_run(run)
    assert len({row["id"] for row in results(run)}) == 40
    assert (merged.complete, merged.succeeded, merged.failed_images) == (True, succeeded, missing)
    summary = json.loads(run.summary.read_bytes())
    assert (summary["succeeded"], summary["problem"]) == (succeeded, merged.problem)
    found = {"category": "not_found", "images": missing, "example": "row 1, 00", "detail": "HTTP 404"}
    assert summary["failures"] == ([found] if missing else [])
    assert (b"The run failed." in run.report.read_bytes()) is not succeeded
    assert RunResults.open(run).overview().state == ("merged" if succeeded else "failed")
    if succeeded:
        merged.check()
        return
    with pytest.raises(TooManyFailuresError) as problem:
        merged.check()
    assert not problem.value.retryable
    for said in (
        f"{missing} of 10 images failed ({missing}0 %), more than max_failures ({allowed:g}) allows",
        f"{missing} not_found, such as row 1, 00: HTTP 404",
        ErrorCategory.NOT_FOUND.remedy,
        "only what failed is read again",
    ):
        assert said in str(problem.value)


def test_the_most_frequent_failures_are_named(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    categories = [*ErrorCategory][:5]
    run, plan = make_plan(write_csv(enumerate(f"0{n}" for n in range(15))), batch_size=4)
    failures = iter([category for count, category in enumerate(categories, 1) for _ in range(count)])
    for batch in plan.batches:
        rows = {
            image.row: [unfetched_row(Failure(image, next(failures), "what\nexactly"))]
            for image in batch_images(run, batch, plan)
        }
        stage_batch(run, plan, batch, rows)
    merged = merge_run(run)
    assert [(trouble.category, trouble.images) for trouble in merged.failures] == [
        (category, count) for count, category in reversed([*enumerate(categories, 1)])
    ]
    assert (
        f"5 {categories[4]}, such as row 11, 010: what exactly; "
        f"4 {categories[3]}, such as row 7, 06: what exactly; 3 " in merged.problem
    )
    assert "and 3 of other categories. What to do: " in merged.problem
    assert merged.problem.count("such as") == 3


def test_a_document_of_which_several_pages_failed_is_one_image(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    run, plan = make_plan(write_csv(enumerate(["3a", "1b"])))
    readings = {image.row: pages_of(image) for image in batch_images(run, plan.batches[0], plan)}
    for number, category in ((1, ErrorCategory.CORRUPT), (2, ErrorCategory.ENGINE_ERROR)):
        failed = unfetched_row(Failure(ImageRef(0, "3a"), category, "why"))
        readings[0][number] = replace(failed, page=number)
    stage_batch(run, plan, plan.batches[0], readings)
    merged = merge_run(run)
    assert (merged.succeeded, merged.failed_images) == (True, 1)
    assert [(trouble.category, trouble.images) for trouble in merged.failures] == [("corrupt", 1)]


def test_what_may_be_wrong_is_named_in_the_log(
    write_csv: WriteCsv, make_plan: MakePlan, caplog: pytest.LogCaptureFixture
) -> None:
    run, plan = make_plan(write_csv(enumerate(["2a", "2b", "1c"])))
    readings = {image.row: pages_of(image) for image in batch_images(run, plan.batches[0], plan)}
    for row in (0, 1):
        doubts = [
            replace(p, warning="fonts_missing,unknown_script", warning_detail="no Helvetica") for p in readings[row]
        ]
        readings[row] = doubts
    stage_batch(run, plan, plan.batches[0], readings)
    merged = merge_run(run)
    assert (merged.succeeded, merged.warnings) == (True, {"fonts_missing": 4, "unknown_script": 4})
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(". What to do: ")[0] for line in lines] == [
        f"2 {warning}, such as row 1, 2a: no Helvetica" for warning in ("fonts_missing", "unknown_script")
    ]


@pytest.mark.parametrize(("allowed", "succeeded"), [(0.5, False), (0.9, True)])
def test_rows_that_could_not_be_read_count_as_failures(
    tmp_path: Path, make_plan: MakePlan, allowed: float, succeeded: bool
) -> None:
    (tmp_path / "d.csv").write_text("id,image\n1,1a\n" + "2,1b,too many\n" * 3)
    run, plan = make_plan(tmp_path / "d.csv", bad_rows="skip", max_failures=allowed)
    stage(run, plan)
    merged = merge_run(run)
    assert merged.succeeded is succeeded
    assert ("3 of 4 rows of the dataset could not be read (75 %)" in merged.problem) is not succeeded


def test_a_run_with_nothing_to_read_is_a_success_and_says_so(
    write_csv: WriteCsv, make_plan: MakePlan, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    run, plan = make_plan(write_csv([]), max_failures=0)
    stage(run, plan)
    assert merge_run(run).succeeded
    assert "there was nothing to read: the dataset has no rows" in caplog.text
