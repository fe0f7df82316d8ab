"""From a list of rows to an image and on: the list stays the one that was chosen."""

from __future__ import annotations

import re
from html import unescape

import pytest

from tests.plugins.pages.conftest import MakeRun, Pages
from tests.viewing.runs import failed, read_page

READINGS = {
    f"{n}.png": failed() if n % 2 else [read_page([f"text {n}"]), read_page([f"more {n}"], 1)] for n in range(6)
}
RUN = "/ocr/dags/ocr_images/runs/shown"


def leads(html: str, key: str) -> str | None:
    """Where a key leads to from the page of an image."""
    found = re.search(rf'data-key="{key}" href="([^"]*)"', html)
    return unescape(found[1]) if found else None


@pytest.fixture
def shown(pages: Pages, make_run: MakeRun) -> Pages:
    pages.folder = make_run(READINGS, max_failures=1)
    return pages


def test_from_a_list_the_next_image_is_that_of_the_list(shown: Pages) -> None:
    listed = shown.get("?status=fetch_failed&sort=-row")
    first, second, third = dict.fromkeys(re.findall(r'href="(/ocr/[^"]*/rows/[^"]*)"', listed))
    assert unescape(second) == f"{RUN}/rows/3/pages/0?status=fetch_failed&sort=-row&at=1"
    html = shown.get(unescape(second).removeprefix(RUN))
    assert leads(html, "previous") == unescape(first)
    assert leads(html, "next") == unescape(third)
    assert leads(html, "back") == f"{RUN}?status=fetch_failed&sort=-row#rows"
    assert leads(shown.get(unescape(third).removeprefix(RUN)), "next") is None


def test_pages_of_documents_are_rows_of_a_list(shown: Pages) -> None:
    html = shown.get("/rows/2/pages/0?q=text&at=1")
    assert leads(html, "next") == f"{RUN}/rows/4/pages/0?q=text&at=2"
    assert leads(html, "next-page") == f"{RUN}/rows/2/pages/1?q=text&at=1"


def test_without_a_list_or_off_its_place_the_next_image_is_that_of_the_dataset(shown: Pages) -> None:
    for query in ("?status=fetch_failed&at=5", "?status=fetch_failed", "?status=fetch_failed&at=x"):
        html = shown.get(f"/rows/3/pages/0{query}")
        assert leads(html, "next") == f"{RUN}/rows/4/pages/0?status=fetch_failed"
        assert leads(html, "back") == f"{RUN}?status=fetch_failed#rows"
    html = shown.get("/rows/3/pages/0")
    assert (leads(html, "previous"), leads(html, "next")) == (f"{RUN}/rows/2/pages/0", f"{RUN}/rows/4/pages/0")
    assert leads(html, "back") == RUN
    assert leads(shown.get("/rows/0/pages/0"), "previous") is None
    assert leads(shown.get("/rows/5/pages/0"), "next") is None


def test_the_way_back_leads_to_the_page_of_the_list(shown: Pages) -> None:
    assert leads(shown.get("/rows/3/pages/0?page=2"), "back") == f"{RUN}?page=2#rows"
    assert leads(shown.get("/rows/3/pages/0?status=ok&at=120"), "back") == f"{RUN}?status=ok&page=2#rows"
