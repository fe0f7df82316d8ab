"""The report of a merged run: one page for people, that needs no network and runs nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ocr_pipeline.errors import Status
from ocr_pipeline.phrases import duration, percent, rate, size
from ocr_pipeline.settings.addresses import shown_address
from ocr_pipeline.viewing import charts, drawing
from ocr_pipeline.viewing.answers import GalleryPage, Overview
from ocr_pipeline.viewing.characters import visible
from ocr_pipeline.viewing.results import RunResults

_TEMPLATES = Path(__file__).parent / "templates"

_PICTURES_BYTES = 8 << 20
"""Bytes of all pictures together: what still goes through a mail."""

_TEXT_CHARACTERS = 1500
"""How much of a page's text is shown."""

_HOSTS = 12


@dataclass(frozen=True, slots=True)
class _Titled:
    title: str
    drawn: Markup


@dataclass(frozen=True, slots=True)
class _Share:
    """How many pages have a status, and how wide that is in a bar as wide as 100."""

    status: Status
    pages: int
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class _Shown:
    """A page of the gallery as it is drawn."""

    page: GalleryPage
    drawn: Markup
    text: str
    left_out: int


def render_report(results: RunResults) -> str:
    """The report of a merged run, as HTML.

    Whatever comes from the dataset or its images is escaped, links but for ``http`` and ``https`` are text, and so are
    those that hold a login or a signature; the page's own policy lets it load nothing and run nothing.

    :raises StorageError: when the run's folder cannot be read.
    """
    overview = results.overview()
    style = (_TEMPLATES / "report.css").read_text() + charts.STYLE + drawing.STYLE
    return (
        _environment()
        .get_template("report.html")
        .render(
            overview=overview,
            read=sum(overview.statuses.get(status, 0) for status in (Status.OK, Status.NO_TEXT)),
            failed=sum(count for status, count in overview.statuses.items() if Status(status).failed),
            shares=list(_shares(overview)),
            seconds=_seconds(overview),
            charts=list(_charts(results)),
            problems=results.problems(),
            gallery=_gallery(results),
            style=Markup(style),  # ours alone
            style_digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            sure=drawing.SURE,
            fair=drawing.FAIR,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "number": lambda count: f"{count:,}",
        "percent": percent,
        "duration": duration,
        "size": size,
        "rate": rate,
        "moment": lambda when: f"{when:%Y-%m-%d %H:%M} UTC",
        "setting": _setting,
        "sentence": lambda text: f"{text[:1].upper()}{text[1:]}.",
        "address": lambda link: shown_address(link.strip()),
        "web": _web,
        "visible": visible,
    }
    environment.filters |= filters
    return environment


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ("", ()):
        return "empty"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _web(link: str) -> str | None:
    """The link if it can be followed as it is shown; None where it is of another kind, or part of it is not shown."""
    link = link.strip()
    if not link.lower().startswith(("http://", "https://")) or any(character.isspace() for character in link):
        return None
    return link if shown_address(link) == link else None


def _shares(overview: Overview) -> Iterator[_Share]:
    start = 0.0
    for name, pages in overview.statuses.items():
        width = 100 * pages / max(overview.pages, 1)
        yield _Share(Status(name), pages, start, width)
        start += width


def _seconds(overview: Overview) -> float | None:
    """From the first batch's start to the last one's end."""
    if overview.started_at is None or overview.finished_at is None:
        return None
    return (overview.finished_at - overview.started_at).total_seconds()


def _charts(results: RunResults) -> Iterable[_Titled]:
    batches = results.batches()
    spread = results.distributions()
    drawn = (
        ("Images finished", charts.progress_chart(batches)),
        ("Images a second", charts.rate_chart(batches)),
        ("Pages by confidence", charts.confidence_chart(spread.confidence)),
        ("Pages that failed, by host", charts.hosts_chart(results.hosts(_HOSTS))),
        ("Seconds to fetch an image", charts.seconds_chart(spread.fetch_seconds, "seconds to fetch an image")),
        ("Seconds to read a page", charts.seconds_chart(spread.read_seconds, "seconds to read a page")),
    )
    return (_Titled(title, Markup(chart)) for title, chart in drawn if chart)


def _gallery(results: RunResults) -> list[tuple[str, str, list[_Shown]]]:
    """Each kind of pages: a title, what it shows, and the pages."""
    gallery = results.gallery()
    left = _PICTURES_BYTES
    kinds = []
    for title, said, pages in (
        ("Most confident", "where the model was surest of what it read", gallery.best),
        ("Least confident", "where to look first if something is wrong", gallery.worst),
        ("At random", "what an ordinary page looks like", gallery.random),
    ):
        shown, left = _draw(pages, left)
        if shown:
            kinds.append((title, said, shown))
    return kinds


def _draw(pages: Sequence[GalleryPage], left: int) -> tuple[list[_Shown], int]:
    """The pages, with their pictures as long as there are bytes ``left`` for them; gives how many are left then."""
    shown = []
    for page in pages:
        picture = page.picture if page.picture is not None and len(page.picture) <= left else None
        left -= len(picture or b"")
        drawn = Markup(drawing.draw_page(page.width, page.height, page.lines, picture))
        left_out = max(0, len(page.lines) - drawing.MOST_LINES)
        shown.append(_Shown(page, drawn, page.text[:_TEXT_CHARACTERS], left_out))
    return shown, left
