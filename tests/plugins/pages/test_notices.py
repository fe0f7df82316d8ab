"""What is said where there is no plan, and therefore nothing to show."""

from __future__ import annotations

import pytest

from ocr_airflow.pages.database import AirflowRun, Planning
from ocr_airflow.pages.links import Links
from ocr_airflow.pages.notices import not_planned
from ocr_airflow.pages.rendering import render

HOSTILE = "<b>no such file"


def page(state: str, planning: Planning) -> str:
    """The page of a run in a state."""
    notice = not_planned(AirflowRun("ocr_images", "a run", state, None, None, ours=True), planning)
    return render("notice.html", links=Links.below("/airflow/ocr"), notice=notice)


@pytest.mark.parametrize(
    ("state", "planning", "said", "again"),
    [
        ("failed", Planning("plan", "failed", HOSTILE), ("clear the task in Airflow", "start a new one"), False),
        ("failed", Planning("plan", "failed", HOSTILE, refused=True), ("told what cannot be",), False),
        ("failed", Planning("wait", "failed", HOSTILE), ("The task wait failed",), False),
        ("running", Planning("plan", "up_for_retry", HOSTILE), ("is tried again by itself",), True),
        ("success", Planning("wait", "skipped", HOSTILE), ("This run was skipped",), False),
    ],
)
def test_why_a_run_has_no_plan_is_said_with_the_way_to_the_log(
    state: str, planning: Planning, said: tuple[str, ...], again: bool
) -> None:
    html = page(state, planning)
    assert "&lt;b&gt;no such file" in html
    assert f'href="/airflow/dags/ocr_images/runs/a%20run/tasks/{planning.task_id}"' in html
    assert all(text in html for text in said)
    assert ('data-live="on"' in html) == again


def test_a_run_that_does_not_say_why_or_goes_on_says_so() -> None:
    assert "It did not say why; its log may." in page("failed", Planning("plan", "failed"))
    assert "ended before its dataset was read" in page("failed", Planning("plan", "waiting"))
    assert "The dataset is being read" in page("running", Planning("plan", "running"))
