"""Waiting for a dataset that is not there yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from ocr_airflow.deployment import allowances
from ocr_airflow.failing import FAIL_FOR_GOOD, fail, task_errors
from ocr_airflow.queries import run_query
from ocr_airflow.settings import run_settings
from ocr_airflow.stats import sender
from ocr_pipeline.metrics import Metric
from ocr_pipeline.settings.addresses import shown_dataset
from ocr_pipeline.settings.run import RunSettings

if TYPE_CHECKING:
    from airflow.sdk import Context


MISSING_KEY = "missing"
"""XCom key under which a run says which dataset it waited for in vain."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long a run waits for its dataset, how often it looks, and what becomes of it when there is none."""

    timeout: timedelta
    every: timedelta
    otherwise: Literal["skip", "fail"]


class WaitForDatasetSensor(BaseSensorOperator):
    """Wait until the run's dataset is there. Between two looks it holds neither a worker nor a slot of a pool.

    A dataset that may not be read ends the run at once. One that is there and cannot be read is found by the plan.

    Why a run was skipped is in its XCom ``missing``.

    :param settings, timezone: what the DAG says of the run, as :class:`~ocr_airflow.operators.PlanRunOperator` has it.
    """

    def __init__(self, *, settings: Mapping[str, Any], waiting: Waiting, timezone: str = "UTC", **kwargs: Any) -> None:
        super().__init__(
            mode="reschedule",
            timeout=waiting.timeout.total_seconds(),
            poke_interval=waiting.every.total_seconds(),
            **kwargs,
        )
        self.retry_policy = self.retry_policy or FAIL_FOR_GOOD
        self.settings = dict(settings)
        self.timezone = timezone
        self.otherwise = waiting.otherwise

    def execute(self, context: Context) -> None:
        """Look once; Airflow calls it again until the dataset is there or it is too late.

        :raises AirflowSkipException: when it is too late and the run is to be skipped.
        :raises TaskFailedForGood: when it is too late and the run is to fail.
        """
        try:
            super().execute(context)
        except AirflowSensorTimeout:
            # The sensor's own soft_fail would skip a run for an unreadable dataset as well.
            dataset = shown_dataset(self._run_settings(context).dataset)
            late = f"waited {timedelta(seconds=self.timeout)} for {dataset}, and it is not there"
            context["ti"].xcom_push(key=MISSING_KEY, value=late)
            sender(self.dag_id)(Metric.MISSING, 1, {})
            if self.otherwise == "skip":
                raise AirflowSkipException(late) from None
            fail(self, f"{late}: clear this task when it is")

    def poke(self, context: Context) -> bool:
        """Whether the dataset is there."""
        from ocr_pipeline.dataset import dataset_exists

        with task_errors(self, context):
            return dataset_exists(self._run_settings(context), allowances(), run_query)

    def _run_settings(self, context: Context) -> RunSettings:
        return RunSettings.parse(run_settings(self, self.settings, context, self.timezone))
