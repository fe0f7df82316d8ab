"""docker-compose.yaml as a file: valid, complete, and with no secret, open port or unwatched service in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ocr_airflow import celery_worker
from tests.deployment.files import ROOT, THIRD_PARTY, make_env, offered, passed_on, read_env

Services = dict[str, dict[str, Any]]
SCHEMA_CHECK = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
ONE_SHOT = {"folders", "airflow-init", "store-bucket"}
LONG_RUNNING = THIRD_PARTY | {"api-server", "scheduler", "dag-processor", "triggerer", "worker", "gpu-worker"}
PROFILES = {
    "gpu-worker": ["gpu"],
    "statsd-exporter": ["metrics"],
    "prometheus": ["metrics"],
    "grafana": ["metrics"],
    "store": ["store"],
    "store-bucket": ["store"],
}


@pytest.fixture
def airflow_services(services: Services) -> Services:
    return {
        name: service for name, service in services.items() if name not in THIRD_PARTY | {"folders", "store-bucket"}
    }


def test_it_follows_the_compose_specification() -> None:
    checked = subprocess.run([*SCHEMA_CHECK, ROOT / "docker-compose.yaml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_the_schema_check_refuses_what_the_specification_does_not_know(compose_text: str, tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yaml"
    broken.write_text(compose_text.replace("stop_grace_period", "stop_grace_time"))
    checked = subprocess.run([*SCHEMA_CHECK, broken], capture_output=True, text=True)
    assert checked.returncode == 1
    assert "stop_grace_time" in checked.stdout


def _has_compose() -> bool:
    try:
        return subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not _has_compose(), reason="needs docker compose")
@pytest.mark.parametrize("profile", sorted({name for names in PROFILES.values() for name in names}))
def test_compose_takes_it_with_every_profile(profile: str, tmp_path: Path) -> None:
    make_env(tmp_path / ".env")
    with (tmp_path / ".env").open("a") as file:
        file.write("AWS_REGION=eu-central-1\n")
    command: list[str | Path] = ["docker", "compose", "--env-file", tmp_path / ".env", "--profile", profile]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    shown = subprocess.run([*command, "config", "--format", "json"], cwd=ROOT, env=bare, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    services = json.loads(shown.stdout)["services"]
    assert services.keys() >= {name for name, names in PROFILES.items() if names == [profile]}
    # What .env has reaches a service, and what it has not stays out.
    assert services["worker"]["environment"]["AWS_REGION"] == "eu-central-1"
    assert services["worker"]["environment"]["AWS_SESSION_TOKEN"] is None


def test_its_services_are_the_ones_that_are_known(services: Services) -> None:
    assert services.keys() == LONG_RUNNING | ONE_SHOT


def test_its_variables_are_the_ones_that_make_env_writes(compose_text: str) -> None:
    used = re.findall(r"(?<!\$)\$\{([A-Z_]+)", compose_text)
    assert set(used) == read_env(ROOT / ".env.example").keys()


def test_what_opens_a_bucket_is_passed_on_where_env_has_it(airflow_services: Services) -> None:
    for name, service in airflow_services.items():
        assert passed_on(service["environment"]) == offered(ROOT / ".env.example"), name


def test_every_file_that_is_mounted_exists(services: Services) -> None:
    mounted = {
        volume.split(":")[0]
        for service in services.values()
        for volume in service.get("volumes", [])
        if volume.startswith("./deploy/")
    }
    assert len(mounted) == 5
    assert {path for path in mounted if not (ROOT / path).exists()} == set()


def test_only_what_is_asked_for_starts_besides(services: Services) -> None:
    assert {name: service["profiles"] for name, service in services.items() if "profiles" in service} == PROFILES


def test_a_missing_variable_stops_compose_and_says_what_to_do(compose_text: str) -> None:
    variables = re.findall(r"(?<!\$)\$\{[^}]*\}", compose_text)
    assert variables
    assert [v for v in variables if not re.fullmatch(r"\$\{[A-Z_]+:?\?run make env\}", v)] == []


def test_no_password_or_key_is_written_down(compose_text: str) -> None:
    content = yaml.safe_load(compose_text)  # before .env is put in
    for name, service in content["services"].items():
        for variable, value in service.get("environment", {}).items():
            if value is not None and re.search(r"PASSWORD|SECRET|FERNET|_KEY$|AUTH$", variable):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?run make env\}", value), f"{name}: {variable}"
    assert re.findall(r"://[^\s/@]*:(?!\$\{)[^\s/@]+@", compose_text) == []


def test_passwords_are_on_no_command_line(services: Services, env: dict[str, str]) -> None:
    secrets = [value for name, value in env.items() if re.search("PASSWORD|SECRET|KEY", name)]
    for name, service in services.items():
        line = repr([service.get(key) for key in ("command", "entrypoint", "healthcheck")])
        assert [secret for secret in secrets if secret in line] == [], name


def test_ports_are_on_loopback(services: Services) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert len(ports) == 2
    assert "host" not in {service.get("network_mode") for service in services.values()}


@pytest.mark.parametrize("name", sorted(LONG_RUNNING))
def test_a_service_is_watched_restarted_and_bounded(services: Services, name: str) -> None:
    service = services[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"].keys() >= {"test", "interval", "timeout", "retries", "start_period"}
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["deploy"]["resources"]["limits"].keys() == {"memory", "pids"}


@pytest.mark.parametrize("name", sorted(ONE_SHOT))
def test_a_preparing_service_runs_once(services: Services, name: str) -> None:
    assert services[name]["restart"] == "no"


def test_nothing_starts_before_what_it_needs(services: Services) -> None:
    order = {
        name: {other: needs["condition"] for other, needs in service.get("depends_on", {}).items()}
        for name, service in services.items()
    }
    healthy, done = "service_healthy", "service_completed_successfully"
    prepared = {"postgres": healthy, "redis": healthy, "airflow-init": done}
    assert order == {
        "postgres": {},
        "redis": {},
        "folders": {},
        "airflow-init": {"folders": done, "postgres": healthy},
        "api-server": prepared,
        "scheduler": prepared,
        "dag-processor": prepared,
        "triggerer": prepared,
        "worker": {**prepared, "api-server": healthy},
        "gpu-worker": {**prepared, "api-server": healthy},
        "statsd-exporter": {},
        "prometheus": {},
        "grafana": {},
        "store": {},
        "store-bucket": {"store": healthy},
    }


def test_airflow_runs_unprivileged_and_as_one(airflow_services: Services) -> None:
    common = airflow_services["scheduler"]["environment"]
    volumes = airflow_services["scheduler"]["volumes"]
    for service in airflow_services.values():
        assert int(service["user"].removesuffix(":0")) > 0
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert common.items() <= service["environment"].items()
        assert service["volumes"] == volumes


def test_a_worker_that_stops_hands_back_its_batches_and_finishes_the_other_tasks(services: Services) -> None:
    for name in ("worker", "gpu-worker"):
        assert services[name]["environment"]["DUMB_INIT_SETSID"] == "0"
        assert services[name]["stop_grace_period"] == "5m"
        extra = json.loads(services[name]["environment"]["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"])
        assert extra["imports"] == [celery_worker.__name__]


def test_the_gpu_worker_is_apart(services: Services, env: dict[str, str]) -> None:
    gpu = services["gpu-worker"]
    assert gpu["command"] == ["celery", "worker", "--queues", "gpu"]
    assert gpu["image"] != services["worker"]["image"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": env["GPU_COUNT"], "capabilities": ["gpu"]}
    assert services["worker"]["command"] == ["celery", "worker", "--queues", env["OCR_QUEUE"]]


def test_results_lie_in_the_mounted_folder(services: Services, env: dict[str, str]) -> None:
    worker = services["worker"]
    assert worker["environment"]["OCR_OUTPUT"] == env["OCR_OUTPUT"]
    assert f"{env['OUTPUT_FOLDER']}:{worker['environment']['OCR_OUTPUT']}" in worker["volumes"]
    assert f"{env['INPUT_FOLDER']}:{env['OCR_ALLOW']}:ro" in worker["volumes"]
    assert worker["environment"]["OCR_OUTPUT"] in services["folders"]["command"]


def test_redis_asks_for_the_password(compose: dict[str, Any], services: Services, env: dict[str, str]) -> None:
    assert f"requirepass {env['REDIS_PASSWORD']}\n" in compose["configs"]["redis"]["content"]
    (mounted,) = services["redis"]["configs"]
    assert services["redis"]["command"] == ["redis-server", mounted["target"]]
