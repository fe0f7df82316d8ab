"""The documentation's tables are what the code says, and one that is not would be noticed."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from ocr_pipeline.errors import ErrorCategory, Status, WarningCategory
from ocr_pipeline.records import RESULT_COLUMNS
from ocr_pipeline.run.summary import MergedRun
from ocr_pipeline.settings.deployment import ENTRY_FORMS, Allowances, Connection, EntryForm
from ocr_pipeline.settings.run import CatalogSettings, FetchSettings, ReadSettings, RunSettings
from tests import contract

REFERENCE = contract.REFERENCE.read_text()
STAGES: dict[str, type[BaseModel]] = {
    "settings-fetch": FetchSettings,
    "settings-read": ReadSettings,
    "settings-catalog": CatalogSettings,
}
NAMES = {
    "columns": [column.name for column in RESULT_COLUMNS],
    "statuses": [status.value for status in Status],
    "errors": [category.value for category in ErrorCategory],
    "warnings": [category.value for category in WarningCategory],
    "settings": [
        name for name in RunSettings.model_fields if all(name not in stage.model_fields for stage in STAGES.values())
    ],
    **{table: list(stage.model_fields) for table, stage in STAGES.items()},
    "allowances": [form.examples[0] for form in ENTRY_FORMS],
}
TABLES = [(page, name) for page, tables in contract.TABLES.items() for name in tables]


def table(name: str) -> str:
    """What stands in the reference between the marks of a table."""
    return REFERENCE.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]


def section(path: Path, heading: str) -> str:
    """What stands below a heading of the second level."""
    return path.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    """The names in backticks that the rows of tables in ``text`` begin with."""
    return re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", text, re.MULTILINE)


@pytest.mark.parametrize("page", contract.TABLES, ids=lambda page: page.name)
def test_the_documentation_says_what_the_code_does(page: Path) -> None:
    assert contract.with_tables(page.read_text(), contract.TABLES[page]) == page.read_text(), "run `make docs`"


def test_every_name_has_one_line_of_its_own() -> None:
    assert set(NAMES) == set(contract.TABLES[contract.REFERENCE])
    for name, names in NAMES.items():
        lines = table(name).splitlines()[2:]  # below the header
        assert [line.split("`")[1] for line in lines] == names


def test_every_setting_is_in_one_table() -> None:
    shown = [name for table, names in NAMES.items() if table.startswith("settings") for name in names]
    assert sorted(shown) == sorted(RunSettings.model_fields)


@pytest.mark.parametrize(("page", "name"), TABLES)
def test_a_table_that_says_something_else_is_noticed(page: Path, name: str) -> None:
    right = page.read_text()
    before, mark, rest = right.partition(f"<!-- {name} -->\n")
    lines = rest.partition(f"\n<!-- /{name} -->")[0].splitlines()
    for wrong in (lines[:-1], [*lines, lines[-1]], [*lines[:-1], f"{lines[-1]} wrong |"], []):
        text = before + mark + rest.replace("\n".join(lines), "\n".join(wrong), 1)
        assert text != right
        assert contract.with_tables(text, contract.TABLES[page]) == right


@pytest.mark.parametrize(("page", "name"), TABLES)
def test_a_table_that_is_gone_is_noticed(page: Path, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        contract.with_tables(page.read_text().replace(f"<!-- {name} -->\n", ""), contract.TABLES[page])


def test_a_category_that_the_code_changes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ErrorCategory.TIMEOUT, "retryable", False)
    assert contract.errors() != table("errors")


def test_a_setting_that_the_code_changes_is_noticed() -> None:
    class Others(RunSettings):
        attempts: int = Field(4, description="How often.")

    names = NAMES["settings-fetch"]
    assert contract.settings(RunSettings, names) == table("settings-fetch")
    assert contract.settings(Others, names) != table("settings-fetch")


@pytest.mark.parametrize("form", ENTRY_FORMS, ids=lambda form: form.name)
def test_every_form_of_an_entry_is_taken(form: EntryForm) -> None:
    for example in form.examples:
        assert Allowances.parse(example, _connection) != Allowances()


def test_whatever_can_be_allowed_has_a_form() -> None:
    examples = [example for form in ENTRY_FORMS for example in form.examples]
    allowed = Allowances.parse(examples, _connection)
    assert all(getattr(allowed, field.name) for field in fields(Allowances))


def _connection(name: str) -> Connection:
    return Connection(name, "http", "images.example.org")


def test_the_readme_names_every_column_and_every_status() -> None:
    named = set(re.findall(r"`(\w+)`", section(contract.PROJECT / "README.md", "What comes out")))
    assert {name for name in named if name.startswith("ocr_")} == set(NAMES["columns"])
    assert set(NAMES["statuses"]) <= named


def test_every_count_of_the_summary_is_explained() -> None:
    text = section(contract.PROJECT / "docs" / "results.md", "summary.json")
    explained = [name for cell in first_cells(text) for name in re.findall(r"\w+", cell)]
    assert sorted(explained) == sorted(field.name for field in fields(MergedRun))


def test_every_variable_of_the_environment_is_explained() -> None:
    read = {
        node.value
        for folder in ("include", "plugins", "dags")
        for path in (contract.PROJECT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch("OCR_[A-Z_]+", node.value)
    }
    assert read == {cell.strip("`") for cell in first_cells(section(contract.REFERENCE, "Deployment"))}


def test_decisions_have_numbers_of_their_own() -> None:
    subjects = [path for path in contract.DECISIONS.parent.glob("*.md") if path != contract.DECISIONS]
    numbers = [decision.number for path in subjects for decision in contract.decisions_of(path.read_text())]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_the_index_of_decisions_says_what_became_of_each(tmp_path: Path) -> None:
    (tmp_path / "engines.md").write_text(
        "# Engines\n\n## 1. One\n\n2026-01-31. Superseded by [2](#2-its-two).\n\nWhy.\n\n"
        "## 2. It's two\n\n2026-02-01, revised 2026-02-02.\n\nWhy.\n"
    )
    assert contract.decisions(tmp_path).splitlines() == [
        "## Engines",
        "",
        "|  | decision | date | status |",
        "| --- | --- | --- | --- |",
        "| 1 | [One](engines.md#1-one) | 2026-01-31 | Superseded by [2](engines.md#2-its-two) |",
        "| 2 | [It's two](engines.md#2-its-two) | 2026-02-01, revised 2026-02-02 | In force |",
    ]


@pytest.mark.parametrize("text", ["## 3. No date\n\nWhy.\n", "## No number\n\n2026-01-31.\n"])
def test_a_decision_without_number_or_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must have a number, and a date"):
        list(contract.decisions_of(f"# Subject\n\n{text}"))
