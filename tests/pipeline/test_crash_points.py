"""A process is killed at any moment of a run. ``CRASH_EVERY`` says at which of its operations; with 1, at each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import bare_environment

ROOT = Path(__file__).parents[2]
EVERY = int(os.environ.get("CRASH_EVERY", "4"))


def report(module: str, folder: Path, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", module, str(folder), *arguments],
        cwd=ROOT,
        env=bare_environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_kill_at_any_file_operation_loses_nothing(tmp_path: Path) -> None:
    found = report("tests.pipeline.crash_points", tmp_path, str(EVERY))
    assert found["operations"] > 30
    # Checkpoints come by the clock, so a run may have a few operations less than the one that was counted.
    assert found["killed"] * EVERY > found["operations"] * 0.7
    assert found["differences"] == []


def test_a_kill_at_any_change_of_a_bucket_loses_nothing(tmp_path: Path) -> None:
    found = report("tests.pipeline.store_crash_points", tmp_path, str(EVERY))
    assert found["operations"] > 20
    assert found["killed"] * EVERY > found["operations"] * 0.7
    assert found["differences"] == []
