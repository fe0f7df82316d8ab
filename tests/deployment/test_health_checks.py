"""What the health checks of docker-compose.yaml say of services that are well, and of some that are not."""

from __future__ import annotations

import os
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.deployment.files import ROOT, THIRD_PARTY

Services = dict[str, dict[str, Any]]
SCRIPT = ROOT / "scripts" / "worker_healthy.sh"


def worker_healthy(broker_url: str) -> bool:
    environment = {**os.environ, "AIRFLOW__CELERY__BROKER_URL": broker_url}
    return subprocess.run([SCRIPT], env=environment, capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize("login", ["", ":pa:ss@", "user:p%40ss@"])
def test_a_worker_is_healthy_while_it_is_connected_to_its_broker(login: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        port = broker.getsockname()[1]
        url = f"redis://{login}127.0.0.1:{port}/0"
        assert not worker_healthy(url)
        with socket.create_connection(("127.0.0.1", port)):
            assert worker_healthy(url)
        assert not worker_healthy(url)


def test_the_worker_asks_the_script(services: Services) -> None:
    assert services["worker"]["healthcheck"]["test"] == ["CMD", f"/opt/airflow/scripts/{SCRIPT.name}"]


def test_no_check_starts_python(services: Services) -> None:
    # Airflow's own commands take some 3 seconds of a core, each time.
    for name in services.keys() - THIRD_PARTY:
        test = services[name].get("healthcheck", {}).get("test", ["CMD", "curl"])
        assert test[1].split()[0] in {"curl", f"/opt/airflow/scripts/{SCRIPT.name}"}, name


@pytest.mark.airflow
@pytest.mark.parametrize(("service", "part"), [("dag-processor", "dag_processor"), ("triggerer", "triggerer")])
@pytest.mark.parametrize("state", ["healthy", "unhealthy", None])
def test_the_heartbeat_that_the_api_shows_is_what_counts(
    services: Services, service: str, part: str, state: str | None, tmp_path: Path
) -> None:
    from airflow.api_fastapi.core_api.datamodels.monitor import HealthInfoResponse
    from fastapi.encoders import jsonable_encoder
    from fastapi.responses import JSONResponse

    seen = datetime.now(UTC).isoformat()
    health: dict[str, dict[str, str | None]] = {
        "metadatabase": {"status": "healthy"},
        "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": seen},
        "triggerer": {"status": "healthy", "latest_triggerer_heartbeat": seen},
        "dag_processor": {"status": "healthy", "latest_dag_processor_heartbeat": seen},
    }
    health[part]["status"] = state
    answer = JSONResponse(jsonable_encoder(HealthInfoResponse.model_validate(health), exclude_unset=True)).body
    (tmp_path / "answer").write_bytes(bytes(answer))
    curl = tmp_path / "curl"
    curl.write_text(f'#!/bin/sh\n[ "$3" = http://api-server:8080/api/v2/monitor/health ] && cat {tmp_path}/answer\n')
    curl.chmod(0o755)
    kind, command = services[service]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    checked = subprocess.run(["sh", "-c", command], env=environment, timeout=60)
    assert (checked.returncode == 0) == (state == "healthy")
