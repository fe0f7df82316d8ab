"""The tables of the documentation that are made from what they speak of: the code, and the texts of the decisions.

``python -m tests.contract`` writes them anew; a test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from ocr_pipeline.errors import ErrorCategory, Status, WarningCategory
from ocr_pipeline.metrics import Kind, Metric, Tag
from ocr_pipeline.records import RESULT_COLUMNS
from ocr_pipeline.settings.deployment import ENTRY_FORMS
from ocr_pipeline.settings.run import CatalogSettings, FetchSettings, ReadSettings, RunSettings

PROJECT = Path(__file__).parents[1]
REFERENCE = PROJECT / "docs" / "reference.md"
DECISIONS = PROJECT / "docs" / "decisions" / "README.md"
METRICS = PROJECT / "docs" / "metrics.md"

_STAGES = (CatalogSettings, FetchSettings, ReadSettings)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_DECISION = re.compile(
    r"(?P<number>\d+)\. (?P<title>.+)\n\n"
    r"(?P<date>\d{4}-\d\d-\d\d(?:, revised \d{4}-\d\d-\d\d)?)\.(?:\s(?P<state>[^\n]+(?:\n[^\n]+)*)\.)?\n\n"
)


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(header), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def columns() -> str:
    """The columns that the results add."""
    kinds = {str: "text", int: "integer", float: "number"}
    return _table(
        ("column", "type", "what it holds"),
        ((f"`{c.name}`", kinds[c.type], c.meaning) for c in RESULT_COLUMNS),
    )


def statuses() -> str:
    """What becomes of a page."""
    return _table(
        ("`ocr_status`", "a failure", "what it says"),
        ((f"`{s.value}`", "yes" if s.failed else "no", s.meaning) for s in Status),
    )


def errors() -> str:
    """The categories of failure."""
    return _table(
        ("`ocr_error`", "`ocr_status`", "tried again", "when", "what to do"),
        (
            (f"`{e.value}`", f"`{e.status.value}`", "yes" if e.retryable else "no", e.meaning, e.remedy)
            for e in ErrorCategory
        ),
    )


def warnings() -> str:
    """What may be wrong with a page that was read."""
    return _table(
        ("`ocr_warning`", "when", "what to do"), ((f"`{w.value}`", w.meaning, w.remedy) for w in WarningCategory)
    )


def settings(model: type[BaseModel], names: Iterable[str]) -> str:
    """Those of the settings of ``model`` that ``names`` lists."""
    properties = model.model_json_schema()["properties"]
    rows = []
    for name in names:
        schema = properties[name]
        if "default" not in schema:
            default = "needed" if name != "output" else "of the deployment"
        else:
            value = schema["default"]
            default = "" if value is None or value == [] else f"`{value}`"
        rows.append((f"`{name}`", default, schema["description"]))
    return _table(("setting", "default", "what it does"), rows)


def allowances() -> str:
    """The entries of the Airflow variable that says what runs may touch."""
    return _table(
        ("entry", "what it is", "what it allows"),
        ((", ".join(f"`{example}`" for example in f.examples), f.name, f.allows) for f in ENTRY_FORMS),
    )


def metrics() -> str:
    """The metrics that are sent."""
    return _table(
        ("metric", "kind", "unit", "tags", "what it says"),
        ((f"`{m.value}`", m.kind.value, m.unit, ", ".join(f"`{t}`" for t in m.tags), m.meaning) for m in Metric),
    )


def tags() -> str:
    """What metrics are told apart by."""
    return _table(("tag", "what it is"), ((f"`{tag.value}`", tag.meaning) for tag in Tag))


def prometheus_name(metric: Metric) -> str:
    """The name that a metric has in Prometheus, of whatever protocol."""
    return f"airflow_{metric.replace('.', '_')}" + ("_total" if metric.kind is Kind.COUNTER else "")


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision as its text begins: ``## number. title``, and below it, as a paragraph, ``date.`` or ``date. state.``

    ``state`` is what became of it, such as ``Superseded by [42](#…)``; empty while it holds.
    """

    number: int
    title: str
    date: str
    state: str


def decisions_of(text: str) -> Iterator[Decision]:
    """The decisions in the text of a subject.

    :raises ValueError: naming the heading that does not begin a decision.
    """
    for heading in _HEADING.finditer(text):
        found = _DECISION.match(text, heading.start(1))
        if found is None:
            raise ValueError(f"{heading[1]!r} must have a number, and a date below it: 2026-01-31.")
        number, title, date, state = found.group("number", "title", "date", "state")
        yield Decision(int(number), title, date, (state or "").replace("\n", " "))


def decisions(folder: Path = DECISIONS.parent) -> str:
    """The index of all decisions, by subject: a file each."""
    parts = []
    for path in sorted(folder.glob("*.md")):
        if path.name != DECISIONS.name:
            text = path.read_text()
            rows = (
                (str(d.number), f"[{d.title}]({path.name}#{anchor(f'{d.number}. {d.title}')})", d.date, _state(d, path))
                for d in decisions_of(text)
            )
            subject = text.partition("\n")[0].removeprefix("# ")
            parts.append(f"## {subject}\n\n{_table(('', 'decision', 'date', 'status'), rows)}")
    return "\n\n".join(parts)


def _state(decision: Decision, path: Path) -> str:
    """The state of a decision as the index has it."""
    return decision.state.replace("](#", f"]({path.name}#") or "In force"


def anchor(heading: str) -> str:
    """What a link to a heading of a Markdown file ends in, as GitHub and most others make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _own(model: type[BaseModel]) -> list[str]:
    """Names of the settings of a stage."""
    return list(model.model_fields)


def _of_no_stage() -> list[str]:
    """Names of the settings of a run that belong to no stage: its dataset, its batches and its results."""
    return [name for name in RunSettings.model_fields if not any(name in _own(stage) for stage in _STAGES)]


TABLES: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    REFERENCE: {
        "columns": columns,
        "statuses": statuses,
        "errors": errors,
        "warnings": warnings,
        "settings": lambda: settings(RunSettings, _of_no_stage()),
        "settings-fetch": lambda: settings(RunSettings, _own(FetchSettings)),
        "settings-read": lambda: settings(RunSettings, _own(ReadSettings)),
        "settings-catalog": lambda: settings(RunSettings, _own(CatalogSettings)),
        "allowances": allowances,
    },
    METRICS: {"metrics": metrics, "tags": tags},
    DECISIONS: {"decisions": decisions},
}
"""Each page that has such tables, and what makes them, by the marks that they stand between."""


def with_tables(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """``text`` with what stands between ``<!-- name -->`` and ``<!-- /name -->`` made anew.

    :raises ValueError: when a table has no place in it, or more than one.
    """
    for name, make in tables.items():
        start, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
        before, _, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        if not closed or start in rest or end in after:
            raise ValueError(f"the table {name!r} must have one place, between {start.strip()} and {end.strip()}")
        text = f"{before}{start}{make()}{end}{after}"
    return text


if __name__ == "__main__":
    for page, tables in TABLES.items():
        page.write_text(with_tables(page.read_text(), tables))
