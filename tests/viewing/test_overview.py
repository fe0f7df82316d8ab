"""A run as a whole and its batches, in every state."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ocr_pipeline.errors import ErrorCategory, MissingPlanError, PlanError, WarningCategory
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.run.staging import BatchProgress
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.viewing.answers import BatchState, ChangedSetting, RunState
from ocr_pipeline.viewing.questions import RowQuery
from ocr_pipeline.viewing.results import RunResults
from tests.conftest import MakePlan, WriteCsv
from tests.viewing.conftest import MakeRun
from tests.viewing.runs import failed, line, read_page, stage

READINGS = {
    "a.png": [read_page([line("sure", 0.98)], bytes=10), read_page([], 1, bytes=10)],
    "b.png": failed(ErrorCategory.TIMEOUT, "too slow"),
    "c.png": [read_page([line("unsure", 0.02)], 0, [WarningCategory.FONTS_MISSING, WarningCategory.UNKNOWN_SCRIPT])],
    "https://x.org/d.png": failed(),
}


def test_a_run_from_its_plan_to_its_merge(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    run, plan = make_plan(write_csv(enumerate([*READINGS, "a.png"])), batch_size=2, words=True, languages=["en"])

    def states() -> tuple[RunState, list[str]]:
        results = RunResults.open(run)
        return results.overview().state, [batch.state.value for batch in results.batches()]

    assert states() == (RunState.WAITING, ["waiting"] * 3)
    with BatchStore(run, plan.batches[0], plan.digests[0]) as store:
        store.report(BatchProgress(done=1, failed=1))
        assert states() == (RunState.READING, ["running", "waiting", "waiting"])
        store.report_end("the hosts are down")
    (ended, *_) = RunResults.open(run).batches()
    assert (ended.state, ended.done, ended.failed, ended.error) == (BatchState.UNFINISHED, 1, 1, "the hosts are down")
    stage(run, plan, READINGS, leave_out=[0])
    assert states() == (RunState.READING, ["unfinished", "staged", "staged"])
    merge_run(run)
    assert states() == (RunState.INCOMPLETE, ["unfinished", "staged", "staged"])
    overview = RunResults.open(run).overview()
    assert overview.merged
    assert overview.statuses == {"unfinished": 3, "ok": 1, "fetch_failed": 1}
    assert "is not finished" in overview.unfinished[0].reason
    stage(run, plan, READINGS)
    merge_run(run)
    assert states() == (RunState.MERGED, ["staged"] * 3)
    assert not RunResults.open(run).overview().unfinished
    run.summary.delete()
    assert states() == (RunState.READ, ["staged"] * 3)


def test_what_a_run_comes_to(any_run: MakeRun, write_csv: WriteCsv) -> None:
    dataset = write_csv(enumerate([*READINGS, "a.png"]))
    overview = RunResults.open(any_run(dataset, READINGS, batch_size=2, words=True)).overview()
    repeated = 2 if overview.merged else 0
    assert overview.state is (RunState.MERGED if overview.merged else RunState.READ)
    assert (overview.rows, overview.images, overview.done, overview.failed, overview.batches) == (5, 4, 4, 2, 3)
    assert (overview.dataset, overview.image_column, overview.known, overview.rejected) == (str(dataset), "image", 0, 0)
    assert overview.pages == 5 + repeated
    assert overview.statuses == {"ok": 2 + repeated // 2, "fetch_failed": 2, "no_text": 1 + repeated // 2}
    assert overview.errors == {"timeout": 1, "not_found": 1}
    assert overview.warnings == {"fonts_missing": 1, "unknown_script": 1}
    assert overview.bytes == 1010
    assert overview.models == ("test/engine",)
    assert overview.settings == (
        ChangedSetting("words", "Words as well as lines", True, False),
        ChangedSetting("batch_size", "Rows a batch", 2, 1000),
    )
    assert overview.seconds == 6
    assert overview.finished_at is not None
    assert overview.started_at is not None
    assert overview.finished_at - overview.started_at >= timedelta(seconds=2)
    assert overview.images_per_second is not None
    assert 0 < overview.images_per_second <= 2
    names = ["report.html", "results.csv", "results.parquet", "failures.csv", "summary.json"] if overview.merged else []
    assert [file.name for file in overview.files] == names
    assert all(file.bytes > 0 for file in overview.files)


def test_a_pause_before_a_retry_is_no_time_of_reading(make_run: MakeRun, write_csv: WriteCsv) -> None:
    run = make_run(write_csv(enumerate(READINGS)), READINGS, batch_size=2)
    first, second = Plan.load(run).batches
    for batch, finished in ((first, "2026-01-02T00:00:10+00:00"), (second, "2026-01-02T09:00:00+00:00")):
        marker = json.loads(run.marker(batch.index).read_bytes())
        run.marker(batch.index).write_bytes(json.dumps({**marker, "finished_at": finished}).encode())
    assert RunResults.open(run).overview().images_per_second == 1  # four images in two and two seconds


def test_a_batch_that_is_staged(any_run: MakeRun, write_csv: WriteCsv) -> None:
    batch, _ = RunResults.open(any_run(write_csv(enumerate(READINGS)), READINGS, batch_size=2)).batches()
    assert (batch.label, batch.state) == ("batch 0 (rows 1 to 2)", BatchState.STAGED)
    assert (batch.total, batch.done, batch.failed, batch.pages, batch.bytes) == (2, 2, 1, 3, 10)
    assert (batch.statuses, batch.errors) == ({"ok": 1, "no_text": 1, "fetch_failed": 1}, {"timeout": 1})
    assert batch.finished_at is not None
    assert batch.finished_at <= datetime.now(UTC)
    assert batch.images_per_second == 1


def test_hosts_and_distributions(any_run: MakeRun, write_csv: WriteCsv) -> None:
    results = RunResults.open(any_run(write_csv(enumerate(READINGS)), READINGS))
    files, web = sorted(results.hosts(), key=lambda host: host.host)
    assert (files.host, files.pages, files.failed, dict(files.errors)) == ("", 4, 1, {"timeout": 1})
    assert (web.host, web.pages, web.failed, dict(web.errors)) == ("x.org", 1, 1, {"not_found": 1})
    assert len(results.hosts(limit=1)) == 1
    spread = results.distributions()
    assert (spread.confidence.counts[0], spread.confidence.counts[-1], sum(spread.confidence.counts)) == (1, 1, 2)
    assert sum(spread.fetch_seconds.counts) == 4
    assert sum(spread.read_seconds.counts) == 3
    for histogram in (spread.confidence, spread.fetch_seconds, spread.read_seconds):
        assert len(histogram.edges) == len(histogram.counts) + 1


def test_problems_have_examples(any_run: MakeRun, write_csv: WriteCsv) -> None:
    readings = READINGS | {f"{n}.png": failed(ErrorCategory.CORRUPT, f"broken {n}") for n in range(9)}
    problems = RunResults.open(any_run(write_csv(enumerate(readings)), readings)).problems(most=2)
    assert problems.errors[0].category is ErrorCategory.CORRUPT
    assert {problem.category: problem.pages for problem in problems.errors} == {
        "corrupt": 9, "timeout": 1, "not_found": 1,
    }  # fmt: skip
    assert [(example.row.link, example.detail) for example in problems.errors[0].examples] == [
        ("0.png", "broken 0"), ("1.png", "broken 1"),
    ]  # fmt: skip
    assert [(problem.category, problem.pages, problem.examples[0].detail) for problem in problems.warnings] == [
        ("fonts_missing", 1, "what to do about it"), ("unknown_script", 1, "what to do about it"),
    ]  # fmt: skip


def test_a_gallery_shows_no_image_twice(any_run: MakeRun, write_csv: WriteCsv) -> None:
    readings = {f"{n}.png": [read_page([line(f"text {n}", n / 10)])] for n in range(10)}
    run = any_run(write_csv(enumerate([*readings, *readings])), readings)
    run.preview(9, 0).write_bytes(b"a picture")
    gallery = RunResults.open(run).gallery(most=3)
    assert [page.text for page in gallery.best] == ["text 9", "text 8", "text 7"]
    assert [page.text for page in gallery.worst] == ["text 0", "text 1", "text 2"]
    assert [page.picture for page in gallery.best] == [b"a picture", None, None]
    assert len({page.text for page in gallery.random}) == 3
    assert gallery == RunResults.open(run).gallery(most=3)
    assert (gallery.best[0].width, gallery.best[0].height, len(gallery.best[0].lines)) == (100, 200, 1)


def test_results_of_an_earlier_plan_are_not_shown(make_run: MakeRun, write_csv: WriteCsv) -> None:
    run = make_run(write_csv([["0", "a.png"]]), READINGS)
    plan = json.loads(run.plan.read_bytes())
    plan["created_at"] = "2999-01-01T00:00:00+00:00"
    run.plan.write_bytes(json.dumps(plan).encode())
    assert RunResults.open(run).overview().state is RunState.READ


def test_what_was_staged_for_another_plan_is_not_shown(make_run: MakeRun, write_csv: WriteCsv) -> None:
    run = make_run(write_csv([["0", "a.png"]]), READINGS)
    plan = json.loads(run.plan.read_bytes())
    plan["digests"] = ["another"]
    run.plan.write_bytes(json.dumps(plan).encode())
    run.summary.delete()
    results = RunResults.open(run)
    assert results.overview().state is RunState.WAITING
    assert results.rows(RowQuery()).of == 0


def test_a_batch_without_its_index_or_with_that_of_another_file_is_searched(
    write_csv: WriteCsv, make_plan: MakePlan
) -> None:
    run, plan = make_plan(write_csv(enumerate(["a.png", "c.png"])), batch_size=1)
    stage(run, plan, READINGS)
    old = run.staged_index(0).read_bytes()
    stale: dict[str, Callable[[], None]] = {
        "no index": run.staged_index(0).delete,
        "half an index": lambda: run.staged_index(0).write_bytes(old[:100]),
        "an old index": lambda: run.staged_index(0).write_bytes(old),
    }
    for text, make_stale in stale.items():
        stage(run, plan, READINGS | {"a.png": [read_page([text])]})
        make_stale()
        found = RunResults.open(run).rows(RowQuery(text=text))
        assert [(row.row, row.beginning) for row in found.rows] == [(0, text)]


def test_without_a_plan_nothing_is_opened(tmp_path: Path, allowances: Allowances) -> None:
    run = RunFolder.of(str(tmp_path), "run", allowances)
    with pytest.raises(MissingPlanError):
        RunResults.open(run)


def test_a_summary_of_another_version_says_what_to_do(make_run: MakeRun, write_csv: WriteCsv) -> None:
    run = make_run(write_csv([["0", "a.png"]]), READINGS)
    run.summary.write_bytes(b'{"rows": 1}')
    with pytest.raises(PlanError, match=r"summary.json was written by another version: clear the merge task"):
        RunResults.open(run)


def test_a_run_without_rows(any_run: MakeRun, write_csv: WriteCsv) -> None:
    results = RunResults.open(any_run(write_csv([]), {}))
    assert (results.overview().pages, results.hosts(), results.record(0, 0)) == (0, [], None)
    assert results.rows(RowQuery(text="x")).complete
    assert sum(results.distributions().confidence.counts) == 0
    assert results.problems().errors == ()
    assert results.gallery().best == ()
