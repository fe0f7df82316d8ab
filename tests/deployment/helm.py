"""Reading the values for the Airflow chart as Helm does."""

from __future__ import annotations

from typing import Any

import yaml

from tests.deployment.files import ROOT

HELM = ROOT / "deploy" / "helm"
OVERLAYS: tuple[tuple[str, ...], ...] = ((), ("gpu",), ("kind",))
"""What is put over values.yaml, one after the other."""


def read_values(*overlays: str) -> dict[str, Any]:
    """values.yaml with the values of ``overlays`` over it."""
    values: dict[str, Any] = {}
    for name in ("values", *(f"values-{overlay}" for overlay in overlays)):
        values = merge(values, yaml.safe_load((HELM / f"{name}.yaml").read_text(encoding="utf-8")))
    return values


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``: mappings key by key, everything else as a whole; null takes a key away."""
    merged = dict(below)
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(below.get(key), dict):
            merged[key] = merge(below[key], value)
        else:
            merged[key] = value
    return merged


def variables(values: dict[str, Any]) -> dict[str, str]:
    """The environment variables that all pods get: those of ``env``, and the options of ``config`` by their names."""
    options = {
        f"AIRFLOW__{section.upper()}__{option.upper()}": str(value)
        for section, content in values["config"].items()
        for option, value in content.items()
    }
    return options | {item["name"]: item["value"] for item in values["env"]}


def worker_sets(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the chart makes of each group of workers, by the queue that it serves."""
    own = {key: value for key, value in values["workers"]["celery"].items() if key != "sets"}
    return {group["queue"]: merge(own, group) for group in [own, *values["workers"]["celery"]["sets"]]}
