"""Reading the deployment's files as Docker Compose does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_ASSIGNMENT = re.compile(r"^([A-Z_]+)=(.*)$", re.MULTILINE)


def read_env(path: Path) -> dict[str, str]:
    """The variables of an env file."""
    return dict(_ASSIGNMENT.findall(path.read_text(encoding="utf-8")))


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
