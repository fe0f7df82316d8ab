"""The results in the Airflow UI as people use them: in a browser, on a real Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from ocr_airflow.dags import PLAN_TASK
from ocr_airflow.pages.database import AirflowRun
from ocr_airflow.pages.filters import RowFilter
from ocr_airflow.pages.images import ImagePage, values_of
from ocr_airflow.pages.leafing import Leaves, Place
from ocr_airflow.pages.links import Links
from ocr_airflow.pages.rendering import render
from ocr_local.airflow import DAG_ID
from ocr_pipeline.records import FetchedImage, ImageRef, PageText, TextLine, read_row
from ocr_pipeline.records import Page as ReadPage
from ocr_pipeline.storage.disk import LocalFolder
from ocr_pipeline.viewing.answers import Record
from tests.e2e.browsing import Visitor, open_browser
from tests.e2e.conftest import LocalAirflow, wait_for
from tests.e2e.servers import FileServer
from tests.e2e.test_runs import draw_word

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("nothing_goes_wrong")]

RUN = "shown:1+2"
WORDS = [f"WORD{n}" for n in range(24)]
DOWN = 12
"""From this row on, the images are on a server that is down at first."""


@dataclass
class Shown:
    """What the tests look at: a dataset in two batches, and the server of the second."""

    dataset: Path
    server: FileServer


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def visitor(browser: Browser, airflow: LocalAirflow) -> Visitor:
    context = browser.new_context(viewport={"width": 1300, "height": 900}, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=airflow.api.url)
    visitor = Visitor(context.new_page(), airflow)
    visitor.log_in()
    return visitor


@pytest.fixture
def nothing_goes_wrong(visitor: Visitor) -> Iterator[None]:
    """No script fails, no dialog opens and the policy refuses nothing while a test looks at the pages."""
    visitor.wrong.clear()
    yield
    assert visitor.wrong == []


@pytest.fixture(scope="module")
def shown(airflow: LocalAirflow, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder = tmp_path_factory.mktemp("shown")
    for word in WORDS:
        draw_word(folder / f"{word}.png", word)
    server = FileServer(folder)
    dataset = folder / "words.csv"
    links = [f"{word}.png" if n < DOWN else f"{server.url}/{word}.png" for n, word in enumerate(WORDS)]
    dataset.write_text("word,image\n" + "".join(f"{w},{link}\n" for w, link in zip(WORDS, links, strict=True)))
    airflow.allow(str(folder), server.address)
    return Shown(dataset, server)


@pytest.fixture(scope="module")
def mended(visitor: Visitor, shown: Shown) -> str:
    """The run that the first test triggers, watches and mends."""
    trigger_in_the_form(visitor.page, visitor.url, shown)
    tab = visitor.open_tab(RUN)
    expect(tab.locator("#batch-0")).to_be_visible(timeout=60_000)
    stay(tab.locator("body"))
    seen = {images_finished(tab.locator("body"))}
    state = tab.locator(".title .state").first
    while state.inner_text() not in ("failed", "success"):
        seen.add(images_finished(tab.locator("body")))
        visitor.page.wait_for_timeout(100)
    expect(state).to_have_text("failed")
    expect(tab.locator("#batch-1 .state")).to_have_text("failed")
    expect(tab.locator("#batch-0 button")).to_have_count(0)
    with shown.server:
        tab.locator("#batch-1 button", has_text="Retry").click()
        expect(tab.locator("#said")).to_have_text("The batch is tried again.")
        expect(tab.locator("#batch-1 .state")).to_have_text("success", timeout=60_000)
        expect(state).to_have_text("success", timeout=60_000)
    expect(tab.locator("#rows")).to_contain_text("24 rows")
    seen.add(images_finished(tab.locator("body")))
    assert len(seen) >= 2  # it moved before our eyes
    assert stayed(tab.locator("body"))  # all of this without loading the page again
    return RUN


HOSTILE = (
    "<script>window.top.hacked = 1; alert(1)</script>",
    "javascript:alert(1)",
    "JaVaScRiPt://%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'\" autofocus onfocus=alert(1) x='",
    "{{ 7 * 7 }}{% raw %}",
    "</textarea></script><svg onload=alert(1)>",
)


HOSTILE_COLUMN = "<script>alert(2)</script>"

ADDRESSES = "all => all.map(e => new URL(e.href?.baseVal ?? e.href ?? e.src ?? e.action, e.baseURI).href)"
"""Makes of elements where they lead."""


@pytest.fixture(scope="module")
def strange(airflow: LocalAirflow, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """A run of hostile rows, then one whose image is missing and one that is a document of three pages; its rows."""
    folder = tmp_path_factory.mktemp("strange")
    pages = []
    for number in range(3):
        draw_word(folder / "page.png", f"PAGE {number}")
        pages.append(cv2.imread(str(folder / "page.png")))
    cv2.imwritemulti(str(folder / "document.tif"), pages)
    rows = [{"image": text, HOSTILE_COLUMN: text} for text in HOSTILE]
    rows += [{"image": name, HOSTILE_COLUMN: HOSTILE[0]} for name in ("page.png", "nowhere.png", "document.tif")]
    dataset = folder / "strange.jsonl"
    dataset.write_text("".join(json.dumps(row) + "\n" for row in rows))
    airflow.allow(str(folder))
    airflow.trigger("strange", dataset, words=True, user_agent="<script>alert(3)</script>")
    airflow.wait("strange")
    return rows


def trigger_in_the_form(page: Page, url: str, shown: Shown) -> None:
    page.goto(f"{url}/dags/{DAG_ID}")
    page.get_by_role("button", name="Trigger").first.click()
    page.fill("[name=element_dataset]", str(shown.dataset))
    page.fill("[name=element_batch_size]", str(DOWN))
    page.get_by_role("button", name="Advanced Options").click()
    page.fill("[name=dagRunId]", RUN)
    page.get_by_role("button", name="Trigger").last.click()


def stay(body: Locator) -> None:
    body.evaluate("body => { body.ownerDocument.defaultView.stayed = true; }")


def stayed(body: Locator) -> bool:
    return bool(body.evaluate("body => body.ownerDocument.defaultView.stayed === true"))


def images_finished(body: Locator) -> int:
    return int(body.locator("#h-batches + progress").evaluate("bar => bar.value"))


def leaf(page: Page, key: str, heading: str) -> None:
    """Press a key that leads to the page with this heading."""
    with page.expect_navigation():
        page.keyboard.press(key)
    expect(page.locator("h1")).to_have_text(heading)


def axe_finds(page: Page) -> list[str]:
    """What keeps people from using a page, of what is serious."""
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']} at {node['target']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def test_a_run_is_triggered_watched_and_mended(visitor: Visitor, mended: str) -> None:
    assert visitor.airflow.api.run_state(DAG_ID, mended) == "success"
    tries = {(t["task_id"], t["map_index"]): t["try_number"] for t in visitor.airflow.tasks(mended)}
    assert (tries["read_batch", 0], tries["read_batch", 1]) == (1, 2)


def test_rows_are_searched_filtered_and_sorted_in_place(visitor: Visitor, mended: str) -> None:
    tab = visitor.open_tab(mended)
    rows = tab.locator("#rows tbody tr")
    expect(rows).to_have_count(24)
    stay(tab.locator("body"))
    tab.locator("h1").click()  # so that keys go to the frame
    visitor.page.keyboard.press("/")
    visitor.page.keyboard.type("word7")
    visitor.page.keyboard.press("Enter")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("WORD7")
    tab.get_by_role("link", name="Show all").click()
    expect(rows).to_have_count(24)
    tab.locator("#filters [name=batch]").fill("1")
    tab.locator("#filters [name=batch]").press("Enter")
    expect(rows).to_have_count(12)
    tab.locator("#rows thead a", has_text="Row").click()
    expect(rows.first).to_contain_text("24")
    expect(tab.locator("th[aria-sort]")).to_contain_text("Row")
    assert stayed(tab.locator("body"))


def test_the_lines_of_an_image_lie_on_its_text(visitor: Visitor, mended: str) -> None:
    page = visitor.page
    page.goto(f"{visitor.pages_of(mended)}/rows/5/pages/0")
    expect(page.locator("#lines li")).to_have_count(1)
    expect(page.locator("#lines li")).to_contain_text("WORD5")
    page.wait_for_load_state("networkidle")
    box = page.locator("#sheet polygon").bounding_box()
    assert box is not None
    page.keyboard.press("b")  # without the boxes there is ink of the picture only
    shot = cv2.imdecode(np.frombuffer(page.locator("#sheet svg").screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
    sheet = page.locator("#sheet svg").bounding_box()
    assert sheet is not None
    ys, xs = np.nonzero(shot < 128)
    ink = (xs.min() + sheet["x"], ys.min() + sheet["y"], xs.max() + sheet["x"], ys.max() + sheet["y"])
    drawn = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
    assert np.allclose(ink, drawn, atol=0.15 * box["width"])  # of a lone word, boxes have a wide margin


def test_lines_and_boxes_answer_each_other_and_the_keyboard(visitor: Visitor, mended: str) -> None:
    page = visitor.page
    page.goto(f"{visitor.pages_of(mended)}/rows/5/pages/0")
    line, box = page.locator("#line-0"), page.locator("#sheet polygon[data-line='0']")
    line.hover()
    expect(box).to_have_class("hot")
    page.locator("h1").hover()
    expect(box).not_to_have_class("hot")
    box.click()
    expect(line).to_have_attribute("aria-selected", "true")
    page.reload()
    page.keyboard.press("j")
    expect(line).to_have_attribute("aria-selected", "true")
    page.keyboard.press("c")
    expect(page.locator("#said")).to_have_text("Line copied.")
    assert page.evaluate("navigator.clipboard.readText()") == line.locator("span").first.inner_text()
    page.keyboard.press("+")
    expect(page.locator("#zoom")).to_have_text("150 %")
    page.keyboard.press("0")
    expect(page.locator("#zoom")).to_have_text("100 %")
    leaf(page, "n", "Row 7")
    leaf(page, "p", "Row 6")
    page.keyboard.press("Escape")
    expect(page.locator("#rows")).to_be_visible()


@pytest.mark.parametrize("name", ["results.csv", "results.parquet", "failures.csv"])
def test_files_are_saved_as_they_are(visitor: Visitor, mended: str, name: str) -> None:
    tab = visitor.open_tab(mended)
    with visitor.page.expect_download() as download:
        tab.get_by_role("link", name=name, exact=True).click()
    (stored,) = visitor.airflow.output.glob(f"shown*/{name}")
    assert download.value.path().read_bytes() == stored.read_bytes()
    assert download.value.suggested_filename.endswith(name)
    assert not set(download.value.suggested_filename) & set(":+/\\ ")


def test_the_report_is_shown_and_can_do_nothing(visitor: Visitor, mended: str) -> None:
    tab = visitor.open_tab(mended)
    with visitor.page.expect_popup() as opened:  # a page of its own: in the frame there is no way back
        tab.get_by_role("link", name="report.html", exact=True).click()
    report = opened.value
    expect(report.locator("h1 bdi")).to_contain_text("shown")
    origin = report.locator("html").evaluate("html => { try { return localStorage.length } catch { return 'none' } }")
    assert origin == "none"
    report.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_use_the_pages(visitor: Visitor, mended: str, theme: str) -> None:
    page, run = visitor.page, visitor.pages_of(mended)
    page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
    for address in (
        f"{visitor.url}/ocr/",
        run,
        f"{run}/rows/3/pages/0",
        f"{visitor.url}/ocr/?page=999",
    ):
        page.goto(address)
        assert page.locator("html").get_attribute("data-theme") == theme
        assert axe_finds(page) == [], address


@pytest.mark.usefixtures("strange")
def test_on_a_narrow_screen_only_tables_scroll_sideways(visitor: Visitor, mended: str) -> None:
    page, run = visitor.page, visitor.pages_of(mended)
    page.set_viewport_size({"width": 390, "height": 800})
    for address in (f"{visitor.url}/ocr/", run, f"{run}/rows/3/pages/0", visitor.pages_of("strange")):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
    page.set_viewport_size({"width": 1300, "height": 900})


def test_the_tab_of_a_batch_shows_its_rows(visitor: Visitor, mended: str) -> None:
    page = visitor.page
    run = f"{visitor.url}/dags/{DAG_ID}/runs/{quote(mended, safe='')}"
    page.goto(f"{run}/tasks/read_batch/mapped/1/plugin/ocr_rows")
    tab = page.frame_locator("iframe[title='OCR results']")
    expect(tab.locator("#rows tbody tr")).to_have_count(12)
    expect(tab.get_by_role("heading", name="Rows of batch 1 (rows 13 to 24)")).to_be_in_viewport()
    tab.locator("#batch-1").get_by_role("link", name="log").click()  # leads the page around the frame
    page.wait_for_url("**/tasks/read_batch/mapped/1")
    page.goto(f"{run}/tasks/merge/plugin/ocr_rows")
    expect(page.frame_locator("iframe[title='OCR results']").locator("#rows tbody tr")).to_have_count(24)


def test_the_runs_of_all_dags_are_in_the_navigation(visitor: Visitor, mended: str) -> None:
    page = visitor.page
    page.goto(f"{visitor.url}/")
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="OCR runs").click()
    listed = page.frame_locator("iframe[title='OCR runs']")
    listed.get_by_role("link", name=mended).click()
    expect(listed.locator("#rows")).to_be_visible()


def test_a_document_is_leafed_through_and_its_words_are_shown(visitor: Visitor, strange: list[dict[str, str]]) -> None:
    page = visitor.page
    document = len(strange)
    page.goto(f"{visitor.pages_of('strange')}/rows/{document - 2}/pages/0")
    expect(page.locator(".notice")).to_contain_text("not_found")
    leaf(page, "n", f"Row {document}, page 1 of 3")
    leaf(page, "]", f"Row {document}, page 2 of 3")
    leaf(page, "]", f"Row {document}, page 3 of 3")
    leaf(page, "[", f"Row {document}, page 2 of 3")
    page.keyboard.press("j")
    expect(page.locator("#words tbody tr").first).to_contain_text("PAGE")
    assert page.locator("#sheet polygon.word").count() == page.locator("#words tbody tr").count()
    leaf(page, "p", f"Row {document - 1}")


def test_a_tall_page_is_shown_whole_at_first(visitor: Visitor, mended: str) -> None:
    page, address = visitor.page, f"{visitor.pages_of(mended)}/rows/999/pages/0"
    page.route(address, lambda route: route.fulfill(body=crowded_page(3_000), content_type="text/html"))
    page.goto(address)
    box, sheet = page.locator("#sheet svg").bounding_box(), page.locator("#sheet").bounding_box()
    assert box is not None
    assert sheet is not None
    assert box["height"] <= sheet["height"]
    page.keyboard.press("+")
    larger = page.locator("#sheet svg").bounding_box()
    assert larger is not None
    assert larger["height"] == pytest.approx(1.5 * box["height"], rel=0.01)
    page.unroute(address)


def test_a_page_of_ten_thousand_lines_can_be_used(visitor: Visitor, mended: str) -> None:
    page, address = visitor.page, f"{visitor.pages_of(mended)}/rows/999/pages/0"
    page.route(address, lambda route: route.fulfill(body=crowded_page(10_000), content_type="text/html"))
    page.goto(address)
    expect(page.locator("#lines li")).to_have_count(10_000)
    page.keyboard.press("j")
    expect(page.locator("#line-0")).to_have_attribute("aria-selected", "true")
    page.locator("#lines").press("End")
    expect(page.locator("#line-9999")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#line-9999")).to_be_in_viewport()
    expect(page.locator("#sheet polygon[data-line='9999']")).to_be_in_viewport()
    page.unroute(address)


def crowded_page(count: int) -> str:
    """The page of an image of so many lines, ten beside each other."""
    lines = []
    for n in range(count):
        x, y = 200.0 * (n % 10), 20.0 * (n // 10)
        lines.append(TextLine(f"line {n}", 0.9, ((x, y), (x + 180, y), (x + 180, y + 15), (x, y + 15))))
    text = PageText(tuple(lines))
    image = FetchedImage(ImageRef(999, "x.png"), b"", "", None, 1, 0.0)
    drawn = np.zeros((20 * count // 10, 2000, 3), np.uint8)
    result = read_row(image, ReadPage(0, drawn), text, 0.0, "model")
    preview = LocalFolder(Path("/nowhere")).file("x.webp")
    record = Record(999, 0, 1, 0, "x.png", None, result, text.lines, {}, None, None, preview)
    return render(
        "image.html",
        links=Links.below("/ocr"),
        run=AirflowRun(DAG_ID, RUN, "success", None, None, ours=True),
        image=ImagePage(record, pictured=False),
        values=values_of(record),
        place=Place(RowFilter()),
        leaves=Leaves(None, None),
    )


def test_a_filtered_list_is_left_and_found_again(visitor: Visitor, strange: list[dict[str, str]]) -> None:
    page, run = visitor.page, visitor.pages_of("strange")
    page.goto(f"{run}?q=page")
    rows = page.locator("#rows tbody tr")
    found = rows.count()
    assert 2 <= found < len(strange)
    row = rows.first.locator("a").first
    row.click()
    expect(page.locator("a[data-key=next]")).to_have_text("Next in the list")
    page.keyboard.press("n")
    page.wait_for_url("**&at=1")
    page.keyboard.press("Escape")
    page.wait_for_url("**?q=page#rows")
    expect(rows).to_have_count(found)


def test_a_retry_by_the_keyboard_keeps_the_focus(visitor: Visitor, strange: list[dict[str, str]]) -> None:
    page, run = visitor.page, visitor.pages_of("strange")
    page.goto(run)
    page.locator("button[data-retry]").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_have_text("The batch is tried again.")
    expect(page.locator("#h-batches")).to_be_focused()
    visitor.airflow.wait("strange")


def test_a_run_that_was_told_what_cannot_be_says_so_and_is_listed(visitor: Visitor, airflow: LocalAirflow) -> None:
    airflow.api.trigger(DAG_ID, "told", {"dataset": "sql:shop"})
    assert airflow.wait("told") == "failed"
    visitor.page.goto(f"{visitor.url}/ocr/")
    visitor.page.get_by_role("link", name="told", exact=True).click()
    expect(visitor.page.locator(".notice")).to_contain_text("query: is needed")
    expect(visitor.page.locator(".notice")).to_contain_text("Start a new run with that put right")
    visitor.page.get_by_role("link", name="The log of plan in Airflow").click()
    visitor.page.wait_for_url(f"**/runs/told/tasks/{PLAN_TASK}")


def test_a_merge_that_was_not_done_is_done_from_the_page(visitor: Visitor, mended: str, shown: Shown) -> None:
    airflow = visitor.airflow
    airflow.trigger("unmerged", shown.dataset, limit=DOWN)
    assert airflow.wait("unmerged") == "success"
    (airflow.output / "unmerged" / "summary.json").unlink()
    airflow.api.fail_run(DAG_ID, "unmerged")
    visitor.page.goto(visitor.pages_of("unmerged"))
    visitor.page.get_by_role("button", name="Merge them").click()
    expect(visitor.page.locator("#said")).to_have_text("The results are merged again.")
    assert airflow.wait("unmerged") == "success"
    expect(visitor.page.get_by_role("link", name="report.html")).to_be_visible()


def test_a_hostile_dataset_does_nothing(visitor: Visitor, strange: list[dict[str, str]]) -> None:
    page, run = visitor.page, visitor.pages_of("strange")
    for text in ("", *HOSTILE):
        page.goto(f"{run}?q={quote(text)}&host={quote(text)}&sort={quote(text)}")
        expect(page.locator("#rows")).to_be_visible()
    for row in range(len(strange)):
        page.goto(f"{run}/rows/{row}/pages/0")
        page.locator("summary").first.click()
        expect(page.get_by_text(HOSTILE_COLUMN).first).to_be_visible()
        addresses = page.eval_on_selector_all("[href], [src], [action]", ADDRESSES)
        assert all(address.startswith(visitor.url) for address in addresses), addresses
    visitor.open_tab("strange").locator("#rows").wait_for()
    page.wait_for_timeout(500)
    assert page.evaluate("window.hacked") is None


def test_another_projects_dag_is_left_alone(visitor: Visitor, airflow: LocalAirflow) -> None:
    airflow.api.request("PATCH", "dags/another_project", {"is_paused": False})
    airflow.api.trigger("another_project", "theirs", {})
    wait_for(lambda: airflow.api.run_state("another_project", "theirs") in ("success", "failed"))
    assert airflow.api.run_state("another_project", "theirs") == "success"
    tab = visitor.open_tab("theirs", "another_project")
    expect(tab.locator("h1")).to_have_text("No OCR results")
    expect(tab.locator("body")).not_to_contain_text("/etc")
