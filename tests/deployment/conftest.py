"""The deployment's files, as Docker Compose sees them with a freshly generated ``.env``."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.deployment.files import ROOT, interpolate, make_env, read_env


@pytest.fixture(scope="session")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A freshly generated ``.env``."""
    path = tmp_path_factory.mktemp("env") / ".env"
    make_env(path)
    return read_env(path)


@pytest.fixture(scope="session")
def compose_text() -> str:
    return (ROOT / "docker-compose.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def compose(compose_text: str, env: dict[str, str]) -> dict[str, Any]:
    """docker-compose.yaml with the variables of ``env`` put in."""
    content: dict[str, Any] = interpolate(yaml.safe_load(compose_text), env)
    return content


@pytest.fixture(scope="session")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found
