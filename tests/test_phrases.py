"""Numbers as people read them."""

from __future__ import annotations

import pytest

from ocr_pipeline.phrases import duration


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"), (9.94, "9.9 s"), (42, "42 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3599, "59 min 59 s"),
        (3600, "1 h"), (5430, "1 h 30 min"), (86_399, "23 h 59 min"), (90_000, "1 d 1 h"), (864_000, "10 d"),
        (31_536_000, "1 y"), (2_300_500_000, "72 y 346 d"),
    ],
)  # fmt: skip
def test_durations_are_said_in_two_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said
