"""Reads the first batch of a run with Airflow's stats as they are in a task: ``python -m … RUN ALLOWED``.

Where they send is what the environment says, as it does to Airflow.
"""

from __future__ import annotations

import sys
from functools import partial

from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

from ocr_airflow.stats import sender
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.reading.reader import ReaderProcess
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.settings.deployment import Allowances

DATASET = "drops.of_the day"


def main() -> None:
    """Read it."""
    stats.initialize(factory=get_stats_factory(), export_legacy_names=True)
    uri, allowed = sys.argv[1:]
    allowances = Allowances.parse(allowed)
    (batch,) = Plan.load(RunFolder.open(uri, allowances)).batches
    reader = partial(ReaderProcess, engine="tests.reading.engines:PoisonedEngine")
    Batch(batch, allowances, reader, send_metric=sender(DATASET)).run()


if __name__ == "__main__":
    main()
