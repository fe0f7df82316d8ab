"""Metrics through Airflow's own stats: to whatever it is configured to send them to, StatsD, Datadog or OpenTelemetry.

``airflow.sdk.observability.stats`` is the one that Airflow sets up in the process of a task; the one of its core,
``airflow.observability.stats``, sends nothing there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from airflow.sdk.configuration import conf
from airflow.sdk.observability import stats

from ocr_pipeline.metrics import Kind, Metric, Send, Tag

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")


def sender(dataset: str) -> Send:
    """Sends metrics of ``dataset``, which is the name of a DAG."""
    return partial(_send, dataset)


def _send(dataset: str, metric: Metric, value: float, tags: Mapping[Tag, str]) -> None:
    values = {Tag.DATASET: dataset, **tags}
    named = {tag.value: _clean(values[tag]) for tag in metric.tags}
    name = metric.value
    if not _sends_tags():
        name = ".".join([name, *named.values()])
    if metric.kind is Kind.COUNTER:
        stats.incr(name, int(value), tags=named)
    else:
        stats.gauge(name, value, tags=named)


def _clean(value: str) -> str:
    """A value without what a name in StatsD cannot have; a dot would be one part more."""
    return _NOT_IN_NAMES.sub("_", value.replace(".", "__"))


def _sends_tags() -> bool:
    """Whether what Airflow sends metrics to knows tags; plain StatsD has only names."""
    plain = conf.getboolean("metrics", "statsd_on", fallback=False)
    return (
        not plain
        or conf.getboolean("metrics", "statsd_influxdb_enabled", fallback=False)
        or conf.getboolean("metrics", "statsd_datadog_enabled", fallback=False)
    )
