"""Read a dataset on a schedule: one DAG for every YAML file in ``include/datasets`` (or in ``OCR_DATASETS``)."""

from __future__ import annotations

from ocr_airflow.datasets import declared_datasets

dags = [dataset.dag() for dataset in declared_datasets().datasets]
