"""The plugin that shows results in the Airflow UI: tabs on runs and tasks, and a page that lists runs.

Every scheduler and worker loads this file, so it imports nothing that the pages are made of.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from ocr_airflow.pages import PREFIX
from ocr_airflow.pages.lazy import LazyApp

# Relative to the page of the UI, whose base is where Airflow is served, also below a path.
_PAGES = PREFIX.removeprefix("/")


class OcrResultsPlugin(AirflowPlugin):
    """Results of bulk OCR in the Airflow UI."""

    name = "ocr_results"
    fastapi_apps: list[Any] = [{"app": LazyApp(), "url_prefix": PREFIX, "name": "OCR results"}]  # noqa: RUF012
    external_views: list[Any] = [  # noqa: RUF012
        {
            "name": "OCR results",
            "href": f"{_PAGES}/dags/{{DAG_ID}}/runs/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "ocr_results",
        },
        {
            "name": "OCR results",
            "href": f"{_PAGES}/dags/{{DAG_ID}}/runs/{{RUN_ID}}/tasks/{{TASK_ID}}/{{MAP_INDEX}}",
            "destination": "task_instance",
            "url_route": "ocr_rows",
        },
        {"name": "OCR runs", "href": f"{_PAGES}/", "destination": "nav", "category": "browse", "url_route": "ocr_runs"},
    ]
