"""What statsd_exporter makes of lines of StatsD with a mapping: series of Prometheus.

Of the mapping it knows what ours uses: globs, types, names, labels; https://github.com/prometheus/statsd_exporter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.deployment.files import ROOT
from tests.metrics.samples import Sample

MAPPING = ROOT / "deploy" / "metrics" / "statsd-mapping.yaml"
_KEYS = {"match", "match_metric_type", "name", "labels", "ttl"}


def load_mapping(path: Path = MAPPING) -> list[dict[str, Any]]:
    """The entries of a mapping."""
    entries: list[dict[str, Any]] = yaml.safe_load(path.read_text())["mappings"]
    assert all(entry.keys() <= _KEYS for entry in entries)
    return entries


def exported(samples: Iterable[Sample], mapping: Iterable[dict[str, Any]]) -> list[Sample]:
    """The samples under the names and with the labels that Prometheus sees."""
    return [_export(sample, mapping) for sample in samples]


def _export(sample: Sample, mapping: Iterable[dict[str, Any]]) -> Sample:
    for entry in mapping:
        pattern = re.escape(entry["match"]).replace(r"\*", r"([^.]*)")
        found = re.fullmatch(pattern, sample.name)
        if found and entry["match_metric_type"] == sample.kind:
            labels = {label: found[int(text.removeprefix("$"))] for label, text in entry.get("labels", {}).items()}
            return Sample(entry["name"], sample.tags | frozenset(labels.items()), sample.kind, sample.value)
    return Sample(re.sub(r"[^a-zA-Z0-9_]", "_", sample.name), sample.tags, sample.kind, sample.value)
