"""The charts of a run, drawn from what is known so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ocr_pipeline.viewing import charts
from ocr_pipeline.viewing.answers import BatchOverview, Overview
from ocr_pipeline.viewing.results import RunResults


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its title; ``svg`` is made by the core, which escapes what it draws."""

    title: str
    svg: Markup


def charts_of(results: RunResults, overview: Overview, batches: Sequence[BatchOverview]) -> list[Chart]:
    """Those for which there is something to draw."""
    return [Chart(title, Markup(svg)) for title, svg in _drawn(results, overview, batches) if svg]


def _drawn(results: RunResults, overview: Overview, batches: Sequence[BatchOverview]) -> Iterator[tuple[str, str]]:
    yield "Images finished", charts.progress_chart(batches)
    yield "Images a second", charts.rate_chart(batches)
    if overview.merged:
        spread = results.distributions()
        yield "Failures by host", charts.hosts_chart(results.hosts())
        yield "Confidence", charts.confidence_chart(spread.confidence)
        yield "Seconds to fetch", charts.seconds_chart(spread.fetch_seconds, "seconds to fetch an image")
        yield "Seconds to read", charts.seconds_chart(spread.read_seconds, "seconds to read a page")
