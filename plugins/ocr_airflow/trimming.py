"""The task that removes from finished runs what their results do not need."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from ocr_airflow.deployment import allowances, default_output
from ocr_airflow.failing import FAIL_FOR_GOOD, task_errors

if TYPE_CHECKING:
    from airflow.sdk import Context


class TrimRunsOperator(BaseOperator):
    """Trims the runs in the output folder that the run's params name: ``output``, ``older_than_days``, ``previews``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.retry_policy = self.retry_policy or FAIL_FOR_GOOD

    def execute(self, context: Context) -> dict[str, int]:
        """Trim; returns how many runs were trimmed, and how many were kept."""
        from ocr_pipeline.errors import PlanError
        from ocr_pipeline.run.retention import runs_in, trim_run, why_kept

        params = context["params"]
        before = datetime.now(UTC) - timedelta(days=params["older_than_days"])
        counts = {"trimmed": 0, "kept": 0}
        with task_errors(self):
            for run in runs_in(params["output"] or default_output(), allowances()):
                try:
                    kept = why_kept(run, before)
                except PlanError as error:
                    kept = str(error)
                if kept:
                    self.log.info("%s is kept: %s", run.uri, kept)
                else:
                    trim_run(run, previews=params["previews"])
                    self.log.info("%s is trimmed", run.uri)
                counts["kept" if kept else "trimmed"] += 1
        return counts
