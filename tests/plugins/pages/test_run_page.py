"""What the page of a run says and offers, whatever became of it."""

from __future__ import annotations

from ocr_airflow.pages.database import TaskState
from ocr_pipeline.run.retention import trim_run
from tests.plugins.pages.conftest import MakeRun, Pages
from tests.viewing.runs import failed, read_page

ENDED = {index: TaskState("success", 1) for index in range(3)}


def test_nothing_of_a_trimmed_run_is_offered_to_be_tried_again(pages: Pages, make_run: MakeRun) -> None:
    pages.folder = make_run({"a.png": [read_page()], "b.png": failed(), "c.png": [read_page()]})
    pages.tasks = ENDED
    assert pages.get().count("data-retry") == 2
    assert pages.json("/progress")["trimmed_at"] is None
    trim_run(pages.folder)
    html = pages.get()
    assert "data-retry" not in html
    assert "This run was trimmed at" in html
    assert "start a new run" in html
    assert pages.json("/progress")["trimmed_at"]  # pages that are open already ask for it before they retry
