"""Which pages get a picture. Beside what makes them, so that who only chooses imports no library of images."""

from __future__ import annotations

from ocr_pipeline.errors import Status
from ocr_pipeline.records import ResultRow
from ocr_pipeline.settings.run import Previews

SAMPLE_ROWS = 200
"""Rows of the dataset, from the first on, of which ``sample`` keeps pictures."""

_SAMPLE_PAGES = 10
_DOUBTFUL = 0.8


def wants_preview(previews: Previews, row: ResultRow) -> bool:
    """Whether a picture of the page with this row is to be kept."""
    if previews in ("none", "all"):
        return previews == "all"
    doubtful = row.status is not Status.OK or row.warning is not None or (row.confidence or 0.0) < _DOUBTFUL
    return doubtful or (previews == "sample" and row.row < SAMPLE_ROWS and row.page < _SAMPLE_PAGES)
