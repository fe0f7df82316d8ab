"""The services' settings against the Airflow that is installed and the code that reads them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ocr_airflow.deployment import READ_POOL
from ocr_pipeline.settings.deployment import ALLOW_VARIABLE
from tests.deployment.files import ROOT, THIRD_PARTY

pytestmark = pytest.mark.airflow

Services = dict[str, dict[str, Any]]
NOT_AIRFLOW = THIRD_PARTY | {"folders", "airflow-init", "store-bucket"}


@pytest.fixture(scope="module")
def commands(services: Services) -> list[list[str]]:
    """Arguments of every call of ``airflow``: the services' commands, and the init script."""
    found = [service["command"] for name, service in services.items() if name not in NOT_AIRFLOW]
    script = (ROOT / "scripts/init_airflow.sh").read_text(encoding="utf-8").replace("\\\n", " ")
    script = re.sub(r"\$\{[A-Z_]+(:\?[^}]*)?\}", "1", script)
    found += [
        shlex.split(call) for call in re.findall(r"^(?:.*\| setsid --wait +)?airflow (.*)$", script, re.MULTILINE)
    ]
    return found


@pytest.fixture(scope="module")
def facts(services: Services, commands: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the installed Airflow says when it runs with the scheduler's environment."""
    home = tmp_path_factory.mktemp("airflow")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    given = {name: value for name, value in services["scheduler"]["environment"].items() if value is not None}
    asked = subprocess.run(
        [sys.executable, Path(__file__).with_name("airflow_facts.py"), home / "facts.json"],
        env={**inherited, **given, "AIRFLOW_HOME": str(home)},
        input=json.dumps({"commands": commands}),
        capture_output=True,
        text=True,
    )
    assert asked.returncode == 0, asked.stderr
    answers: dict[str, Any] = json.loads((home / "facts.json").read_text(encoding="utf-8"))
    return answers


def test_every_airflow_setting_exists(services: Services, facts: dict[str, Any]) -> None:
    options = {(section, option) for section, names in facts["options"].items() for option in names}
    settings = [name for name in services["worker"]["environment"] if name.startswith("AIRFLOW__")]
    assert len(settings) > 15
    unknown = [name for name in settings if tuple(name.lower().split("__")[1:]) not in options]
    assert unknown == []


def test_airflow_can_run_with_the_settings(facts: dict[str, Any]) -> None:
    assert facts["executor"] == "CeleryExecutor"
    assert facts["auth_manager"] == "FabAuthManager"
    assert facts["database_driver"] == "psycopg2"
    assert facts["broker"] == "redis"


def test_airflow_knows_every_command(commands: list[list[str]], facts: dict[str, Any]) -> None:
    assert ["db", "migrate"] in commands
    assert ["celery", "worker", "--queues", "gpu"] in commands
    assert ["users", "create", "--role", "Admin"] in [command[:4] for command in commands]
    assert facts["refused_commands"] == []


def test_the_settings_that_separate_services_need_are_there(services: Services) -> None:
    environment = services["worker"]["environment"]
    api = f"http://api-server:{services['api-server']['ports'][0].rsplit(':', 1)[1]}"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"{api}/execution/"
    assert environment.keys() >= {
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "AIRFLOW__CELERY__BROKER_URL",
        "AIRFLOW__CELERY__RESULT_BACKEND",
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    }
    assert environment["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert environment["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] == "False"


def test_every_variable_that_the_code_reads_is_set_and_read(services: Services) -> None:
    files = [path for folder in ("dags", "plugins", "include/ocr_pipeline") for path in (ROOT / folder).rglob("*.py")]
    read = {name for path in files for name in re.findall(r"""["'](OCR_[A-Z_]+)["']""", path.read_text("utf-8"))}
    assert read == {name for name in services["worker"]["environment"] if name.startswith("OCR_")}


def test_the_variable_of_allowances_is_set(services: Services, env: dict[str, str]) -> None:
    assert services["worker"]["environment"][f"AIRFLOW_VAR_{ALLOW_VARIABLE.upper()}"] == env["OCR_ALLOW"]


def test_the_pool_that_the_dag_names_is_made(commands: list[list[str]]) -> None:
    assert [command[2] for command in commands if command[:2] == ["pools", "set"]] == [READ_POOL]


def test_the_pool_has_the_slots_that_every_task_knows_of(services: Services, env: dict[str, str]) -> None:
    script = (ROOT / "scripts/init_airflow.sh").read_text(encoding="utf-8")
    assert f'pools set {READ_POOL} "${{OCR_SLOTS:' in script
    airflow = [
        service["environment"]
        for name, service in services.items()
        if name not in THIRD_PARTY | {"folders", "store-bucket"}
    ]
    assert {environment["OCR_SLOTS"] for environment in airflow} == {env["OCR_SLOTS"]}


def test_the_code_is_where_the_image_looks_for_it() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = dict(re.findall(r"^COPY (\S+) (\S+)$", text, re.MULTILINE))
    path = re.search(r"^ENV PYTHONPATH=(\S+)", text, re.MULTILINE)
    assert path
    assert path[1].split(":") == ["/opt/airflow", copied["include"], copied["plugins"]]
    assert copied["dags"] == "/opt/airflow/dags"  # where Airflow looks, in AIRFLOW_HOME
