"""An image that kills or hangs the process that reads it, with real processes that really die."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ocr_pipeline.allowances import Allowances
from ocr_pipeline.batch import Batch
from ocr_pipeline.progress import HUNG_EXIT_CODE
from ocr_pipeline.staging import load_staged
from tests.conftest import WidthEngine, bare_environment

ATTEMPT = """
import ctypes, sys, time
from ocr_pipeline import batch, progress
from ocr_pipeline.allowances import Allowances
from ocr_pipeline.planning import Plan
from ocr_pipeline.storage import RunFolder
from tests.conftest import WidthEngine

batch.CHECKPOINT_SECONDS, progress.PAGE_SECONDS = 0.1, 1.0
allowances, how = Allowances.parse(sys.argv[2]), sys.argv[3]
run = RunFolder.open(sys.argv[1], allowances)

class PoisonedEngine(WidthEngine):
    def read(self, page):
        if page.width == 66 and how == "crash":
            ctypes.string_at(0)
        if page.width == 66 and how == "hang":
            time.sleep(60)
        if page.width == 66 and how == "hold":
            ctypes.PyDLL(None).sleep(60)
        time.sleep(0.02)
        return super().read(page)

batch.Batch(Plan.load(run).batches[0], allowances, PoisonedEngine).run()
"""


@pytest.mark.parametrize(("how", "codes"), [("crash", [-11, -11]), ("hang", [HUNG_EXIT_CODE]), ("hold", [1, 1])])
def test_the_image_is_found_and_marked_and_the_rest_is_read(
    how: str, codes: list[int], tmp_path: Path, draw_image, write_csv, make_plan, allowances: Allowances
) -> None:
    run, _plan = make_plan(write_csv(enumerate(draw_image(width) for width in range(40, 80))))

    def attempt() -> int:
        command = [sys.executable, "-c", ATTEMPT, run.uri, str(tmp_path), how]
        return subprocess.run(command, env=bare_environment(), capture_output=True, timeout=60).returncode

    assert [attempt() for _ in codes] == codes
    assert not run.marker(0).exists()
    assert attempt() == 0
    rows = load_staged(run, _plan.batches[0])
    assert [row.error for row in rows if row.error] == ["engine_crashed"]
    assert [row.text for row in rows] == [f"width {w}" if w != 66 else "" for w in range(40, 80)]
    # A person who clears the task has it tried again.
    Batch(_plan.batches[0], allowances, WidthEngine).run()
    assert load_staged(run, _plan.batches[0])[26].text == "width 66"
