"""Reading the deployment's files as Docker Compose does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
THIRD_PARTY = {"postgres", "redis", "statsd-exporter", "prometheus", "grafana", "store"}
"""The services whose images are not ours."""

_ASSIGNMENT = re.compile(r"^([A-Z_]+)=(.*)$", re.MULTILINE)
_OFFERED = re.compile(r"^#([A-Z_]+)=$", re.MULTILINE)


def read_env(path: Path) -> dict[str, str]:
    """The variables of an env file."""
    return dict(_ASSIGNMENT.findall(path.read_text(encoding="utf-8")))


def offered(path: Path) -> set[str]:
    """The variables of an env file that stand there for whoever wants them, as comments."""
    return set(_OFFERED.findall(path.read_text(encoding="utf-8")))


def passed_on(environment: dict[str, str | None]) -> set[str]:
    """The variables that a service gets only where ``.env`` has them."""
    return {name for name, value in environment.items() if value is None}


def make_env(output: Path) -> subprocess.CompletedProcess[str]:
    """Run the generator as ``make env`` does, for another file."""
    command: list[str | Path] = [sys.executable, ROOT / "scripts/make_env.py", "--output", output]
    return subprocess.run(command, check=True, capture_output=True, text=True)


def interpolate(content: Any, variables: dict[str, str]) -> Any:
    """``content`` of a Compose file with every ``${NAME?message}`` replaced and ``$$`` become ``$``.

    Like Compose, it puts text into parsed values: what a variable holds is never read as YAML.
    """
    if isinstance(content, dict):
        return {key: interpolate(value, variables) for key, value in content.items()}
    if isinstance(content, list):
        return [interpolate(value, variables) for value in content]
    if isinstance(content, str):
        filled = re.sub(r"(?<!\$)\$\{([A-Z_]+):?\?[^}]*\}", lambda match: variables[match[1]], content)
        return filled.replace("$$", "$")
    return content
