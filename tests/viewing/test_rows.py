"""Rows that are asked for: the same before the merge and after it, on a disk and in a bucket."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet
import pytest

from ocr_pipeline.errors import ErrorCategory, QueryError, Status, StorageError, WarningCategory
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.viewing import scanning, search
from ocr_pipeline.viewing.answers import RowFound
from ocr_pipeline.viewing.questions import ORDERS, RowQuery
from ocr_pipeline.viewing.results import RunResults
from tests.conftest import WriteCsv, local_path
from tests.viewing.conftest import MakeRun
from tests.viewing.runs import Readings, all_versions, failed, line, read_page

FONTS, SCRIPT = WarningCategory.FONTS_MISSING, WarningCategory.UNKNOWN_SCRIPT

READINGS: Readings = {
    "https://Shop.example.org/a.jpg": [read_page([line("Vollmilch", 0.5), line("3,50 €", 0.7)], bytes=300)],
    "https://user:word@img.example.org:8443/b.pdf?w=1": [
        read_page(["first page"], 0, [FONTS], read_seconds=2.0),
        read_page(["STRASSE 100%_x"], 1, [FONTS, SCRIPT], confidence=0.25),
        read_page([], 2),
    ],
    "s3://store@bucket/c d.png": failed(ErrorCategory.FORBIDDEN_STORE, "no such bucket"),
    "pictures/e.png": [read_page(["'; DROP TABLE x; --", "Ünïcode \N{SNOWMAN} 中文"], bytes=None)],
    "https://shop.example.org/f.jpg": failed(ErrorCategory.TIMEOUT, "too slow"),
    "": failed(ErrorCategory.MISSING_LINK, "the cell is empty"),
}
LINKS = list(READINGS)
NAMES = ["Milch", "100% Saft", "x'y\"z", "plain: a\r\n\r\n text\N{NO-BREAK SPACE}\t over\u2028lines", "ÄPFEL", ""]
PLACES = [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (3, 0), (4, 0), (5, 0)]


@pytest.fixture(scope="module")
def results(any_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    """Those of six links, whose dataset has columns of awkward names."""
    data = pa.table({"image": LINKS, 'na"me; --': NAMES, "Select": [10**12 + n for n in range(6)], "ROW": [None] * 6})
    path = tmp_path_factory.mktemp("dataset") / "data.parquet"
    pa.parquet.write_table(data, path)
    return RunResults.open(any_run(path, READINGS))


def places(results: RunResults, query: RowQuery) -> list[tuple[int, int]]:
    """What was found, when every row was looked at."""
    found = results.rows(query, seconds=None)
    assert found.complete
    assert found.total >= len(found.rows)
    return [(row.row, row.page) for row in found.rows]


def test_a_row_in_short(results: RunResults) -> None:
    rows = results.rows(RowQuery()).rows
    assert [(row.row, row.page) for row in rows] == PLACES
    assert rows[2] == RowFound(
        row=1, page=1, batch=0, link=LINKS[1], host="img.example.org", status=Status.OK, error=None,
        warnings=("fonts_missing", "unknown_script"), confidence=0.25, bytes=1000, fetch_seconds=0.25,
        read_seconds=0.5, beginning="STRASSE 100%_x",
    )  # fmt: skip
    assert rows[0].beginning == "Vollmilch 3,50 €"
    assert [row.batch for row in rows] == [0, 0, 0, 0, 0, 1, 1, 1]
    assert [row.host for row in rows if not row.page] == [
        "shop.example.org", "img.example.org", "s3://bucket", "", "shop.example.org", "",
    ]  # fmt: skip
    assert rows[4].error == "forbidden_store"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MILCH", [(0, 0)]),  # in the text and in the dataset's name
        ("strasse", [(1, 1)]),
        ("100%", [(1, 0), (1, 1), (1, 2)]),
        ("100%_", [(1, 1)]),
        ("1__%", []),
        ("'; drop table", [(3, 0)]),
        ("x'y\"z", [(2, 0)]),
        ("üNÏCODE \N{SNOWMAN} 中", [(3, 0)]),
        ("äpfel", [(4, 0)]),
        ("shop.EXAMPLE.org/", [(0, 0), (4, 0)]),
        ("c d.png", [(2, 0)]),
        (str(10**12 + 3), [(3, 0)]),
        ("vollmilch 3,50", [(0, 0)]),  # as the table shows it, whatever parts the lines
        (" \t VOLLMILCH\u3000\n 3,50", [(0, 0)]),
        ("first  page", [(1, 0)]),
        ("voll milch", []),
        ("a text over lines", [(3, 0)]),
        ("3,50 €https", []),  # columns are searched one by one
        ("page\x1f", [(1, 0)]),
        ("e.png", [(3, 0)]),
        ("\\", []),
        (".*", []),
    ],
)
def test_text_is_found_as_it_is_in_any_case(results: RunResults, text: str, expected: list[tuple[int, int]]) -> None:
    assert places(results, RowQuery(text=text)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (RowQuery(status=("no_text",)), [(1, 2)]),
        (RowQuery(status=("no_text", "fetch_failed")), [(1, 2), (2, 0), (4, 0), (5, 0)]),
        (RowQuery(error=("timeout", "missing_link")), [(4, 0), (5, 0)]),
        (RowQuery(warning=("unknown_script",)), [(1, 1)]),
        (RowQuery(warning=("fonts_missing",)), [(1, 0), (1, 1)]),
        (RowQuery(host="SHOP.example.org"), [(0, 0), (4, 0)]),
        (RowQuery(host="s3://bucket"), [(2, 0)]),
        (RowQuery(host="example.org"), []),
        (RowQuery(batch=1), [(3, 0), (4, 0), (5, 0)]),
        (RowQuery(batch=7), []),
        (RowQuery(confidence=(0.25, 0.25)), [(1, 1)]),
        (RowQuery(confidence=(0.3, None)), [(0, 0), (1, 0), (3, 0)]),
        (RowQuery(confidence=(None, 0.3)), [(1, 1)]),
        (RowQuery(text="milch", host="shop.example.org", status=("ok",), batch=0), [(0, 0)]),
        (RowQuery(text="milch", batch=1), []),
        (RowQuery(order="-row", limit=2), [(5, 0), (4, 0)]),
        (RowQuery(order="confidence", status=("ok",)), [(1, 1), (0, 0), (1, 0), (3, 0)]),
        (RowQuery(order="-confidence", limit=2), [(1, 0), (3, 0)]),
        (RowQuery(order="bytes", limit=2), [(0, 0), (1, 0)]),
        (RowQuery(order="-bytes", offset=7), [(5, 0)]),
        (RowQuery(order="-read_seconds", limit=1), [(1, 0)]),
        (RowQuery(order="fetch_seconds", limit=1), [(2, 0)]),
        (RowQuery(order="link", limit=1), [(5, 0)]),
        (RowQuery(offset=8), []),
        (RowQuery(offset=3, limit=2), [(1, 2), (2, 0)]),
    ],
)
def test_rows_are_filtered_and_ordered(results: RunResults, query: RowQuery, expected: list[tuple[int, int]]) -> None:
    assert places(results, query) == expected


@pytest.mark.parametrize("order", [*ORDERS, *(f"-{order}" for order in ORDERS)])
def test_pages_of_any_order_have_every_row_once(results: RunResults, order: str) -> None:
    pages = [places(results, RowQuery(order=order, offset=offset, limit=3)) for offset in (0, 3, 6)]
    in_pages = [place for page in pages for place in page]
    assert in_pages == places(results, RowQuery(order=order))
    assert sorted(in_pages) == PLACES


@pytest.mark.parametrize(("query", "total"), [(RowQuery(status=("ok",)), 3), (RowQuery(order="-confidence"), 4)])
def test_what_was_looked_at_when_time_is_up_is_said(
    results: RunResults, monkeypatch: pytest.MonkeyPatch, query: RowQuery, total: int
) -> None:
    monkeypatch.setattr(search, "_FIRST_ROWS", 4)
    found = results.rows(query, seconds=0)
    assert (found.total, found.searched, found.of, found.complete) == (total, 4, 8, False)
    assert results.rows(RowQuery(), seconds=0).complete


def test_texts_are_searched_until_time_is_up(results: RunResults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "_PIECE_BYTES", 1)
    for query in (RowQuery(text="milch"), RowQuery(text="milch", status=("ok",)), RowQuery(text="milch", order="link")):
        found = results.rows(query, seconds=0)
        assert [row.row for row in found.rows] == [0]
        assert (found.total, found.of, found.complete) == (1, 8, False)
        assert 1 <= found.searched < 8
        assert results.rows(query, seconds=None).complete


def test_asking_writes_nothing(results: RunResults) -> None:
    before = all_versions(results.run.folder)
    for query in (RowQuery(), RowQuery(text="milch"), RowQuery(order="confidence")):
        results.rows(query)
    for question in (results.overview, results.batches, results.hosts, results.distributions, results.problems):
        question()
    results.gallery()
    results.record(1, 1)
    assert all_versions(results.run.folder) == before


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"text": "x" * 254}, "text: it has more than 253 characters"),
        ({"host": "x" * 254}, "host"),
        ({"status": ("fine",)}, "status: there is no 'fine'; there are ok, no_text"),
        ({"error": ("oops",)}, "error: there is no 'oops'"),
        ({"warning": ("",)}, "warning"),
        ({"order": "text; --"}, "order: there is no 'text; --'"),
        ({"order": "--row"}, "order"),
        ({"confidence": (-0.1, None)}, "confidence: -0.1 is not from 0 to 1"),
        ({"confidence": (None, float("nan"))}, "confidence"),
        ({"batch": -1}, "batch"),
        ({"offset": -1}, "offset"),
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit: 501 is not from 1 to 500"),
    ],
)
def test_what_cannot_be_asked_is_named(values: dict[str, object], said: str) -> None:
    with pytest.raises(QueryError, match=f"^{said}"):
        RowQuery(**values)  # type: ignore[arg-type]


def test_the_database_reads_the_index_and_nothing_else(make_run: MakeRun, write_csv: WriteCsv) -> None:
    run = make_run(write_csv([["0", "a.png"]]), {"a.png": [read_page()]})
    with RunResults.open(run)._table() as asked:
        for statement in (
            f"FROM read_csv('{local_path(run.results_csv)}')",
            "FROM glob('/*')",
            "COPY (SELECT 1) TO '/tmp/out.csv'",
            "ATTACH '/tmp/database.db'",
            "SET enable_external_access = true",
            "INSTALL httpfs",
        ):
            with pytest.raises(StorageError), asked.asking() as database:
                database.execute(statement).fetchall()


def test_repeats_come_with_the_merge(any_run: MakeRun, write_csv: WriteCsv) -> None:
    links = ["a.png", "b.png", "a.png", "a.png"]
    results = RunResults.open(any_run(write_csv(enumerate(links)), {"a.png": [read_page()], "b.png": failed()}))
    expected = [(0, 0), (1, 0), (2, 0), (3, 0)] if results.merged else [(0, 0), (1, 0)]
    assert places(results, RowQuery()) == expected
    record = results.record(3, 0)
    assert (record is not None) == bool(results.merged)
    if record:
        assert (record.own["id"], record.result.row, record.preview.name) == ("3", 0, "000000000000-0000.webp")


def test_files_that_do_not_go_together_are_not_read(make_run: MakeRun, write_csv: WriteCsv) -> None:
    def asked(run: RunFolder) -> list[object]:
        results = RunResults.open(run)
        return [results.rows(RowQuery(text="some")).total, results.record(0, 0)]

    run = make_run(write_csv([["0", "a.png"]]), {"a.png": [read_page()]})
    assert asked(run)[0] == 1
    for file, damaged, said in (
        (run.results_parquet, lambda content: content + b" ", "written anew: try again"),
        (run.searched, lambda content: content + b" ", "written anew: try again"),
        (run.index, lambda content: content[: len(content) // 2], "damaged .*: clear the merge task"),
        (run.index, lambda content: b"", "damaged .*: clear the merge task"),
        (run.searched, None, "are not there: clear the merge task"),
        (run.index, None, "are not there: clear the merge task"),
    ):
        content = file.read_bytes()
        if damaged:
            file.write_bytes(damaged(content))
        else:
            file.delete()
        with pytest.raises(StorageError, match=said):
            asked(run)
        file.write_bytes(content)
