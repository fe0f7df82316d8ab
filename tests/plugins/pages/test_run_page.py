"""What the page of a run says and offers, whatever became of it."""

from __future__ import annotations

from datetime import timedelta

from ocr_airflow.pages.database import TaskState
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.run.retention import trim_run
from tests.plugins.pages.conftest import STARTED, MakeRun, Pages
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


def end(run: RunFolder, index: int, reason: str) -> None:
    """An attempt to read a batch ends for a reason that was foreseen."""
    plan = Plan.load(run)
    with BatchStore(run, plan.batches[index], plan.digests[index]) as store:
        store.report_end(reason)


NO_GPU = "device gpu: there is none here <b>; choose cpu"
SIX = {f"{name}.png": [read_page()] for name in "abcdef"}


def test_why_batches_did_not_finish_is_said_first(pages: Pages, make_run: MakeRun) -> None:
    pages.folder = make_run(SIX, (1, 2), merge=False)
    for index in (1, 2):
        end(pages.folder, index, NO_GPU)
    merge_run(pages.folder)
    pages.state, pages.tasks = "failed", ENDED | dict.fromkeys((1, 2), TaskState("failed", 1))
    notice = pages.get().split('<div class="notice bad">')[1].split("</div>")[0]
    assert "2 of 3 batches did not finish" in notice
    assert "device gpu: there is none here &lt;b&gt;; choose cpu" in notice
    assert "(2 batches)" in notice


def test_a_run_that_was_stopped_says_so_and_how_to_go_on(pages: Pages, make_run: MakeRun) -> None:
    pages.folder = make_run(SIX, (1, 2), merge=False)
    pages.state, pages.tasks = "failed", dict.fromkeys(range(3), TaskState("failed", 1))
    html = pages.get()
    assert "This run was stopped, or a task of it failed, before there were results" in html
    assert "Retry the 2 batches that did not finish</button>" in html
    assert html.count("all of its images are read") == 1  # of the batch that is failed only in Airflow
    pages.state = "running"
    assert "before there were results" not in pages.get()


def test_a_run_of_which_only_the_merge_is_left_offers_it(pages: Pages, make_run: MakeRun) -> None:
    pages.folder = make_run(SIX, merge=False)
    pages.state, pages.tasks, pages.said = "failed", ENDED, {"error": "the disk <b> is full"}
    html = pages.get()
    assert "The merge failed before there were results" in html
    assert "the disk &lt;b&gt; is full" in html
    assert 'data-retry="[-1]"' in html


def test_a_retry_is_called_what_it_does(pages: Pages, make_run: MakeRun) -> None:
    pages.folder = make_run({**SIX, "a.png": failed(), "c.png": failed()}, max_failures=1)
    pages.tasks = ENDED
    assert "Retry the failed images of all 2 batches with some</button>" in pages.get()
    pages.folder = make_run({**SIX, "a.png": failed()}, (2,), run_id="other", merge=False)
    pages.tasks = ENDED | {2: TaskState("failed", 1)}
    assert "Retry the 2 batches that did not finish or have failed images</button>" in pages.get()


def test_batches_that_are_tried_again_by_themselves_say_when(pages: Pages, make_run: MakeRun) -> None:
    pages.folder = make_run(SIX, (1, 2), merge=False)
    end(pages.folder, 1, "the hosts are down")
    later = STARTED + timedelta(minutes=7)
    pages.state = "running"
    pages.tasks = ENDED | {1: TaskState("up_for_retry", 1, later), 2: TaskState("running", 1)}
    html = pages.get()
    assert "1 batch has failed and\nis tried again without your doing, next at 2026-01-02 03:11:05 UTC" in html
    assert '<li><span dir="auto">the hosts are down</span></li>' in html
    assert pages.json("/progress")["batches"][1]["next_try"] == later.isoformat()


def test_the_tab_of_a_batch_leads_to_its_rows_and_names_it(pages: Pages, make_run: MakeRun) -> None:
    pages.folder = make_run(SIX)
    answer = pages.client.get("/dags/ocr_images/runs/shown/tasks/read_batch/1")
    assert answer.headers["location"] == "/ocr/dags/ocr_images/runs/shown?batch=1#rows"
    answer = pages.client.get("/dags/ocr_images/runs/shown/tasks/merge/-1")
    assert answer.headers["location"] == "/ocr/dags/ocr_images/runs/shown"
    html = pages.get("?batch=1")
    assert "<title>Batch 1 (rows 3 to 4) – shown" in html
    assert '<h2 id="h-rows">Rows of batch 1 (rows 3 to 4)</h2>' in html
    assert '<h2 id="h-rows">Rows</h2>' in pages.get()


def test_characters_that_cannot_be_seen_are_shown(pages: Pages, make_run: MakeRun) -> None:
    link = "img/\u202einv2.webp"
    pages.folder = make_run(
        {link: failed(detail="no file img/\u202einv2.webp"), "b.png": [read_page(["a\u2067b\u200bc"])]}
    )
    for path in ("", "/rows/0/pages/0", "/rows/1/pages/0"):
        html = pages.get(path)
        assert "\u202e" not in html
        assert "\u2067" not in html
        assert ('img/<bdi class="code">U+202E</bdi>inv2.webp' in html) == (path != "/rows/1/pages/0")
        assert ("U+2067" in html) == (path != "/rows/0/pages/0")
    assert not {"\u202e", "\u2067"} & set(pages.folder.report.read_bytes().decode())


def test_an_address_that_asks_for_what_there_is_not_is_told(pages: Pages, make_run: MakeRun) -> None:
    pages.folder = make_run(SIX)
    html = pages.get("?status=<b>&from=abc&batch=7")
    assert "<code>status=&lt;b&gt;</code>, <code>from=abc</code>, <code>batch=7</code>: the run has 3 batches" in html
    assert "Not looked for" not in pages.get("?status=ok&batch=2")
    html = pages.get("?page=99")
    assert "This page of the list is empty." in html
    assert "First page</a>" in html
    assert "No row is like this." in pages.get("?q=nowhere")


def test_what_is_shown_in_a_frame_does_not_lead_out_of_it(pages: Pages, make_run: MakeRun) -> None:
    pages.folder = make_run(SIX)
    shown = 'files/report.html" data-leave="out" target="_blank" rel="noopener">report.html'
    assert shown in pages.get()
    assert pages.get().count('data-leave="out"') == 1  # what is saved needs no page
