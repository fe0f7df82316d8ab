"""The Dockerfile against the files that it takes in and the versions that the project is built on."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.deployment.files import ROOT


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order: their name and, on one line, their arguments."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(name, rest) for line in joined.splitlines() if line for name, _, rest in [line.partition(" ")]]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    content: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return content


def _pins(project: dict[str, Any]) -> dict[str, str]:
    declared = [project["dependencies"], *project["optional-dependencies"].values()]
    requirements = [Requirement(line) for lines in declared for line in lines]
    return {item.name: str(item.specifier).removeprefix("==") for item in requirements if "==" in str(item.specifier)}


def _sources(instructions: list[tuple[str, str]]) -> set[str]:
    copied = {
        source
        for name, rest in instructions
        if name == "COPY" and "--from=" not in rest
        for source in rest.split()[:-1]
    }
    return copied | {found for _, rest in instructions for found in re.findall(r"type=bind,source=([^,\s]+)", rest)}


def test_everything_it_takes_in_exists(instructions: list[tuple[str, str]]) -> None:
    sources = _sources(instructions)
    assert {"dags", "plugins", "include", "requirements.txt"} <= sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_build_context_is_exactly_what_it_takes_in(instructions: list[tuple[str, str]]) -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == _sources(instructions)


def test_every_script_that_is_called_is_in_the_image(instructions: list[tuple[str, str]]) -> None:
    callers = [ROOT / "docker-compose.yaml", *(ROOT / "deploy/helm").glob("*.yaml")]
    called = {
        name for path in callers for name in re.findall(r"/opt/airflow/(scripts/[\w.]+)", path.read_text("utf-8"))
    }
    copied = next(rest for name, rest in instructions if name == "COPY" and rest.endswith(" /opt/airflow/scripts/"))
    assert called == set(copied.split()[:-1])
    assert all(os.access(ROOT / name, os.X_OK) for name in called)


def test_the_base_is_the_official_image_of_the_locked_airflow(
    instructions: list[tuple[str, str]], project: dict[str, Any]
) -> None:
    base = next(rest for name, rest in instructions if name == "ARG" and rest.startswith("AIRFLOW_IMAGE="))
    match = re.fullmatch(r"AIRFLOW_IMAGE=apache/airflow:([\d.]+)-python([\d.]+)", base)
    assert match
    assert match[1] == _pins(project)["apache-airflow"]
    assert f"{match[2]}.0" in SpecifierSet(project["requires-python"])


def _argument(instructions: list[tuple[str, str]], name: str) -> str:
    """The default of a build argument."""
    return next(rest for kind, rest in instructions if kind == "ARG" and rest.startswith(f"{name}=")).partition("=")[2]


def test_everything_that_is_installed_is_locked(instructions: list[tuple[str, str]]) -> None:
    installs = [rest for name, rest in instructions if name == "RUN" and "uv pip install" in rest]
    assert len(installs) == 3
    for install in installs:
        if "requirements-gpu.txt" in install:
            assert "--constraint /tmp/requirements.txt" in install
        else:
            assert "--require-hashes --constraint requirements.txt" in install
    assert [install for install in installs if "--exact" in install] == [installs[0]]


def test_the_extras_of_the_image_exist(instructions: list[tuple[str, str]], project: dict[str, Any]) -> None:
    extras = _argument(instructions, "EXTRAS").strip('"').split()
    assert set(extras) == project["optional-dependencies"].keys() - {"local", "demo"}


def test_the_label_has_the_projects_version(instructions: list[tuple[str, str]], project: dict[str, Any]) -> None:
    assert _argument(instructions, "VERSION") == project["version"]


@pytest.mark.parametrize("argument", ["AIRFLOW_IMAGE", "EXTRAS", "MODELS", "REVISION", "VERSION"])
def test_every_stage_that_needs_an_argument_says_so(instructions: list[tuple[str, str]], argument: str) -> None:
    # A build argument that a stage does not declare is empty in it, without an error.
    declared = False
    used = 0
    for name, rest in instructions:
        if name == "FROM":
            declared = False
        elif name == "ARG" and rest.partition("=")[0] == argument:
            declared = True
        elif f"${{{argument}}}" in rest:
            used += 1
            assert declared, rest
    assert used


def test_it_does_not_run_as_root(instructions: list[tuple[str, str]]) -> None:
    stage_users: list[str] = []
    for name, rest in instructions:
        if name == "FROM":
            stage_users.append("")
        elif name == "USER":
            stage_users[-1] = rest
    assert stage_users[0] == "50000:0"
    assert set(stage_users) == {"50000:0", ""}  # "" is the user of the stage or image that it starts from


def test_packages_leave_no_lists_behind(instructions: list[tuple[str, str]]) -> None:
    installs = [rest for name, rest in instructions if name == "RUN" and "apt-get install" in rest]
    assert installs
    for run in installs:
        assert "--no-install-recommends" in run
        assert "rm -rf /var/lib/apt/lists/*" in run


def test_there_is_a_stage_for_every_device_that_is_built(
    instructions: list[tuple[str, str]], services: dict[str, dict[str, Any]]
) -> None:
    stages = {rest.split(" AS ")[1] for name, rest in instructions if name == "FROM" and " AS " in rest}
    devices = {
        s["build"]["args"]["DEVICE"] for s in services.values() if "DEVICE" in s.get("build", {}).get("args", {})
    }
    assert devices == {"gpu"}
    assert devices | {_argument(instructions, "DEVICE")} <= stages
    assert instructions[[name for name, _ in instructions].index("COPY") - 1] == ("FROM", "${DEVICE}")


def test_the_gpu_overlay_matches_the_lock(project: dict[str, Any]) -> None:
    text = Path(ROOT / "requirements-gpu.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", "--"))]
    requirements = {item.name: item for item in (Requirement(line.split()[0]) for line in lines)}
    assert requirements.keys() == {"paddlepaddle-gpu", "onnxruntime-gpu"}
    assert requirements["paddlepaddle-gpu"].specifier == f"=={_pins(project)['paddlepaddle']}"
    # Without the extras, CUDA would be there only as long as Paddle brings the same version of it.
    assert requirements["onnxruntime-gpu"].extras == {"cuda", "cudnn"}
    assert "--hash=sha256:" in next(line for line in lines if line.startswith("onnxruntime-gpu"))
