"""What a Celery worker imports at its start, as ``[celery] extra_celery_config`` says in its ``imports``.

A worker that is told to stop (SIGTERM) waits for its tasks. A batch may take an hour, and is as well gone on with by
another worker. On Kubernetes without Celery this is not needed: there Airflow passes a pod's SIGTERM on to its task.

What a batch imports is imported here as well, once, before the worker forks: it is most of what starting a task costs.
"""

from __future__ import annotations

from typing import Any

import pandas  # noqa: F401 - PyArrow imports it where it makes an array of Python's or NumPy's values
from celery.signals import worker_shutting_down

import ocr_pipeline.reading.batch  # noqa: F401
from ocr_airflow.draining import drain


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def hand_back_batches(**_: Any) -> None:
    """Called in the worker's main process, as it begins to stop."""
    drain()
