"""An image that kills or hangs the process that reads it, with real processes that really die."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.reading.progress import HUNG_EXIT_CODE
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.staging import load_staged
from ocr_pipeline.settings.deployment import Allowances
from tests.conftest import WidthEngine, bare_environment

pytestmark = pytest.mark.slow

ATTEMPT = """
import ctypes, sys, time
from ocr_pipeline.reading import batch
from ocr_pipeline.reading import progress
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.run.folder import RunFolder
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

seconds = float(sys.argv[4])
batch.Batch(Plan.load(run).batches[0], allowances, PoisonedEngine, seconds=seconds).run()
"""


def attempt(run: RunFolder, folder: Path, how: str, seconds: float = 60.0) -> int:
    """The exit status of a process that reads the first batch of ``run``, for so many seconds at most."""
    command = [sys.executable, "-c", ATTEMPT, run.uri, str(folder), how, str(seconds)]
    return subprocess.run(command, env=bare_environment(), capture_output=True, timeout=60).returncode


@pytest.mark.parametrize(("how", "codes"), [("crash", [-11, -11]), ("hang", [HUNG_EXIT_CODE]), ("hold", [1, 1])])
def test_the_image_is_found_and_marked_and_the_rest_is_read(
    how: str, codes: list[int], tmp_path: Path, draw_image, write_csv, make_plan, allowances: Allowances
) -> None:
    run, _plan = make_plan(write_csv(enumerate(draw_image(width) for width in range(40, 80))))

    assert [attempt(run, tmp_path, how) for _ in codes] == codes
    assert not run.marker(0).exists()
    assert attempt(run, tmp_path, how) == 0
    rows = load_staged(run, _plan.batches[0])
    assert [row.error for row in rows if row.error] == ["engine_crashed"]
    assert [row.text for row in rows] == [f"width {w}" if w != 66 else "" for w in range(40, 80)]
    # A person who clears the task has it tried again.
    Batch(_plan.batches[0], allowances, WidthEngine).run()
    assert load_staged(run, _plan.batches[0])[26].text == "width 66"


@pytest.mark.parametrize(("how", "code"), [("hang", HUNG_EXIT_CODE), ("hold", 1)])
def test_a_page_that_hangs_while_the_batch_ends_is_found_as_well(
    how: str, code: int, tmp_path: Path, draw_image, write_csv, make_plan
) -> None:
    run, _plan = make_plan(write_csv(enumerate(draw_image(width) for width in (66, *range(70, 79)))))
    assert attempt(run, tmp_path, how, seconds=0.3) == code
    while (ended := attempt(run, tmp_path, how)) != 0:
        assert ended == code
    rows = load_staged(run, _plan.batches[0])
    assert [row.error for row in rows] == ["engine_crashed"] + [None] * 9
