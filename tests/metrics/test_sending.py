"""A batch's metrics as servers get them from Airflow: StatsD with tags and without, and OpenTelemetry."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from ocr_pipeline.metrics import Metric
from tests.contract import prometheus_name
from tests.metrics.conftest import otel_variables, read_batch, statsd_variables
from tests.metrics.exporter import MAPPING, exported, load_mapping
from tests.metrics.samples import Sample, last_values
from tests.metrics.statsd_server import parse

OF_RUNS = {Metric.MISSING, Metric.NEXT_DUE}
"""What batches do not send."""

NAMES = ["prometheus-statsd-exporter", "statsd_exporter"]
EXPORTER = next(filter(None, map(shutil.which, NAMES)), None)

STATUSES = {
    ("test", "width", "ok", "none"): 2,
    ("test", "width", "no_text", "none"): 1,
    ("none", "none", "read_failed", "engine_error"): 1,
    ("none", "none", "read_failed", "engine_crashed"): 1,
    ("none", "none", "fetch_failed", "not_found"): 1,
}
"""Of the images: engine, model, status and category."""


def of_metrics(
    samples: Iterable[Sample], name: str, dataset: str = "drops__of_the_day"
) -> dict[tuple[str, ...], float]:
    """Values of a metric by its tags' values, in the order of the table, without the dataset."""
    order = [tag.value for tag in next(metric for metric in Metric if prometheus_name(metric) == name).tags]
    found = {}
    for (sampled, tags), (_, value) in last_values(samples).items():
        if sampled == name:
            assert {label for label, _ in tags} == set(order)
            assert dict(tags)["dataset"] == dataset
            found[tuple(dict(tags)[label] for label in order[1:])] = value
    return found


def check(samples: list[Sample]) -> None:
    """Whether series of Prometheus are what the batch did, each of the kind that the table says."""
    kinds = {sample.name: sample.kind for sample in samples}
    assert kinds == {prometheus_name(metric): metric.kind for metric in set(Metric) - OF_RUNS}
    assert of_metrics(samples, "airflow_ocr_images_total") == STATUSES
    assert of_metrics(samples, "airflow_ocr_pages_total") == {("test", "width"): 3}
    assert of_metrics(samples, "airflow_ocr_read_milliseconds_total")["test", "width"] >= 30  # each sleeps for 10
    assert of_metrics(samples, "airflow_ocr_batches_total") == {("staged",): 1}
    assert of_metrics(samples, "airflow_ocr_reader_restarts_total") == {(): 2}
    assert of_metrics(samples, "airflow_ocr_fetch_bytes_total")[()] > 0
    assert of_metrics(samples, "airflow_ocr_queue_images") == {("fetching",): 0, ("waiting",): 0, ("reading",): 0}
    memory = of_metrics(samples, "airflow_ocr_reader_memory_bytes")[()]
    assert 0 < memory < of_metrics(samples, "airflow_ocr_reader_memory_limit_bytes")[()]


def test_statsd_with_tags(tagged_lines: list[str]) -> None:
    ours = [parse(line) for line in tagged_lines if line.startswith("airflow.ocr.")]
    assert {sample.name for sample in ours} == {f"airflow.{metric}" for metric in set(Metric) - OF_RUNS}
    check(exported(ours, load_mapping()))


def test_statsd_without_tags_has_them_in_the_names(plain_lines: list[str]) -> None:
    ours = [parse(line) for line in plain_lines if line.startswith("airflow.ocr.")]
    assert not any(sample.tags for sample in ours)
    assert "airflow.ocr.images.drops__of_the_day.test.width.ok.none" in {sample.name for sample in ours}
    check(exported(ours, load_mapping()))


def test_open_telemetry(otel_samples: list[Sample]) -> None:
    ours = [sample for sample in otel_samples if sample.name.startswith("airflow.ocr.")]
    names = {f"airflow.{metric}": prometheus_name(metric) for metric in Metric}
    check([Sample(names[sample.name], sample.tags, sample.kind, sample.value) for sample in ours])


@pytest.mark.parametrize("protocol", ["statsd", "otel"])
def test_a_server_that_is_away_ends_no_batch(tmp_path: Path, protocol: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = (
        statsd_variables(port, tags=True) if protocol == "statsd" else otel_variables(f"http://127.0.0.1:{port}")
    )
    read_batch(tmp_path, variables)
    assert (tmp_path / "output" / "run" / "batches" / "batch-00000.csv").exists()


@pytest.mark.skipif(EXPORTER is None, reason=f"none of {', '.join(NAMES)} is installed")
def test_the_exporter_itself_has_the_same_series(tagged_lines: list[str], plain_lines: list[str]) -> None:
    for lines in (tagged_lines, plain_lines):
        ours = [line for line in lines if line.startswith("airflow.ocr.")]
        expected = last_values(exported(map(parse, ours), load_mapping()))
        assert ask_exporter(ours) == {key: value for key, (_, value) in expected.items()}


def ask_exporter(lines: list[str]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The series of ours that the real exporter serves after these lines."""
    assert EXPORTER is not None
    with socket.socket() as web, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        web.bind(("127.0.0.1", 0))
        statsd.bind(("127.0.0.1", 0))
        ports = web.getsockname()[1], statsd.getsockname()[1]
    addresses = [f"--web.listen-address=127.0.0.1:{ports[0]}", f"--statsd.listen-udp=127.0.0.1:{ports[1]}"]
    command = [EXPORTER, f"--statsd.mapping-config={MAPPING}", *addresses, "--statsd.listen-tcp="]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{ports[0]}/metrics"
            scrape_until(url, "")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for line in lines:
                    sender.sendto(line.encode(), ("127.0.0.1", ports[1]))
            text = scrape_until(url, f"\nstatsd_exporter_lines_total {len(lines)}\n")
        finally:
            process.kill()
    return dict(series(line) for line in text.splitlines() if line.startswith("airflow_ocr_"))


def scrape_until(url: str, wanted: str) -> str:
    """What the exporter serves once ``wanted`` is in it, and it has no event left to take in."""
    deadline = time.monotonic() + 60
    before = None
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:
            text: str = answer.read().decode()
            ours = "\n".join(line for line in text.splitlines() if "airflow_" in line)
            if wanted in text and ours == before:
                return text
            before = ours
        time.sleep(0.5)
    raise AssertionError(f"not within 60 s: {wanted}")


def series(line: str) -> tuple[tuple[str, frozenset[tuple[str, str]]], float]:
    """A line of the text format as name, labels and value."""
    name, _, rest = line.partition("{")
    labels, _, value = rest.partition("} ")
    pairs = [label.partition("=") for label in labels.split(",")]
    return (name, frozenset((label, text.strip('"')) for label, _, text in pairs)), float(value)
