"""The DAG ``ocr_images`` with an engine that has nothing to do."""

from __future__ import annotations

from airflow.sdk import DAG, XComArg

from benchmarks.overhead.operators import NullReadBatchOperator
from ocr_airflow.deployment import READ_POOL
from ocr_airflow.operators import RUN_KEY, MergeRunOperator, PlanRunOperator
from ocr_airflow.params import run_params

with DAG(dag_id="ocr_overhead", schedule=None, catchup=False, params=run_params(source=None)):
    plan = PlanRunOperator(task_id="plan")
    read = NullReadBatchOperator.partial(
        task_id="read_batch", run=XComArg(plan, RUN_KEY), pool=READ_POOL, map_index_template="{{ task.label }}"
    ).expand(batch=plan.output)
    read >> MergeRunOperator(task_id="merge", run=XComArg(plan, RUN_KEY))
