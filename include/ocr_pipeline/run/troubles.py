"""What went wrong with images, counted by category, for people: how many, one of them, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ocr_pipeline.errors import ErrorCategory, WarningCategory
from ocr_pipeline.records import ResultRow
from ocr_pipeline.settings.addresses import shown_link

Category = ErrorCategory | WarningCategory
"""What images are counted by."""

_LINK_LENGTH = 200
_DETAIL_LENGTH = 400
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Trouble:
    """The images of one category of failure or warning: how many there are, one of them, and what exactly it has.

    ``example`` is its row, counted from 1, and its link as it may be shown.
    """

    category: Category
    images: int
    example: str
    detail: str

    def __str__(self) -> str:
        return f"{self.images:,} {self.category}, such as {self.example}: {self.detail}"


class Tally:
    """Counts images by what they have; memory does not grow with them."""

    def __init__(self) -> None:
        self._found: dict[Category, Trouble] = {}

    def add(self, category: Category, row: int, link: str, detail: str, images: int = 1) -> None:
        """Count ``images`` more of ``category``; the image of ``row``, with its link and its detail, is one of them."""
        known = self._found.get(category)
        if known is None:
            example = ", ".join(filter(None, [f"row {row + 1:,}", _cut(shown_link(link), _LINK_LENGTH)]))
            known = Trouble(category, 0, example, _cut(" ".join(detail.split()), _DETAIL_LENGTH))
        self._found[category] = Trouble(category, known.images + images, known.example, known.detail)

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """All categories, the most frequent first."""
        return tuple(sorted(self._found.values(), key=lambda trouble: -trouble.images))


def add_failure(tally: Tally, pages: Sequence[ResultRow], link: str) -> None:
    """Count an image of which a page may have failed."""
    failed = next((page for page in pages if page.error), None)
    if failed and failed.error:
        tally.add(ErrorCategory(failed.error), failed.row, link, failed.error_detail or "")


def add_warnings(tally: Tally, pages: Sequence[ResultRow], link: str) -> None:
    """Count an image of which pages may be wrong, once for each reason."""
    details = {warning: page.warning_detail or "" for page in reversed(pages) for warning in page.warnings}
    for warning, detail in details.items():
        tally.add(WarningCategory(warning), pages[0].row, link, detail)


def describe(troubles: Sequence[Trouble]) -> str:
    """The most frequent of ``troubles`` and what to do about them, in some sentences."""
    named = troubles[:_NAMED]
    others = sum(trouble.images for trouble in troubles[_NAMED:])
    listed = "; ".join([*map(str, named), *([f"and {others:,} of other categories"] if others else [])])
    told = " ".join(f"{trouble.category}: {trouble.category.remedy}." for trouble in named)
    return f"{listed}. What to do: {told}"


def lines(troubles: Sequence[Trouble]) -> list[str]:
    """A line of a log for each of ``troubles``."""
    return [f"{trouble}. What to do: {trouble.category.remedy}" for trouble in troubles]


def too_many(failed: int, wanted: int, allowed: float) -> bool:
    """Whether a larger share failed of what was ``wanted`` than is allowed."""
    return wanted > 0 and failed / wanted > allowed


def share(part: int, whole: int) -> str:
    """A share as people write it."""
    return f"{100 * part / whole:.3g} %"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
