"""A run that one version has planned and another goes on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocr_pipeline.errors import PlanError
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.settings.deployment import Allowances
from tests.conftest import MakePlan, reading_with
from tests.pipeline.bucket_runs import plan, read_all, results

Change = Callable[[dict[str, Any]], None]


def rewrite(run: RunFolder, change: Change) -> None:
    """Make the plan one as another version would have written it."""
    values = json.loads(run.plan.read_bytes())
    change(values)
    run.plan.write_bytes(json.dumps(values).encode())


def test_a_plan_without_a_setting_that_came_later_goes_on_with_its_default(
    dataset: Path, tmp_path: Path, allowances: Allowances, expected: list[dict[str, str]]
) -> None:
    run, planned = plan(dataset, str(tmp_path / "out"), allowances)
    Batch(planned.batches[0], allowances, reading_with()).run()
    rewrite(run, lambda values: values["settings"].pop("precision"))
    # Its batches keep the digests that they were planned with, also those that were staged before.
    assert Plan.load(run) == planned
    read_all(planned, allowances)
    assert merge_run(run).complete
    assert results(run) == expected


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda values: values.update(version=5), "was written by another version; start a new run"),
        (
            lambda values: values["settings"].update(sharpness=3),
            r"has settings that this version does not take \(.*sharpness.*\): finish the run with the version that",
        ),
    ],
)
def test_what_a_version_does_not_know_it_neither_reads_nor_merges(
    make_plan: MakePlan, dataset: Path, allowances: Allowances, change: Change, why: str
) -> None:
    run, planned = make_plan(dataset)
    rewrite(run, change)
    for act in (lambda: Batch(planned.batches[0], allowances, reading_with()).run(), lambda: merge_run(run)):
        with pytest.raises(PlanError, match=why) as caught:
            act()
        assert not caught.value.retryable
    assert not run.results_csv.exists()
