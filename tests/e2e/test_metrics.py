"""A scheduled dataset on a real Airflow: the metrics that servers of StatsD and OpenTelemetry get, and its log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ocr_pipeline.metrics import Metric
from tests.contract import prometheus_name
from tests.e2e.conftest import LocalAirflow, running_airflow, wait_for
from tests.e2e.test_runs import draw_word
from tests.metrics.exporter import exported, load_mapping
from tests.metrics.expressions import panels, rules, unknown
from tests.metrics.otlp_collector import OtlpCollector
from tests.metrics.samples import Sample, last_values
from tests.metrics.statsd_server import StatsdServer
from tests.metrics.test_sending import of_metrics

DAG = "measured"
ENGINE = "openvino", "PP-OCRv6_small"


@dataclass(frozen=True)
class Measured:
    """An Airflow, and what was sent so far, under the names that it has in Prometheus."""

    airflow: LocalAirflow
    samples: Callable[[], list[Sample]]


@pytest.fixture(scope="module", params=["statsd", "otel"])
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "statsd":
        with StatsdServer() as server:
            config = f"statsd_on = True\nstatsd_port = {server.port}\nstatsd_influxdb_enabled = True\n"
            with running_airflow(folder, f"[metrics]\nlegacy_names_on = False\n{config}") as airflow:
                yield Measured(airflow, lambda: exported(server.samples("airflow."), load_mapping()))
    else:
        with OtlpCollector() as collector, pytest.MonkeyPatch.context() as environment:
            environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
            environment.setenv("OTEL_METRIC_EXPORT_INTERVAL", "1000")
            with running_airflow(folder, "[metrics]\nlegacy_names_on = False\notel_on = True\n") as airflow:
                yield Measured(airflow, lambda: [as_in_prometheus(sample) for sample in collector.samples("airflow.")])
                assert collector.refused == []


def as_in_prometheus(sample: Sample) -> Sample:
    """A sample of OpenTelemetry under the name that Prometheus gives it."""
    names = {f"airflow.{metric}": prometheus_name(metric) for metric in Metric}
    name = names.get(sample.name, sample.name.replace(".", "_"))
    return Sample(name, sample.tags, sample.kind, sample.value)


def test_a_scheduled_dataset_sends_what_the_table_says_and_the_dashboard_asks_for(
    measured: Measured, tmp_path: Path
) -> None:
    airflow = measured.airflow
    draw_word(tmp_path / "ONE.png", "ONE")
    draw_word(tmp_path / "TWO.png", "TWO")
    (tmp_path / "broken.png").write_bytes(b"no image")
    (tmp_path / "2026-01-01.csv").write_text("image\nONE.png\nTWO.png\nbroken.png\ngone.png\n")
    airflow.allow(str(tmp_path))
    (airflow.datasets / f"{DAG}.yaml").write_text(
        f"source: {tmp_path}/{{{{ day }}}}.csv\nschedule: '@daily'\nstart_date: 2026-01-01\n"
        "wait: {timeout: 1s, every: 10s}\nsettings: {max_failures: 1}\n"
    )
    wait_for(lambda: airflow.api.has_dag(DAG))
    body = {"dag_run_id": "one", "logical_date": "2026-01-02T08:00:00Z"}
    airflow.api.request("POST", f"dags/{DAG}/dagRuns", body)
    wait_for(lambda: airflow.api.run_state(DAG, "one") == "success", 240)

    table = {prometheus_name(metric): metric for metric in Metric}
    wanted = {*table, "airflow_pool_running_slots", "airflow_pool_queued_slots"}
    # Beside this run, the scheduler starts one of its own, whose day never comes.
    wait_for(lambda: wanted <= {sample.name for sample in measured.samples()})
    samples = measured.samples()
    sent = last_values(sample for sample in samples if sample.name in wanted)
    labels: dict[str, set[str]] = {}
    for (name, tags), (kind, _) in sent.items():
        labels.setdefault(name, set()).update(label for label, _ in tags)
        if name in table:
            assert kind is table[name].kind
            assert {label for label, _ in tags} == {tag.value for tag in table[name].tags}
            assert dict(tags)["dataset"] == DAG
    assert unknown(rules() | panels(), labels) == []

    assert of_metrics(samples, "airflow_ocr_images_total", DAG) == {
        (*ENGINE, "ok", "none"): 2,
        ("none", "none", "decode_failed", "not_an_image"): 1,
        ("none", "none", "fetch_failed", "not_found"): 1,
    }
    assert of_metrics(samples, "airflow_ocr_pages_total", DAG) == {ENGINE: 2}
    assert of_metrics(samples, "airflow_ocr_batches_total", DAG) == {("staged",): 1}
    assert of_metrics(samples, "airflow_ocr_dataset_missing_total", DAG)[()] >= 1
    due = of_metrics(samples, "airflow_ocr_dataset_next_due_timestamp_seconds", DAG)[()]
    assert datetime.fromtimestamp(due, UTC) == datetime(2026, 1, 3, tzinfo=UTC)
    memory = of_metrics(samples, "airflow_ocr_reader_memory_bytes", DAG)[()]
    assert 50e6 < memory < of_metrics(samples, "airflow_ocr_reader_memory_limit_bytes", DAG)[()]

    folder = airflow.home / "logs" / f"dag_id={DAG}" / "run_id=one" / "task_id=read_batch" / "map_index=0"
    records = [json.loads(line) for line in (folder / "attempt=1.log").read_text().splitlines()]
    ours = [record for record in records if record.get("logger", "").startswith("ocr_pipeline.")]
    assert {(record["dag_id"], record["run_id"], record["map_index"]) for record in ours} == {(DAG, "one", 0)}
    assert any("1 not_found, such as row 4, gone.png: " in record["event"] for record in ours)
