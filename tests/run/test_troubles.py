"""What people are told of images that failed."""

from __future__ import annotations

import pytest

from ocr_pipeline.errors import ErrorCategory, WarningCategory
from ocr_pipeline.run.troubles import Tally, describe, lines, too_many


def test_every_category_says_what_to_do() -> None:
    for category in (*ErrorCategory, *WarningCategory):
        assert category.remedy, category
        assert not category.remedy.endswith("."), category


@pytest.mark.parametrize(
    ("failed", "wanted", "allowed", "many"),
    [
        (0, 0, 0.0, False),
        (0, 5, 0.0, False),
        (1, 5, 0.0, True),
        (29, 100, 0.29, False),
        (30, 100, 0.29, True),
        (1, 2, 0.5, False),
        (5, 5, 0.999, True),
        (5, 5, 1.0, False),
    ],
)
def test_what_is_just_allowed_is_allowed(failed: int, wanted: int, allowed: float, many: bool) -> None:
    assert too_many(failed, wanted, allowed) is many


def test_examples_are_short_in_one_line_and_hold_no_key() -> None:
    tally = Tally()
    tally.add(ErrorCategory.TIMEOUT, 0, f"https://u:KEY@h/{'x' * 500}?KEY", "line\nline " + "y" * 1000)
    tally.add(ErrorCategory.TIMEOUT, 1, "https://h/other.png", "not shown", 1999)
    tally.add(ErrorCategory.MISSING_LINK, 1233, "", "the cell is empty")
    (first, second) = lines(tally.troubles)
    assert first.startswith("2,000 timeout, such as row 1, https://h/xxx")
    assert first.endswith(f"What to do: {ErrorCategory.TIMEOUT.remedy}")
    assert second.startswith("1 missing_link, such as row 1,234: the cell is empty. What to do: ")
    assert len(first) < 800
    for unwanted in ("KEY", "\n", "not shown"):
        assert unwanted not in describe(tally.troubles)
