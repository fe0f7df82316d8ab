"""The README's tables are what the code says, and a table that is not would be noticed."""

from __future__ import annotations

import pytest
from pydantic import Field

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.records import RESULT_COLUMNS
from ocr_pipeline.settings.run import RunSettings
from tests import contract

README = contract.README.read_text()
NAMES = {
    "columns": [column.name for column in RESULT_COLUMNS],
    "errors": [category.value for category in ErrorCategory],
    "settings": list(RunSettings.model_fields),
}


def table(name: str) -> str:
    """What stands in the README between the marks of a table."""
    return README.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]


def test_the_readme_says_what_the_code_does() -> None:
    assert contract.with_tables(README) == README, "run `make docs`"


def test_every_name_has_one_line_of_its_own() -> None:
    assert set(NAMES) == set(contract.TABLES)
    for name, names in NAMES.items():
        lines = table(name).splitlines()[2:]  # below the header
        assert [line.split("`")[1] for line in lines] == names


@pytest.mark.parametrize("name", contract.TABLES)
def test_a_table_that_says_something_else_is_noticed(name: str) -> None:
    lines = table(name).splitlines()
    for wrong in (lines[:-1], [*lines, lines[-1]], [*lines[:-1], lines[-1].replace("`", "")]):
        text = README.replace("\n".join(lines), "\n".join(wrong))
        assert text != README
        assert contract.with_tables(text) == README


@pytest.mark.parametrize("name", contract.TABLES)
def test_a_table_that_is_gone_is_noticed(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        contract.with_tables(README.replace(f"<!-- {name} -->\n", ""))


def test_a_category_that_the_code_changes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ErrorCategory.TIMEOUT, "retryable", False)
    assert contract.with_tables(README) != README


def test_a_setting_that_the_code_changes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Others(RunSettings):
        attempts: int = Field(4, description="How often.")

    monkeypatch.setattr(contract, "RunSettings", Others)
    assert contract.with_tables(README) != README
