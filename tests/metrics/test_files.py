"""The files for statsd_exporter, Prometheus and Grafana: they suit the table of metrics and what is really sent."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ocr_pipeline.metrics import Kind, Metric
from tests.contract import METRICS, PROJECT, prometheus_name
from tests.metrics.exporter import exported, load_mapping
from tests.metrics.expressions import FOLDER, asked_for, panels, rules, unknown
from tests.metrics.statsd_server import parse

PROMTOOL = shutil.which("promtool")
AIRFLOWS_OWN = {"airflow_pool_running_slots": {"pool_name"}, "airflow_pool_queued_slots": {"pool_name"}}
"""Metrics of Airflow's that are asked for, with their labels; that it sends them is tested with a real one."""

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed; Debian has it in prometheus")


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it; what it says goes to its standard output."""
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )


def table() -> dict[str, set[str]]:
    """The labels of each series, as the table of metrics has them."""
    return {prometheus_name(metric): {tag.value for tag in metric.tags} for metric in Metric}


def test_the_mapping_has_each_metric_with_tags_and_without() -> None:
    mapping = {entry["match"]: entry for entry in load_mapping()}
    for metric in Metric:
        common = {"match_metric_type": metric.kind.value, "name": prometheus_name(metric)}
        # What is not renewed is no longer so; when results are due stays.
        if metric.kind is Kind.GAUGE and metric is not Metric.NEXT_DUE:
            common["ttl"] = "5m"
        tagged = f"airflow.{metric}"
        plain = tagged + ".*" * len(metric.tags)
        labels = {tag.value: f"${number}" for number, tag in enumerate(metric.tags, 1)}
        assert mapping.pop(tagged) == {"match": tagged, **common}
        assert mapping.pop(plain) == {"match": plain, **common, "labels": labels}
    assert all(match.startswith("airflow.pool.") for match in mapping)


def test_airflows_own_metrics_have_the_same_labels_with_tags_and_without() -> None:
    for line in ("airflow.pool.running_slots,pool_name=ocr:1|g", "airflow.pool.running_slots.ocr:1|g"):
        (sample,) = exported([parse(line)], load_mapping())
        assert (sample.name, sample.tags) == ("airflow_pool_running_slots", frozenset({("pool_name", "ocr")}))


def test_alerts_and_dashboard_ask_for_what_there_is() -> None:
    expressions = rules() | panels()
    assert len(expressions) > 30
    assert unknown(expressions, table() | AIRFLOWS_OWN) == []


def test_rates_are_of_counters_and_levels_are_not() -> None:
    counters = {prometheus_name(metric) for metric in Metric if metric.kind is Kind.COUNTER}
    text = "\n".join((rules() | panels()).values())
    assert set(re.findall(r"\b(?:rate|increase)\((\w+)", text)) <= counters
    assert not set(re.findall(r"_over_time\((\w+)", text)) & counters


def test_every_metric_is_shown() -> None:
    asked = {name for expression in (rules() | panels()).values() for name, _ in asked_for(expression)}
    assert table().keys() - asked == set()


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("rate(airflow_ocr_image_total[5m])", "x: airflow_ocr_image_total"),
        ('airflow_ocr_images_total{host="a, b=c"}', "x: airflow_ocr_images_total has no host"),
        ("sum by (dataset, run) (airflow_ocr_images_total)", "x: no series has run"),
        ("dataset:airflow_ocr_images:increase5m", "x: dataset:airflow_ocr_images:increase5m"),
    ],
)
def test_an_expression_that_asks_for_what_there_is_not_is_found(expression: str, wrong: str) -> None:
    assert unknown({"x": expression}, table()) == [wrong]


def test_the_dashboard_names_the_data_source_that_is_provisioned() -> None:
    provisioned = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    (source,) = provisioned["datasources"]
    dashboard = json.loads((FOLDER / "grafana/dashboard.json").read_text())
    variables = dashboard["templating"]["list"]
    used = {part["datasource"]["uid"] for part in (*dashboard["panels"], *variables)}
    assert used == {source["uid"]}
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(numbers) == len(set(numbers))


def test_no_panel_lies_over_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in json.loads((FOLDER / "grafana/dashboard.json").read_text())["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for place in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert taken.setdefault(place, panel["title"]) == panel["title"]


@needs_promtool
def test_prometheus_takes_its_files() -> None:
    checked = promtool("check", "config", FOLDER / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout
    assert f"{len(rules())} rules found" in checked.stdout


@needs_promtool
def test_prometheus_understands_the_dashboard(tmp_path: Path) -> None:
    expressions = [{"record": f"panel_{number}", "expr": text} for number, text in enumerate(panels().values())]
    written = tmp_path / "panels.yaml"
    written.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": expressions}]}))
    checked = promtool("check", "rules", written)
    assert checked.returncode == 0, checked.stdout
    expressions[0]["expr"] += " by"
    written.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": expressions}]}))
    assert promtool("check", "rules", written).returncode != 0


@needs_promtool
def test_alerts_come_when_they_should() -> None:
    checked = promtool("test", "rules", PROJECT / "tests/metrics/alerts_test.yaml")
    assert checked.returncode == 0, checked.stdout


def test_each_alert_is_tested_both_ways() -> None:
    tests = yaml.safe_load((PROJECT / "tests/metrics/alerts_test.yaml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    alerts = {name for name in rules() if not name.startswith("dataset:")}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


def test_the_documentation_has_each_alert() -> None:
    told = re.findall(r"^\| `(Ocr\w+)` \|", METRICS.read_text(), re.MULTILINE)
    assert told == [name for name in rules() if not name.startswith("dataset:")]
