"""Trimming finished runs: what goes, what stays and still works, and what is never trimmed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ocr_pipeline.errors import PlanError, StorageError
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.planning.planning import plan_run
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.run.catalog import Catalog
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.run.retention import runs_in, trim_run, why_kept
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings
from ocr_pipeline.viewing.results import RunResults
from tests.conftest import MakePlan, local_path, reading_with
from tests.pipeline.bucket_runs import plan, read_all, results

TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def merged(dataset: Path, tmp_path: Path, allowances: Allowances) -> RunFolder:
    """A finished run on a disk."""
    run, planned = plan(dataset, str(tmp_path / "out"), allowances)
    read_all(planned, allowances)
    assert merge_run(run).succeeded
    return run


def files_of(run: RunFolder) -> set[str]:
    folder = local_path(run.folder)
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_results_need_stays_and_the_rest_goes(merged: RunFolder) -> None:
    merged.preview(3, 0).write_bytes(b"picture")
    before, rows = files_of(merged), results(merged)
    pages, image = RunResults.open(merged).overview(), RunResults.open(merged).record(3, 0)
    assert image is not None
    trim_run(merged)
    gone = {"batches/batch-0000%d.csv", "batches/batch-0000%d.arrow"}
    assert before - files_of(merged) == {name % batch for name in gone for batch in range(3)}
    assert results(merged) == rows
    overview = RunResults.open(merged).overview()
    assert overview.trimmed_at is not None
    assert replace(overview, trimmed_at=None) == pages
    assert RunResults.open(merged).record(3, 0) == image
    trim_run(merged, previews=True)
    assert not merged.preview(3, 0).exists()


def test_a_trimmed_run_in_a_bucket_keeps_its_results(dataset: Path, bucket: str, s3_allowances: Allowances) -> None:
    allowed = Allowances.parse([str(dataset.parent)])
    both = replace(s3_allowances, folders=allowed.folders)
    run, planned = plan(dataset, f"s3://minio@{bucket}/out", both)
    read_all(planned, both)
    merge_run(run)
    rows = results(run)
    trim_run(run)
    assert {file.name[-5:] for file in run.batches.files()} == {".json"}
    assert results(run) == rows


def test_a_trimmed_run_is_neither_planned_read_nor_merged_again(
    merged: RunFolder, dataset: Path, allowances: Allowances
) -> None:
    settings = Plan.load(merged).settings
    trim_run(merged)
    rows, planned = results(merged), Plan.load(merged)
    again = (
        lambda: plan_run(settings.model_copy(update={"dataset": str(dataset)}), merged, allowances, max_batches=100),
        lambda: Batch(planned.batches[0], allowances, reading_with()).run(),
        lambda: merge_run(merged),
    )
    for act in again:
        with pytest.raises(PlanError, match=r"was trimmed at .* start a new run"):
            act()
    assert results(merged) == rows


def test_the_catalog_still_knows_what_a_trimmed_run_has_read(
    dataset: Path, make_plan: MakePlan, allowances: Allowances
) -> None:
    run, first = make_plan(dataset, run_id="first", catalog="c")
    read_all(first, allowances)
    merge_run(run, Catalog.of(run, first.settings, allowances))
    trim_run(run)
    _, second = make_plan(dataset, run_id="second", catalog="c")
    assert (first.known, second.known) == (0, 20)


def test_an_interrupted_trimming_goes_on(merged: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(RunFolder, "batches", property(_refuse))
        with pytest.raises(StorageError):
            trim_run(merged)
    with pytest.raises(PlanError, match="was trimmed"):
        merge_run(merged)
    trim_run(merged)
    assert {file.name[-5:] for file in merged.batches.files()} == {".json"}


def _refuse(_: RunFolder) -> None:
    raise StorageError("no")


def unplanned(run: RunFolder) -> None:
    run.plan.delete()


def unmerged(run: RunFolder) -> None:
    run.summary.delete()


def replanned(run: RunFolder) -> None:
    replace(Plan.load(run), created_at=TOMORROW.isoformat()).save(run)


def incomplete(run: RunFolder) -> None:
    run.marker(1).delete()
    assert not merge_run(run).complete


def read_again(run: RunFolder) -> None:
    run.progress(1).write_bytes(b"{}")


@pytest.mark.parametrize(
    ("happened", "why"),
    [
        (unplanned, "it is not planned"),
        (unmerged, "it is not merged"),
        (replanned, "it is not merged"),
        (incomplete, "it has not succeeded: the results are incomplete"),
        (read_again, "a batch of it is read again"),
    ],
)
def test_a_run_that_is_not_done_is_kept(merged: RunFolder, happened: Callable[[RunFolder], None], why: str) -> None:
    assert why_kept(merged, TOMORROW) == ""
    happened(merged)
    assert why_kept(merged, TOMORROW).startswith(why)


def test_a_run_that_was_merged_lately_is_kept(merged: RunFolder) -> None:
    assert why_kept(merged, datetime.now(UTC) - timedelta(days=1)).startswith("it was merged at ")


def test_the_runs_of_an_output_folder_are_found(merged: RunFolder, tmp_path: Path, allowances: Allowances) -> None:
    for name in (".catalog/c", "something/else"):
        (tmp_path / "out" / name).mkdir(parents=True)
    # Those of a scheduled dataset lie in a folder of its own.
    scheduled = tmp_path / "out" / "daily" / "2026-01-01_run"
    shutil.copytree(local_path(merged.folder), scheduled)
    found = sorted(run.uri for run in runs_in(str(tmp_path / "out"), allowances))
    assert found == sorted([merged.uri, str(scheduled)])


def test_settings_of_a_plan_from_before_trimming_are_read(merged: RunFolder) -> None:
    assert b"trimmed_at" not in merged.plan.read_bytes()
    assert isinstance(Plan.load(merged).settings, RunSettings)
