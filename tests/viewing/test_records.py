"""Everything of one page."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from ocr_pipeline.records import TextLine, TextWord
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.viewing.answers import PageRef
from ocr_pipeline.viewing.links import web_address
from ocr_pipeline.viewing.questions import RowQuery
from ocr_pipeline.viewing.results import RunResults
from tests.conftest import WriteCsv
from tests.viewing.conftest import MakeRun
from tests.viewing.runs import failed, line, read_page


def test_a_page_has_its_lines_its_row_and_its_neighbours(any_run: MakeRun, write_csv: WriteCsv) -> None:
    quad = ((1.5, 2.0), (30.0, 2.5), (30.0, 12.0), (1.5, 11.0))
    word = TextWord("two", 0.75, quad)
    lines = [line("one", 0.5), TextLine("two words", 0.875, quad, (word,), block=3)]
    readings = {"a.png": [read_page(lines), read_page(["last"], 1)], "https://x.org/b.png": failed()}
    results = RunResults.open(any_run(write_csv([["x", "a.png"], ["", "https://x.org/b.png"]]), readings))
    record = results.record(0, 0)
    assert record is not None
    assert (record.row, record.page, record.pages, record.batch) == (0, 0, 2, 0)
    assert record.lines == tuple(lines)
    assert record.result.text == "one\n\ntwo words"
    assert record.result.warnings == []
    assert record.own == {"id": "x", "image": "a.png"}
    assert (record.link, record.url) == ("a.png", None)
    assert (record.previous, record.following) == (None, PageRef(0, 1))
    assert str(record.preview).endswith("/previews/000000000000-0000.webp")
    last = results.record(1, 0)
    assert last is not None
    assert (last.previous, last.following) == (PageRef(0, 1), None)
    assert (last.url, last.result.error, last.result.http_status) == ("https://x.org/b.png", "not_found", 404)
    assert [results.record(*place) for place in ((0, 2), (2, 0), (-1, 0), (10**15, 0))] == [None] * 4


def test_columns_of_a_dataset_come_out_whatever_they_are(any_run: MakeRun, tmp_path: Path) -> None:
    far = pa.array([10**15], pa.timestamp("ms"))  # the year 33,658 is none of Python's
    own = {
        "image": ["a.png"], "Id": [7], "id": ["other"], 'q"u\'o`te; --': [b"\0\xff"], "far": far,
        "when": [datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC)], "cost": [Decimal("1.50")],
        "nested": [{"a": [1, None]}], "nothing": [None], "": ["unnamed"], "a.b": [1.5],
        "kind": pa.array(["x"]).dictionary_encode(),
    }  # fmt: skip
    pa.parquet.write_table(pa.table(own), tmp_path / "data.parquet")
    results = RunResults.open(any_run(tmp_path / "data.parquet", {"a.png": [read_page()]}, image_column="image"))
    record = results.record(0, 0)
    assert record is not None
    assert list(record.own) == list(own)
    values = dict(record.own)
    assert isinstance(values.pop("far"), str)
    assert values == {
        "image": "a.png", "Id": 7, "id": "other", 'q"u\'o`te; --': b"\0\xff", "cost": Decimal("1.50"),
        "when": datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC), "nested": {"a": [1, None]}, "nothing": None,
        "": "unnamed", "a.b": 1.5, "kind": "x",
    }  # fmt: skip
    assert results.rows(RowQuery(text="OTHER\x1f")).total == 1


def test_ten_thousand_lines_come_out(make_run: MakeRun, write_csv: WriteCsv) -> None:
    lines = [line(f"line {number}", 0.9, number * 12.0) for number in range(10_000)]
    results = RunResults.open(make_run(write_csv([["0", "a.png"]]), {"a.png": [read_page(lines)]}))
    record = results.record(0, 0)
    assert record is not None
    assert record.lines == tuple(lines)
    assert results.rows(RowQuery(text="line 9999")).total == 1


@pytest.mark.parametrize("run_id", ["manual__2026-01-31T08:00:00+00:00", "a b/../c", "über:1", "x" * 200])
def test_runs_of_any_name_are_opened(
    make_run: MakeRun, write_csv: WriteCsv, tmp_path: Path, allowances: Allowances, run_id: str
) -> None:
    run = make_run(write_csv([["0", "a.png"]]), {"a.png": [read_page()]}, run_id=run_id)
    results = RunResults.open(RunFolder.of(str(tmp_path / "output"), run_id, allowances))
    assert results.overview().uri == run.uri
    assert results.rows(RowQuery(text="some")).total == 1
    assert results.record(0, 0) is not None


@pytest.mark.parametrize(
    ("link", "base", "address"),
    [
        ("https://x.org/a b.jpg?w=1", "", "https://x.org/a%20b.jpg?w=1"),
        (" HTTP://X.org/a ", "", "http://x.org/a"),
        ("https://user:word@x.org/a", "", "https://x.org/a"),
        ("a.jpg", "https://x.org/shop/", "https://x.org/shop/a.jpg"),
        ("a.jpg", "/data", None),
        ("javascript:alert(1)", "https://x.org/", None),
        ("data:text/html,x", "", None),
        ("file:///etc/passwd", "https://x.org/", None),
        ("s3://bucket/key", "https://x.org/", None),
        ("//x.org/a", "", None),
        ("https://", "", None),
        ("https://x.org:port/", "", None),
        ("", "https://x.org/", None),
    ],
)
def test_only_pages_of_the_web_are_linked_to(link: str, base: str, address: str | None) -> None:
    assert web_address(link, base) == address
