"""Read the text of every image that a dataset links to: plan, read the batches, merge.

Trigger it with a dataset, or give it one for good: ``OCR_DATASET`` (templated, such as
``/data/links-{{ ds }}.csv``) and ``OCR_SCHEDULE`` (such as ``@daily``) in the environment of Airflow.
``OCR_QUEUE`` names the Celery queue of the tasks that read batches, such as that of the workers with a GPU.
"""

from __future__ import annotations

import os

from airflow.sdk import DAG, TriggerRule

from ocr_airflow.deployment import READ_POOL
from ocr_airflow.operators import MergeRunOperator, PlanRunOperator, ReadBatchOperator
from ocr_airflow.params import run_params

dataset = os.environ.get("OCR_DATASET")

with DAG(
    dag_id="ocr_images",
    dag_display_name="OCR images",
    description="Read the text of every image that a dataset links to",
    doc_md=__doc__,
    schedule=os.environ.get("OCR_SCHEDULE") or None,
    catchup=False,
    params=run_params(dataset_known=bool(dataset)),
    tags=["ocr"],
):
    plan = PlanRunOperator(task_id="plan", settings={"dataset": dataset} if dataset else None)
    read = ReadBatchOperator.partial(
        task_id="read_batch",
        pool=READ_POOL,
        queue=os.environ.get("OCR_QUEUE") or "default",
        map_index_template="{{ task.label }}",
    ).expand(batch=plan.output)
    read >> MergeRunOperator(task_id="merge", trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
