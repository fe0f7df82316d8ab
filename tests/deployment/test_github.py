"""What contributors meet on GitHub: valid by its own schemas, and true of the project."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment.files import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yaml"))
FORMS = sorted(set((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) - {GITHUB / "ISSUE_TEMPLATE/config.yml"})


def jobs(workflow: Path) -> dict[str, dict[str, Any]]:
    """The jobs of a workflow by their names."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    return found


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", WORKFLOWS),
        ("github-issue-forms", FORMS),
        ("github-issue-config", [GITHUB / "ISSUE_TEMPLATE/config.yml"]),
        ("dependabot", [GITHUB / "dependabot.yml"]),
    ],
)
def test_files_follow_their_schema(schema: str, files: list[Path]) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        f"vendor.{schema}",
        *files,
    ]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert files
    assert checked.returncode == 0, checked.stdout


def test_every_python_that_is_promised_is_tried() -> None:
    least, beyond = re.search(  # type: ignore[union-attr]
        r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ).groups()
    tried = jobs(GITHUB / "workflows/ci.yaml")["quick"]["strategy"]["matrix"]["python"]
    assert tried == [f"3.{minor}" for minor in range(int(least), int(beyond))]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_what_there_is_and_may_no_more_than_they_need(workflow: Path) -> None:
    content = workflow.read_text(encoding="utf-8")
    assert yaml.safe_load(content)["permissions"], "the default is whatever the organisation allows"
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for name, job in jobs(workflow).items():
        assert job["timeout-minutes"] <= 60, name
        for step in job["steps"]:
            for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", "")):
                assert target in targets
            # What strangers name, such as a branch, would be read as a part of the script.
            assert "${{ github.event" not in step.get("run", ""), name


def test_hooks_run_the_tools_of_the_lock() -> None:
    (own,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert own["repo"] == "local"
    for hook in own["hooks"]:
        program = hook["entry"].split()[0]
        assert program == "make" or (ROOT / program).name in {"ruff", "mypy"}
        assert hook["language"] == "system"
