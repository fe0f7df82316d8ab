"""The pipeline as a DAG: one definition for runs on demand and for scheduled datasets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, TriggerRule, XComArg

from ocr_airflow.deployment import READ_POOL, read_slots
from ocr_airflow.notifications import Notification, callbacks
from ocr_airflow.operators import RUN_KEY, MergeRunOperator, PlanRunOperator, ReadBatchOperator
from ocr_airflow.params import run_params
from ocr_airflow.waiting import WaitForDatasetSensor, Waiting

BACKOFF = {"retry_exponential_backoff": 2.0, "max_retry_delay": timedelta(hours=1)}
"""Each retry of a task waits twice as long as the one before: what is down is mostly down for longer than a moment."""


WAIT_TASK, PLAN_TASK, READ_TASK, MERGE_TASK = "wait", "plan", "read_batch", "merge"
"""The tasks of a run, as they are named in Airflow; the first only where a dataset is waited for."""


def ocr_dag(
    dag_id: str,
    *,
    source: str | None = None,
    timezone: str = "UTC",
    settings: Mapping[str, Any] | None = None,
    waiting: Waiting | None = None,
    notifications: Sequence[Notification] = (),
    **options: Any,
) -> DAG:
    """A DAG that plans a run, reads its batches and merges them.

    Its results are the asset ``<dag_id>.results``, whose events carry the run's folder as ``run``. The Celery
    queue of the tasks that read batches is ``OCR_QUEUE``.

    :param source: the dataset of its scheduled runs, a template; without one, each run names its own.
    :param timezone: of the source, in which its template has its ``day``.
    :param settings: defaults of the form, in place of those of :class:`ocr_pipeline.settings.run.RunSettings`.
    :param waiting: whether and how long to wait for a dataset that is not there.
    :param notifications: who is told of what goes wrong.
    :param options: further arguments of :class:`airflow.sdk.DAG`.
    """
    own = {"dataset": source} if source else {}
    options["default_args"] = {**BACKOFF, **options.get("default_args", {})}
    params = run_params(source=source, defaults=settings)
    options["on_failure_callback"] = callbacks(notifications, "failure") or None
    with DAG(dag_id=dag_id, params=params, **options) as dag:
        plan = PlanRunOperator(task_id=PLAN_TASK, settings=own, timezone=timezone)
        if waiting:
            wait = WaitForDatasetSensor(
                task_id=WAIT_TASK,
                settings=own,
                timezone=timezone,
                waiting=waiting,
                on_skipped_callback=callbacks(notifications, "missing"),
            )
            wait >> plan
        read = ReadBatchOperator.partial(
            task_id=READ_TASK,
            run=XComArg(plan, RUN_KEY),
            pool=READ_POOL,
            # The batches share what a host may be asked by this number; the pool can be changed while they run.
            max_active_tis_per_dagrun=read_slots(),
            queue=os.environ.get("OCR_QUEUE") or "default",
            map_index_template="{{ task.label }}",
        ).expand(batch=plan.output)
        read >> MergeRunOperator(
            task_id=MERGE_TASK,
            run=XComArg(plan, RUN_KEY),
            # The plan's success is the one that is needed: the merge runs whatever became of the batches, and judges.
            trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
            outlets=[Asset(f"{dag_id}.results")],
            on_success_callback=callbacks(notifications, "failures"),
        )
    return dag
