import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from ocr_pipeline.errors import ErrorCategory, Status
from ocr_pipeline.merging.merge import describe_missing, merge_run
from ocr_pipeline.records import RESULT_COLUMNS, Failure, ImageRef, ResultRow, unfetched_row
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan, batch_images
from ocr_pipeline.run.staging import BatchStore, encode_rows


def page(image: ImageRef, number: int) -> ResultRow:
    text = f'{image.link} page {number}, "quoted"\r\nsecond line\rthird'
    return ResultRow(
        row=image.row, status=Status.OK, text=text, confidence=0.5, lines="[]", page=number, width=3, height=4,
        bytes=5, sha256="ab" * 32, error=None, error_detail=None, http_status=None, attempts=1, fetch_seconds=0.25,
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
            readings = {image.row: pages_of(image) for image in batch_images(run, batch, plan)}
            BatchStore(run, batch).stage(readings, seconds=1.5, resumed=0)


def results(run: RunFolder) -> list[dict[str, str]]:
    with run.results_csv.path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_row_comes_out_once_a_page_in_order(write_csv, make_plan) -> None:
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
    assert (merged.batches, merged.planned_rows, merged.planned_images) == (4, 7, 4)
    assert json.loads(run.summary.read_bytes())["errors"] == {"not_found": 2}


def test_parquet_says_the_same_with_types(tmp_path: Path, make_plan) -> None:
    table = pa.table({"n": pa.array([7, None], pa.int16()), "url": ["1a", "0b"], "tags": [["x", "y"], None]})
    pa.parquet.write_table(table, tmp_path / "d.parquet")
    run, plan = make_plan(tmp_path / "d.parquet")
    stage(run, plan)
    merge_run(run)
    merged = pa.parquet.read_table(run.results_parquet.path)
    assert merged.select(["n", "url", "tags"]) == table
    assert merged["ocr_text"].to_pylist() == [row["ocr_text"] for row in results(run)]
    assert merged["ocr_http_status"].to_pylist() == [None, 404]
    assert [row["tags"] for row in results(run)] == ['["x", "y"]', ""]


def test_failures_are_listed_by_themselves(write_csv, make_plan) -> None:
    run, plan = make_plan(write_csv(enumerate(["1a", "0b"])))
    stage(run, plan)
    merge_run(run)
    with run.failures_csv.path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["id"] == "1"
    assert (row["ocr_error"], row["ocr_error_detail"], row["ocr_http_status"]) == ("not_found", "HTTP 404", "404")


def test_missing_batches_are_named_and_the_rest_is_written(write_csv, make_plan) -> None:
    run, plan = make_plan(write_csv(enumerate(["1a", "1b", "1c", "1d", "1e", "1c"])), batch_size=2)
    stage(run, plan, leave_out=(1,))
    merged = merge_run(run)
    assert not merged.complete
    assert [row["id"] for row in results(run)] == ["0", "1", "4"]
    assert [(m.index, m.first_row, m.rows) for m in merged.missing] == [(1, 2, 2), (2, 5, 1)]
    assert (merged.images, merged.planned_images) == (3, 5)
    assert "batch 1 (rows 3 to 4) is not finished" in describe_missing(merged)
    assert (merged.rows, json.loads(run.summary.read_bytes())["complete"]) == (3, False)
    stage(run, plan)
    assert merge_run(run).complete
    assert [row["id"] for row in results(run)] == list("012345")


def test_a_batch_that_disagrees_with_the_plan_is_not_merged(write_csv, make_plan) -> None:
    run, plan = make_plan(write_csv(enumerate(["1a", "1b"])), batch_size=1)
    stage(run, plan)
    BatchStore(run, plan.batches[1]).stage({0: [page(ImageRef(0, "1a"), 0)]}, seconds=1, resumed=0)
    merged = merge_run(run)
    assert "batch 1 (rows 2 to 2) disagrees with the plan, first at row 1" in merged.missing[0].reason
    stage(run, plan)
    run.staged(0).write_bytes(encode_rows([replace(page(ImageRef(0, "1a"), 0), text="changed by hand")]))
    assert "not the file that its marker describes" in merge_run(run).missing[0].reason


def test_merging_again_changes_nothing(write_csv, make_plan) -> None:
    run, plan = make_plan(write_csv(enumerate(["1a", "0b", "2c"])), batch_size=2)
    stage(run, plan)
    merge_run(run)
    before = [path.read_bytes() for path in (run.results_csv, run.results_parquet, run.failures_csv)]
    merge_run(run)
    assert [path.read_bytes() for path in (run.results_csv, run.results_parquet, run.failures_csv)] == before


def test_what_a_killed_merge_left_is_gone_after_the_next(write_csv, make_plan) -> None:
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
    left = set(run.results_csv.path.parent.glob(".tmp-*"))
    assert {path.name.split("-")[1] for path in left} == {"results.csv", "results.parquet", "failures.csv"}
    assert merge_run(run).complete
    assert {path.name for path in run.results_csv.path.parent.iterdir()} == {
        "plan", "plan.json", "batches", "results.csv", "results.parquet", "failures.csv", "summary.json",
    }  # fmt: skip


def test_a_dataset_without_rows_has_results_without_rows(write_csv, make_plan) -> None:
    run, plan = make_plan(write_csv([]))
    stage(run, plan)
    assert merge_run(run).complete
    assert results(run) == []
    assert pa.parquet.read_table(run.results_parquet.path).num_rows == 0
