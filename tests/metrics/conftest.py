"""What a batch has sent by Airflow's stats, over each protocol; read once for all tests that look at it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocr_pipeline.planning.planning import plan_run
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings
from tests.conftest import bare_environment
from tests.metrics.otlp_collector import OtlpCollector
from tests.metrics.samples import Sample
from tests.metrics.statsd_server import StatsdServer
from tests.reading.engines import CRASH

PROJECT = Path(__file__).parents[2]

WIDTHS = (20, 30, 1, 13, CRASH)
"""Of the images: two with text, one without, one that breaks the engine, one that ends its process."""


def read_batch(folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Read a batch in ``folder``, in a process in which Airflow is told ``variables``."""
    links = [f"{width}.png" for width in WIDTHS]
    for width, link in zip(WIDTHS, links, strict=True):
        cv2.imwrite(str(folder / link), np.full((8, width, 3), 200, np.uint8))
    dataset = folder / "d.csv"
    dataset.write_text("\n".join(["image", *links, "gone.png"]))
    allowances = Allowances.parse(str(folder))
    settings = RunSettings.parse({"dataset": str(dataset), "output": str(folder / "output"), "max_failures": 1})
    run = RunFolder.of(settings.output, "run", allowances)
    plan_run(settings, run, allowances, max_batches=10)
    environment = bare_environment() | {"AIRFLOW_HOME": str(folder / "airflow")} | variables
    environment["PYTHONPATH"] += f":{PROJECT / 'plugins'}"
    return subprocess.run(
        [sys.executable, "-m", "tests.metrics.measured_batch", run.uri, str(folder)],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )


def statsd_variables(port: int, *, tags: bool) -> dict[str, str]:
    """What tells Airflow to send to StatsD on loopback."""
    return {
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": str(port),
        "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": str(tags),
    }


def otel_variables(url: str) -> dict[str, str]:
    """What tells Airflow to send to a collector."""
    return {
        "AIRFLOW__METRICS__OTEL_ON": "True",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }


@pytest.fixture(scope="session")
def tagged_lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    with StatsdServer() as server:
        read_batch(tmp_path_factory.mktemp("tagged"), statsd_variables(server.port, tags=True))
        return server.lines()


@pytest.fixture(scope="session")
def plain_lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    with StatsdServer() as server:
        read_batch(tmp_path_factory.mktemp("plain"), statsd_variables(server.port, tags=False))
        return server.lines()


@pytest.fixture(scope="session")
def otel_samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    with OtlpCollector() as collector:
        read_batch(tmp_path_factory.mktemp("otel"), otel_variables(collector.url))
        assert collector.refused == []
        return collector.samples("airflow.")
