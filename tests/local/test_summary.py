"""The summary at the end of ``make run``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ocr_local.summary import print_summary
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.records import Page, PageText
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.settings.deployment import Allowances
from tests.conftest import WidthEngine, reading_with


class BillEngine(WidthEngine):
    """Reads three lines on every page, of which the first looks like a formula."""

    def read(self, page: Page) -> PageText:
        line = super().read(page).lines[0]
        return PageText(tuple(replace(line, text=text) for text in ("-5 EUR", "bread", "milk")))


def test_texts_are_shown_without_the_guard_for_spreadsheets(
    draw_image: Callable[[int], str],
    write_csv: Callable[..., Path],
    make_plan: Callable[..., tuple[RunFolder, Plan]],
    allowances: Allowances,
) -> None:
    rows = [(draw_image(20), "-5 EUR bread milk", "", ""), ("gone.png", "", "fetch_failed", "not_found")]
    dataset = write_csv(rows, header=("image", "true_text", "expected_status", "expected_error"))
    run, plan = make_plan(dataset)
    for batch in plan.batches:
        Batch(batch, allowances, reading_with(BillEngine())).run()
    merge_run(run)
    assert b"'-5 EUR" in run.results_csv.read_bytes()
    console = Console(record=True, width=200, quiet=False)
    print_summary(run, "2 images in 1 s", console)
    printed = console.export_text()
    assert "2 images in 1 s, " in printed
    assert " -5 EUR | bread | milk" in printed
    assert "over 1 rows with known text: 1.000" in printed
    assert "ended as they should: 1 of 1" in printed
