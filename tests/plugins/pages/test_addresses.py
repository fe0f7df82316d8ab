"""Addresses: of the pages and of the pages of Airflow that they lead to."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_airflow.pages.filters import RowFilter
from ocr_airflow.pages.links import Links


def test_addresses_are_below_where_airflow_is_served() -> None:
    links = Links.below("/airflow/ocr")
    assert links.run("d", "r") == "/airflow/ocr/dags/d/runs/r"
    assert links.airflow_run("d", "r") == "/airflow/dags/d/runs/r"
    assert links.clear("d") == "/airflow/api/v2/dags/d/clearTaskInstances"
    assert Links.below("/ocr").airflow_task("d", "r", "read_batch", 3) == "/dags/d/runs/r/tasks/read_batch/mapped/3"


@pytest.mark.parametrize(
    "run_id", ["manual__2026-01-02T03:04:05+00:00", "a b", 'quote"<script>', "per%cent", "a&b=c#d?e", "Größe"]
)
def test_any_name_of_a_run_is_one_part_of_an_address(run_id: str) -> None:
    address = Links.below("/ocr").image("dag", run_id, 4, 1)
    assert address.count("/") == 9
    assert not set(address) & set(" \"<>#?&+:'")


FILTERS = st.builds(
    RowFilter,
    text=st.text(max_size=50).map(str.strip),
    status=st.sampled_from(["", "ok"]),
    least=st.none() | st.floats(0, 1),
    most=st.none() | st.floats(0, 1),
    host=st.sampled_from(["", "example.org"]),
    batch=st.none() | st.integers(0, 10_000),
    sort=st.sampled_from(["", "-row", "confidence", "-confidence"]),
    page=st.integers(0, 10_000),
    every=st.booleans(),
)


@given(FILTERS)
def test_a_filter_survives_its_address(chosen: RowFilter) -> None:
    query = urlsplit(Links.below("/ocr").run("d", "r", chosen.query())).query
    assert RowFilter.parse(dict(parse_qsl(query))) == chosen


@given(
    st.dictionaries(
        st.sampled_from(["q", "from", "to", "batch", "page", "sort", "status", "every"]), st.text(max_size=30)
    )
)
def test_any_query_is_some_filter(query: dict[str, str]) -> None:
    chosen = RowFilter.parse(query)
    assert chosen.asked().limit > 0  # the results refuse what makes no sense
    assert RowFilter.parse({name: str(value) for name, value in chosen.query().items() if value is not None}) == chosen


def test_what_makes_no_sense_in_an_address_is_noted() -> None:
    chosen = RowFilter.parse(
        {"q": "x", "status": "nope", "from": "abc", "batch": "x", "sort": "size", "other": "1", "to": "0"}
    )
    assert chosen == RowFilter(text="x", most=0.0)
    assert chosen.refused == {"status": "nope", "from": "abc", "batch": "x", "sort": "size"}
    assert not RowFilter.parse({"status": "ok", "batch": "0", "page": "0", "every": "0", "q": ""}).refused


def test_asking_for_a_column_again_turns_its_order() -> None:
    chosen = RowFilter(text="x", page=3)
    once = chosen.sorted_by("confidence")
    twice = once.sorted_by("confidence")
    assert (once.column, once.descending, once.page, once.text) == ("confidence", False, 0, "x")
    assert (twice.column, twice.descending) == ("confidence", True)
    assert chosen.sorted_by("row").descending
    assert RowFilter().sorted_by("confidence").sorted_by("row") == RowFilter()
