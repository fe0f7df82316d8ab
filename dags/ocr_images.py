"""Read the text of every image that a dataset links to: plan, read the batches, merge.

Trigger it with a dataset. One that is read on a schedule is declared in a file of its own, see ``ocr_datasets.py``.
"""

from __future__ import annotations

from ocr_airflow.dags import ocr_dag

dag = ocr_dag(
    "ocr_images",
    dag_display_name="OCR images",
    description="Read the text of every image that a dataset links to",
    doc_md=__doc__,
    schedule=None,
    tags=["ocr"],
)
