"""What the pages make of a run before it is shown."""

from __future__ import annotations

import pytest

from ocr_airflow.pages.database import TaskState
from ocr_airflow.pages.images import Outlined
from ocr_pipeline.records import TextLine


def test_lines_have_their_outlines_as_svg_writes_them() -> None:
    line = Outlined.of(TextLine("<b>", 0.79, ((0.0, 0.0), (10.04, 0.0), (10.0, 1e6), (0.0, 5.0))))
    assert (line.text, line.points, line.unsure) == ("<b>", "0.0,0.0 10.0,0.0 10.0,1000000.0 0.0,5.0", True)


@pytest.mark.parametrize(
    ("state", "ended"),
    [("success", True), ("failed", True), ("running", False), ("up_for_retry", False), ("waiting", False)],
)
def test_only_what_has_ended_can_be_tried_again(state: str, ended: bool) -> None:
    assert TaskState(state, 1).ended == ended
