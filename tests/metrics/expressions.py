"""The expressions in the files for Prometheus and Grafana, and the series and labels that they ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import yaml

from tests.deployment.files import ROOT

FOLDER = ROOT / "deploy" / "metrics"
ALERTS = FOLDER / "alerts.yaml"
DASHBOARD = FOLDER / "grafana" / "dashboard.json"

_VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$dataset": ".*"}
_SELECTOR = re.compile(r"(?<![\w:])(?P<name>(?:dataset:)?airflow_[\w:]+)(?:\{(?P<matchers>[^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")
_STRING = re.compile(r'"[^"]*"')


def rules() -> dict[str, str]:
    """The expressions of the alerts and of what they record, by name."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule.get("record") or rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels() -> dict[str, str]:
    """The expressions of the dashboard as Grafana sends them, by the title of their panel."""
    found = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in _VARIABLES.items():
                expression = expression.replace(name, value)
            assert "$" not in expression
            found[f"{panel['title']} {target['refId']}"] = expression
    return found


def asked_for(expression: str) -> Iterator[tuple[str, set[str]]]:
    """The series that an expression selects, with the labels that it selects them by."""
    for found in _SELECTOR.finditer(expression):
        yield found["name"], set(_MATCHER.findall(_STRING.sub('""', found["matchers"] or "")))


def unknown(expressions: Mapping[str, str], labels: Mapping[str, set[str]]) -> list[str]:
    """What expressions ask for and is not there; ``labels`` are those of each series."""
    recorded = {name: {"dataset"} for name in rules() if name.startswith("dataset:")}
    known = {**labels, **recorded}
    wrong = []
    for title, expression in expressions.items():
        selected: set[str] = set()
        for name, asked in asked_for(expression):
            wrong += [f"{title}: {name}"] if name not in known else []
            wrong += [f"{title}: {name} has no {label}" for label in sorted(asked - known.get(name, asked))]
            selected |= known.get(name, set())
        grouped = {label.strip() for found in _GROUPED.findall(expression) for label in found.split(",")}
        wrong += [f"{title}: no series has {label}" for label in sorted(grouped - selected)]
    return wrong
