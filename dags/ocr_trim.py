"""Remove from finished runs what their results do not need: the readings of the batches.

Results, report and pages stay; a trimmed run can no longer be retried. Runs that are not merged, incomplete or failed
are left alone. Trigger it by hand, or daily from outside: `airflow dags trigger ocr_trim`.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from ocr_airflow.trimming import TrimRunsOperator

params = {
    "older_than_days": Param(30, type="integer", minimum=0, title="Older than, days", description="Since the merge."),
    "output": Param(None, type=["null", "string"], title="Output", description="By default that of all runs."),
    "previews": Param(False, type="boolean", title="Pictures as well", description="Also remove pictures of pages."),
}

with DAG(
    dag_id="ocr_trim",
    dag_display_name="OCR: trim finished runs",
    description="Remove from finished runs what their results do not need",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    params=params,
    max_active_runs=1,
    tags=["ocr"],
):
    TrimRunsOperator(task_id="trim")
