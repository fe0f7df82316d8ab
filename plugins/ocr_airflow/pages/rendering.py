"""Making pages out of templates, in which every value is escaped, and the pages' own style sheets and scripts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.phrases import duration, rate
from ocr_pipeline.viewing.characters import visible, visible_text
from ocr_pipeline.viewing.charts import STYLE

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}

STATE_KINDS = {
    "success": "good",
    "failed": "bad",
    "upstream_failed": "bad",
    "up_for_retry": "warn",
    "running": "busy",
    "queued": "busy",
    "scheduled": "busy",
}
"""How states of Airflow are coloured; others are not."""

STATUS_KINDS = {"ok": "good", "no_text": "good", "known": "good", "unfinished": "warn"}
"""How statuses of rows are coloured; others are failures."""


@cache
def static_files() -> Mapping[str, tuple[bytes, str]]:
    """The pages' own files: content and media type, by name."""
    files = sorted((_HERE / "static").iterdir())
    own = {file.name: (file.read_bytes(), _TYPES[file.suffix]) for file in files if file.suffix in _TYPES}
    return own | {"charts.css": (STYLE.encode(), _TYPES[".css"])}


@cache
def static_version() -> str:
    """What changes when one of them does."""
    return sha256(b"".join(content for content, _ in static_files().values())).hexdigest()[:12]


def render(template: str, **values: Any) -> str:
    """The page that a template makes of ``values``."""
    return _environment().get_template(template).render(version=static_version(), **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": lambda count: f"{count:,}",
        "rate": rate,
        "seconds": duration,
        "moment": _moment,
        "setting": _setting,
        "remedy": _remedy,
        "visible": visible,
        "visible_text": visible_text,
        "state_kind": lambda state: STATE_KINDS.get(state, ""),
        "status_kind": lambda status: STATUS_KINDS.get(status, "bad"),
    }
    return environment


def _moment(when: datetime | None) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC" if when else "not yet"


def _setting(value: object) -> str:
    """A setting's value as the form has it."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


def _remedy(error: str) -> str:
    """What to do about a category of failure; empty for one that this version does not know."""
    return ErrorCategory(error).remedy if error in list(ErrorCategory) else ""
