"""What the pages make of a run before it is shown."""

from __future__ import annotations

import json

import pytest

from ocr_airflow.pages.images import lines_of
from ocr_airflow.pages.rendering import describe_seconds
from ocr_pipeline.errors import OcrPipelineError

QUAD = [[0, 0], [10.04, 0], [10, 5], [0, 5]]


def test_lines_have_their_outlines_as_svg_writes_them() -> None:
    (line,), worded = lines_of(json.dumps([{"text": "<b>", "confidence": 0.79, "quad": QUAD}]))
    assert (line.text, line.points, line.unsure, worded) == ("<b>", "0.0,0.0 10.0,0.0 10.0,5.0 0.0,5.0", True, False)


@pytest.mark.parametrize(
    "cell",
    [
        "{",
        "7",
        '[{"text": "x"}]',
        '[{"text": "x", "confidence": "high", "quad": []}]',
        json.dumps([{"text": "x", "confidence": 1, "quad": [['"/><script>', 0]]}]),
    ],
)
def test_damaged_lines_are_an_error_that_says_so(cell: str) -> None:
    with pytest.raises(OcrPipelineError, match="ocr_lines"):
        lines_of(cell)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0.0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h")],
)
def test_durations_are_said_in_two_units(seconds: float, said: str) -> None:
    assert describe_seconds(seconds) == said
