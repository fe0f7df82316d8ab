import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_kill_at_any_file_operation_loses_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash_points", str(tmp_path)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'include'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["operations"] > 30
    # Checkpoints come by the clock, so a run may have a few operations less than the one that was counted.
    assert report["killed"] > report["operations"] * 0.7
    assert report["differences"] == []
