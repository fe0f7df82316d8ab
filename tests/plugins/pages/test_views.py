"""What the pages make of a run before it is shown."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ocr_airflow.pages.database import TaskState
from ocr_airflow.pages.filters import ORDERS, RowFilter
from ocr_airflow.pages.images import Outlined
from ocr_airflow.pages.links import Links
from ocr_airflow.pages.rendering import render
from ocr_pipeline.records import TextLine
from ocr_pipeline.viewing.answers import RowsFound


def test_lines_have_their_outlines_as_svg_writes_them() -> None:
    line = Outlined.of(TextLine("<b>", 0.79, ((0.0, 0.0), (10.04, 0.0), (10.0, 1e6), (0.0, 5.0))))
    assert (line.text, line.points, line.unsure) == ("<b>", "0.0,0.0 10.0,0.0 10.0,1000000.0 0.0,5.0", True)


@pytest.mark.parametrize(
    ("state", "ended"),
    [("success", True), ("failed", True), ("running", False), ("up_for_retry", False), ("waiting", False)],
)
def test_only_what_has_ended_can_be_tried_again(state: str, ended: bool) -> None:
    assert TaskState(state, 1).ended == ended


def rows_page(chosen: RowFilter, found: RowsFound) -> str:
    """The part of a run's page with its rows."""
    run = SimpleNamespace(dag_id="ocr", run_id="a run")
    overview = SimpleNamespace(state="merged", pages=8, merged_at=None, statuses={}, errors={}, warnings={})
    links = Links.below("/ocr")
    values = {"overview": overview, "filter": chosen, "orders": ORDERS, "found": found, "batch": None}
    return render("_rows.html", links=links, run=run, **values)


def test_a_person_whose_answer_is_not_about_all_rows_can_ask_for_all() -> None:
    chosen = RowFilter(text="milk")
    page = rows_page(chosen, RowsFound((), 0, 4, 8))
    assert "4 of 8 were looked at" in page
    assert "None of the rows that were looked at is like this." in page
    assert "every=1" in page
    assert "Look at all" in page
    assert chosen.thorough().seconds > chosen.seconds
    for complete in (rows_page(chosen, RowsFound((), 0, 8, 8)), rows_page(chosen.thorough(), RowsFound((), 0, 4, 8))):
        assert "Look at all" not in complete
