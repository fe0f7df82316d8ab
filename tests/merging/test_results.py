import csv
import datetime
import json
import re
import uuid
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from ocr_pipeline.merging import results
from ocr_pipeline.merging.results import RESULT_SCHEMA, ResultsWriter


def write(folder: Path, own: Mapping[str, object], tables: int = 1, **options: Any) -> dict[str, Path]:
    """Writes ``own`` columns beside results that failed."""
    schema = pa.schema([*pa.table(own).schema, *RESULT_SCHEMA])
    rows = pa.table(own).num_rows
    values: dict[str, Any] = {field.name: None if field.nullable else 0 for field in RESULT_SCHEMA}
    values |= {"ocr_status": "read_failed", "ocr_text": "", "ocr_lines": "[]", "ocr_error": "engine_error"}
    ours = [pa.array([values[field.name]] * rows, field.type) for field in RESULT_SCHEMA]
    table = pa.Table.from_arrays([*pa.table(own).columns, *ours], schema=schema)
    paths = {name: folder / name for name in ("csv", "parquet", "failures")}
    with ResultsWriter(
        schema, csv=paths["csv"], parquet=paths["parquet"], failures=paths["failures"], **options
    ) as writer:
        for _ in range(tables):
            writer.write(table)
    assert writer.statistics.errors == {"engine_error": rows * tables}
    assert writer.statistics.failed == rows * tables
    return paths


def test_csv_is_as_rfc_4180_says(tmp_path: Path) -> None:
    own = {"n": [1, None], 'say "x"': ["a,\nb", ""], "t": ['"ü"\r\n', None]}
    paths = write(tmp_path, own)
    empty = b","
    head = b'"n","say ""x""","t",'
    for name in ("csv", "failures"):
        content = paths[name].read_bytes()
        assert content.startswith(head)
        assert b'\r\n1,"a,\nb","""\xc3\xbc""\r\n",' in content
        assert b'\r\n,"",' + empty in content
        assert content.endswith(b"\r\n")


@pytest.mark.parametrize("first", list("=+-@\t\r\n"))
def test_cells_that_spreadsheets_run_are_guarded_when_asked(tmp_path: Path, first: str) -> None:
    own = {"=a": [f"{first}1+1", "a=1", None, "", f"a\n{first}"], "n": [-1, 1, 2, 3, 4]}
    paths = write(tmp_path, own, csv_formulas="guard")
    read = pa.csv.ParseOptions(newlines_in_values=True)
    for name in ("csv", "failures"):
        table = pa.csv.read_csv(paths[name], parse_options=read, convert_options=pa.csv.ConvertOptions(
            strings_can_be_null=True, null_values=[""], quoted_strings_can_be_null=False
        ))  # fmt: skip
        assert table["'=a"].to_pylist() == [f"'{first}1+1", "a=1", None, "", f"a\n{first}"]
        assert table["n"].to_pylist() == [-1, 1, 2, 3, 4]
    assert pa.parquet.read_table(paths["parquet"])["=a"].to_pylist() == own["=a"]
    kept = write(tmp_path, own)["csv"].read_bytes()
    assert b'"=a"' in kept
    assert f'\r\n"{first}1+1",-1,'.encode() in kept


def test_every_type_that_parquet_has_comes_out_of_csv(tmp_path: Path) -> None:
    own = {
        "bytes": pa.array([b"\0\xff"]),
        "list": pa.array([[b"\0", None]]),
        "struct": pa.array([{"a": Decimal("1.5"), "b": datetime.date(2026, 1, 2)}]),
        "word": pa.array(["=x"]).dictionary_encode(),
        "number": pa.array([7]).dictionary_encode(),
        "time": pa.array([datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC)]),
        "lasting": pa.array([datetime.timedelta(seconds=90)]),
        "price": pa.array([Decimal("2.50")]),
        "half": pa.array([np.float16(0.5)]),
        "id": pa.array([uuid.UUID(int=1).bytes], pa.uuid()),
        "view": pa.array(["v"], pa.string_view()),
        "nothing": pa.nulls(1),
    }
    paths = write(tmp_path, own, csv_formulas="guard")
    line = paths["csv"].read_text().splitlines()[1]
    expected = (
        '"AP8=","[""AA=="", null]","{""a"": ""1.5"", ""b"": ""2026-01-02""}","\'=x",7,2026-01-02 03:00:00.000000Z,'
        '90000000,2.50,0.5,"00000000-0000-0000-0000-000000000001","v",,"read_failed"'
    )
    assert line.startswith(expected)


def test_row_groups_have_a_size_of_their_own_and_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "GROUP_ROWS", 10)
    own = {"n": list(range(4))}
    parquet = pa.parquet.ParquetFile(write(tmp_path, own, tables=7)["parquet"])
    groups = [parquet.metadata.row_group(index) for index in range(parquet.num_row_groups)]
    assert [group.num_rows for group in groups] == [10, 2, 10, 2, 4]
    statistics = groups[0].column(0).statistics
    assert (statistics.min, statistics.max, statistics.null_count) == (0, 3, 0)
    assert parquet.read()["n"].to_pylist() == own["n"] * 7
    assert re.fullmatch("ZSTD", groups[0].column(0).compression)


def test_row_groups_of_long_texts_have_fewer_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "GROUP_BYTES", 10_000)
    parquet = pa.parquet.ParquetFile(write(tmp_path, {"text": ["x" * 3000] * 7})["parquet"])
    assert [parquet.metadata.row_group(index).num_rows for index in range(parquet.num_row_groups)] == [3, 3, 1]


def test_what_is_no_number_is_null_in_json(tmp_path: Path) -> None:
    nested = pa.array([[1.5, float("nan"), float("-inf")]])
    deep = pa.array([{"a": [{"b": float("inf"), "c": float("nan")}], "d": 2.5}])
    paths = write(tmp_path, {"nested": nested, "deep": deep, "alone": pa.array([float("nan")])})
    with paths["csv"].open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert json.loads(row["nested"], parse_constant=pytest.fail) == [1.5, None, None]
    assert json.loads(row["deep"], parse_constant=pytest.fail) == {"a": [{"b": None, "c": None}], "d": 2.5}
