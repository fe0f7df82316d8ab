"""The output contract and the settings as the README shows them, made from the code.

``python -m tests.contract`` rewrites those tables in the README; a test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.records import RESULT_COLUMNS
from ocr_pipeline.settings.run import RunSettings

README = Path(__file__).parents[1] / "README.md"


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


def errors() -> str:
    """The categories of failure."""
    return _table(
        ("`ocr_error`", "`ocr_status`", "tried again", "when"),
        ((f"`{e.value}`", f"`{e.status.value}`", "yes" if e.retryable else "no", e.meaning) for e in ErrorCategory),
    )


def settings() -> str:
    """The settings of a run."""
    properties = RunSettings.model_json_schema()["properties"]
    rows = []
    for name, schema in properties.items():
        if "default" not in schema:
            default = "needed" if name != "output" else "of the deployment"
        else:
            value = schema["default"]
            default = "" if value is None or value == [] else f"`{value}`"
        rows.append((f"`{name}`", default, schema["description"]))
    return _table(("setting", "default", "what it does"), rows)


TABLES = {"columns": columns, "errors": errors, "settings": settings}


def with_tables(text: str) -> str:
    """``text`` with the content between ``<!-- name -->`` and ``<!-- /name -->`` made anew."""
    for name, make in TABLES.items():
        pattern = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=\n<!-- /{name} -->)", re.DOTALL)
        text, count = pattern.subn(make().replace("\\", r"\\"), text)
        if count != 1:
            raise ValueError(f"the README must have one place for the table {name!r}, and has {count}")
    return text


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
