"""What tests of runs in buckets share."""

from __future__ import annotations

import csv
from pathlib import Path

from ocr_pipeline.planning.planning import plan_run
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings
from ocr_pipeline.storage.patience import PATIENCE, Patience
from tests.conftest import reading_with

TIMES = ("ocr_fetch_seconds", "ocr_read_seconds")


def plan(dataset: Path, output: str, allowances: Allowances, patience: Patience = PATIENCE) -> tuple[RunFolder, Plan]:
    """Plan a run of batches of ten rows."""
    settings = RunSettings(dataset=str(dataset), output=output, batch_size=10, attempts=1)
    run = RunFolder.open(f"{output}/run", allowances, patience)
    return run, plan_run(settings, run, allowances, max_batches=100)


def read_all(planned: Plan, allowances: Allowances, patience: Patience = PATIENCE) -> None:
    """Read every batch."""
    for batch in planned.batches:
        Batch(batch, allowances, reading_with(), patience=patience).run()


def results(run: RunFolder) -> list[dict[str, str]]:
    """The merged results without what differs between any two runs."""
    with run.results_csv.reading() as path, path.open(newline="") as file:
        return [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]
