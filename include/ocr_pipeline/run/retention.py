"""Removing from a finished run what its results do not need.

The results, the summary, the report, and what pages show them by stay, the plan with its rows among it, and so does
what the catalog notes. What goes is what merging needs: the readings of the batches (``batches/``). The plan says so
before anything is removed, so that no task takes what is gone for what was never there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from ocr_pipeline.errors import MissingPlanError
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.run.summary import MergedRun
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.storage.opening import open_folder


def runs_in(output: str, allowances: Allowances) -> Iterator[RunFolder]:
    """The folders of runs in an output folder, and in those in it: each scheduled dataset has one of its own.

    :raises SettingsError: when ``output`` cannot be used or is not allowed.
    :raises StorageError: when it cannot be read.
    """
    for run in _folders_in(output, allowances):
        if run.plan.exists():
            yield run
        else:
            yield from (inner for inner in _folders_in(run.uri, allowances) if inner.plan.exists())


def _folders_in(uri: str, allowances: Allowances) -> Iterator[RunFolder]:
    folder = open_folder(uri, allowances)
    for name in folder.folders():
        if not name.startswith("."):
            yield RunFolder.open(f"{folder.uri}/{name}", allowances)


def why_kept(run: RunFolder, merged_before: datetime) -> str:
    """Why nothing may be removed from ``run``; empty when it may.

    :param merged_before: when the run must have been merged last.
    :raises PlanError: when another version wrote its plan or its summary.
    :raises StorageError: when its folder cannot be read.
    """
    try:
        plan = Plan.load(run)
    except MissingPlanError:
        return "it is not planned"
    merged = MergedRun.load(run)
    if merged is None or datetime.fromisoformat(merged.merged_at) < datetime.fromisoformat(plan.created_at):
        return "it is not merged"
    if not merged.succeeded:
        return f"it has not succeeded: {merged.problem}"
    if datetime.fromisoformat(merged.merged_at) >= merged_before:
        return f"it was merged at {merged.merged_at}"
    if run.begun(batch.index for batch in plan.batches):
        return "a batch of it is read again"
    return ""


def trim_run(run: RunFolder, *, previews: bool = False) -> None:
    """Remove the readings of the batches of ``run``; what is gone already is no error.

    :param previews: whether the pictures of pages go as well.
    :raises PlanError: when there is no plan.
    :raises StorageError: when something cannot be removed; trimming again goes on.
    """
    plan = Plan.load(run)
    if not plan.trimmed_at:
        replace(plan, trimmed_at=datetime.now(UTC).isoformat(timespec="seconds")).save(run)
    run.robots.clear()
    # The markers stay, by which pages show how the batches went.
    rows = [file for file in run.batches.files() if not file.name.endswith(".json")]
    for _ in run.folder.map(lambda file: file.delete(), rows):
        pass
    if previews:
        run.previews.clear()
