"""Charts as SVG, drawn on the server: text without scripts, for the pages and the report.

Each is one ``<svg>`` that takes the width it is given. Text and lines have the colour of the text around it
(``currentColor``), shapes the colours of :data:`STYLE`, which are told apart on light and on dark. Values stand in
``<title>`` elements, which browsers show under the pointer and screen readers read out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from ocr_pipeline.phrases import percent
from ocr_pipeline.viewing.answers import BatchOverview, Histogram, HostOverview
from ocr_pipeline.viewing.characters import visible_text

_COLOURS = ("#e5484d", "#f08c00", "#8e6bf0", "#1c9cb0", "#d6409f", "#5c8a12", "#b07d48", "#7d8797")
_CATEGORIES = len(_COLOURS)

STYLE = (
    ".chart{display:block;width:100%;height:auto;font:13px system-ui,sans-serif;font-variant-numeric:tabular-nums}"
    ".chart text{fill:currentColor}.chart .chart-quiet{opacity:.65}.chart-end{text-anchor:end}"
    ".chart-middle{text-anchor:middle}"
    ".chart-grid{stroke:currentColor;opacity:.15}.chart-axis{stroke:currentColor;opacity:.45}"
    ".chart-bar{fill:#3d82e8}.chart-bad{fill:#e5484d}.chart-good{fill:#3d82e8}"
    ".chart-line{fill:none;stroke:#3d82e8;stroke-width:2;stroke-linejoin:round}.chart-area{fill:#3d82e8;opacity:.18}"
    ".chart g:hover>rect{opacity:.75}"
    + "".join(f".chart-{number}{{fill:{colour}}}" for number, colour in enumerate(_COLOURS, 1))
)
"""How the shapes look, as CSS."""

_WIDTH, _HEIGHT = 440, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 10, 10, 26
_POINTS = 120
"""How many points a line has at most."""

_HOSTS = 12
_CHARACTER = 7.1
"""About how wide a character is, in the units of the drawing."""

_TIME_STEPS: tuple[float, ...] = (
    *(1, 2, 5, 10, 20, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 20, 30)),
    *(3600 * hours for hours in (1, 2, 3, 6, 12)),
    *(86_400 * days for days in (1, 2, 7, 30)),
)
"""Between two marks of time, in seconds."""


def progress_chart(batches: Sequence[BatchOverview]) -> str:
    """Images finished over time, as the batches that are staged tell it; empty before one is."""
    work = _Work.of(batches)
    if work is None:
        return ""
    points = [(moment, work.finished(moment)) for moment in work.moments()]
    return _line_chart(
        points, f"{work.images:,} images finished in {_duration(work.seconds)}", lambda count: f"{count:,.0f} images"
    )


def rate_chart(batches: Sequence[BatchOverview]) -> str:
    """Images a second over time, as the batches that are staged tell it; empty before one is."""
    work = _Work.of(batches)
    if work is None:
        return ""
    moments = work.moments()
    counts = [work.finished(moment) for moment in moments]
    points: list[tuple[float, float]] = []
    for (start, end), (before, after) in zip(pairwise(moments), pairwise(counts), strict=True):
        rate = (after - before) / (end - start)
        points += [(start, rate), (end, rate)]
    return _line_chart(
        points,
        f"{work.images / work.seconds:,.1f} images a second on average",
        lambda rate: f"{rate:,.1f} images a second",
    )


def hosts_chart(hosts: Sequence[HostOverview]) -> str:
    """Pages that failed by host, a bar each, in parts by category; empty where none failed."""
    failing = sorted((host for host in hosts if host.failed), key=lambda host: -host.failed)[:_HOSTS]
    if not failing:
        return ""
    totals: Counter[str] = Counter()
    for host in failing:
        totals.update(host.errors)
    shown = [category for category, _ in totals.most_common(_CATEGORIES)]
    if len(totals) > _CATEGORIES:
        shown = [*shown[: _CATEGORIES - 1], "others"]
    most = failing[0].failed
    row, left = 36, 2
    width = _WIDTH - left - _RIGHT
    parts = []
    for number, host in enumerate(failing):
        top = 4 + number * row
        name = visible_text(host.host) or "files"
        share = host.failed / max(host.pages, 1)
        counted = f"{host.failed:,} of {host.pages:,} ({percent(share)})"
        room = int((width - len(counted) * _CHARACTER) / _CHARACTER) - 1
        said = f"{name}: {counted} failed"
        parts.append(_text(left, top + 11, _cut(name, room), said))
        parts.append(_text(left + width, top + 11, counted, classes="chart-end chart-quiet"))
        start = float(left)
        for category, count in _by_category(host, shown):
            size = width * count / most
            parts.append(
                _bar(start, top + 16, size, 12, f"chart-{shown.index(category) + 1}", f"{name}: {category}, {count:,}")
            )
            start += size
    top = 4 + len(failing) * row + 8
    legend, height = _legend(shown, top)
    return _svg(height, "pages that failed, by host and category", [*parts, *legend])


def confidence_chart(histogram: Histogram) -> str:
    """How many pages were read with which confidence; empty where none was."""
    shown = _trimmed(histogram, first=len(histogram.counts) // 2, first_at=2, end=len(histogram.counts))
    if shown is None:
        return ""
    labels = {number: f"{edge:.1f}" for number, edge in enumerate(shown.edges) if number % 2 == 0}
    return _bar_chart(
        shown,
        "pages by confidence",
        labels,
        lambda low, high, count: f"confidence {low:.2f} to {high:.2f}: {count:,} page{'' if count == 1 else 's'}",
    )


def seconds_chart(histogram: Histogram, label: str) -> str:
    """How many images or pages took how long; empty where none did.

    :param label: what it took time for, such as ``seconds to fetch an image``.
    """
    shown = _trimmed(histogram)
    if shown is None:
        return ""
    labels = {number: f"{edge:g}" for number, edge in enumerate(shown.edges) if math.isfinite(edge)}

    def say(low: float, high: float, count: int) -> str:
        upper = f"{_seconds(low)} to {_seconds(high)}" if math.isfinite(high) else f"more than {_seconds(low)}"
        return f"{upper}: {count:,}"

    return _bar_chart(shown, label, labels, say)


@dataclass(frozen=True, slots=True)
class _Work:
    """When images were finished: of each batch, when it began and ended, in seconds from the first, and how many."""

    spans: tuple[tuple[float, float, int], ...]
    seconds: float
    images: int

    @classmethod
    def of(cls, batches: Iterable[BatchOverview]) -> _Work | None:
        """That of the batches that are staged; None if there is none, or it took no time."""
        ends = [
            (batch.finished_at.timestamp(), batch.seconds, batch.done - batch.resumed)
            for batch in batches
            if batch.finished_at is not None and batch.done > batch.resumed
        ]
        if not ends:
            return None
        start = min(end - seconds for end, seconds, _ in ends)
        spans = tuple((end - seconds - start, end - start, images) for end, seconds, images in ends)
        longest = max(end for _, end, _ in spans)
        return cls(spans, longest, sum(images for *_, images in spans)) if longest > 0 else None

    def moments(self) -> list[float]:
        """The points in time at which to look: more where there are more batches."""
        points = min(_POINTS, max(2, 2 * len(self.spans)))
        return [self.seconds * number / points for number in range(points + 1)]

    def finished(self, moment: float) -> float:
        """How many images were finished then; those of a batch come evenly while it lasts."""
        return sum(
            images * min(1.0, max(0.0, (moment - start) / (end - start))) if end > start else images * (moment >= end)
            for start, end, images in self.spans
        )


def _line_chart(points: Sequence[tuple[float, float]], label: str, say: Callable[[float], str]) -> str:
    longest = points[-1][0]
    top, ticks = _scale(max(value for _, value in points))
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(moment: float) -> float:
        return _LEFT + width * moment / longest

    def y(value: float) -> float:
        return _TOP + height * (1 - value / top)

    line = " ".join(f"{x(moment):.1f},{y(value):.1f}" for moment, value in points)
    base = _TOP + height
    parts = _horizontal_grid(ticks, y)
    parts.append(f'<polygon class="chart-area" points="{_LEFT},{base} {line} {_WIDTH - _RIGHT},{base}"/>')
    parts.append(f'<polyline class="chart-line" points="{line}"/>')
    step = next((step for step in _TIME_STEPS if longest / step <= 5), _TIME_STEPS[-1])
    for count in range(int(longest / step) + 1):
        at = x(count * step)
        anchor = "chart-end" if at > _WIDTH - _RIGHT - 20 else "chart-middle"
        parts.append(_text(at, _HEIGHT - 8, _duration(count * step), classes=f"{anchor} chart-quiet"))
    # What stands under the pointer, wherever it is in the chart.
    slices = [(start, end, value) for (start, _), (end, value) in pairwise(points) if end > start]
    for start, end, value in slices:
        said = f"after {_duration(end)}: {say(value)}"
        parts.append(
            f'<rect x="{x(start):.1f}" y="{_TOP}" width="{x(end) - x(start):.1f}" height="{height}" '
            f'fill-opacity="0"><title>{escape(said)}</title></rect>'
        )
    return _svg(_HEIGHT, label, parts)


def _bar_chart(
    histogram: Histogram, label: str, labels: dict[int, str], say: Callable[[float, float, int], str]
) -> str:
    """Bars beside each other; ``labels`` stand under their edges."""
    top, ticks = _scale(max(histogram.counts))
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    step = width / len(histogram.counts)

    def y(value: float) -> float:
        return _TOP + height * (1 - value / top)

    parts = _horizontal_grid(ticks, y)
    for number, (count, (low, high)) in enumerate(zip(histogram.counts, pairwise(histogram.edges), strict=True)):
        size = max(height * count / top, 1.0) if count else 0.0
        bar = _bar(_LEFT + step * number + 1, _TOP + height - size, step - 2, size, "chart-bar", say(low, high, count))
        parts.append(bar)
    for number, text in labels.items():
        at = _LEFT + step * number
        anchor = "chart-end" if at > _WIDTH - _RIGHT - 8 else "chart-middle"
        parts.append(_text(min(at, _WIDTH - 2), _HEIGHT - 8, text, classes=f"{anchor} chart-quiet"))
    return _svg(_HEIGHT, label, parts)


def _horizontal_grid(ticks: Iterable[float], y: Callable[[float], float]) -> list[str]:
    parts = []
    for tick in ticks:
        kind = "chart-grid" if tick else "chart-axis"
        parts.append(
            f'<line class="{kind}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        )
        parts.append(_text(_LEFT - 6, y(tick) + 4, _count(tick), classes="chart-end chart-quiet"))
    return parts


def _by_category(host: HostOverview, shown: Sequence[str]) -> list[tuple[str, int]]:
    """How often a host failed for each of the categories that are shown, in their order."""
    counts = {category: host.errors.get(category, 0) for category in shown}
    if "others" in counts:
        counts["others"] = sum(count for category, count in host.errors.items() if category not in counts)
    return [(category, count) for category, count in counts.items() if count]


def _legend(names: Sequence[str], top: float) -> tuple[list[str], int]:
    """What the colours mean, in as many lines as it takes, and where it ends."""
    parts = []
    left = 2.0
    for number, name in enumerate(names, 1):
        width = 16 + len(name) * _CHARACTER + 14
        if left > 2 and left + width > _WIDTH:
            left, top = 2.0, top + 18
        parts.append(f'<rect class="chart-{number}" x="{left:.1f}" y="{top:.1f}" width="10" height="10" rx="2"/>')
        parts.append(_text(left + 15, top + 9, name))
        left += width
    return parts, int(top + 18)


def _svg(height: int, label: str, parts: Iterable[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}" direction="ltr" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _bar(left: float, top: float, width: float, height: float, kind: str, said: str) -> str:
    return (
        f'<g><title>{escape(said)}</title><rect class="{kind}" x="{left:.1f}" y="{top:.1f}" '
        f'width="{width:.1f}" height="{height:.1f}" rx="{min(2.0, width / 2, height / 2):.1f}"/></g>'
    )


def _text(left: float, base: float, text: str, said: str = "", classes: str = "") -> str:
    kind = f' class="{classes}"' if classes else ""
    title = f"<title>{escape(said)}</title>" if said else ""
    return f'<text{kind} x="{left:.1f}" y="{base:.1f}">{title}{escape(text)}</text>'


def _scale(most: float) -> tuple[float, list[float]]:
    """The end of a scale that reaches ``most``, and the round numbers on it."""
    if most <= 0:
        return 1.0, [0.0]
    unit = 10.0 ** math.floor(math.log10(most / 4))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if most / (unit * factor) <= 4.0001)
    if most >= 4:  # what is counted has no halves
        step = max(1.0, math.ceil(step))
    ticks = [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]
    return ticks[-1], ticks


def _count(value: float) -> str:
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{sign}"
    return f"{value:.3g}"


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if 0 < value < 1 else f"{value:g} s"


def _duration(seconds: float) -> str:
    for unit, sign in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {sign}"
    return f"{seconds:.3g} s" if seconds else "0"


def _trimmed(histogram: Histogram, *, first: int | None = None, first_at: int = 1, end: int = 0) -> Histogram | None:
    """The part that has any counts, with an empty bin on each side; None where there is none.

    :param first: a bin that is there in any case, with those after it.
    :param first_at: the first bin is a multiple of it.
    :param end: the bins before it are there in any case.
    """
    filled = [number for number, count in enumerate(histogram.counts) if count]
    if not filled:
        return None
    start = max(0, (min(filled[0] - 1, len(histogram.counts) if first is None else first)) // first_at * first_at)
    end = max(end, min(len(histogram.counts), filled[-1] + 2))
    return Histogram(histogram.edges[start : end + 1], histogram.counts[start:end])


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: max(1, room - 1)]}…"
