"""JSON as programs write it: lines, arrays, numbers of any length, nesting of any depth."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocr_pipeline.errors import DatasetError
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan, planned_rows
from tests.dataset.reading import rows


def read_in_blocks(text: str, size: int, **options: Any) -> list[dict[str, Any]]:
    """The rows of a JSON file that is read some bytes at a time."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("ocr_pipeline.dataset.files.BLOCK_BYTES", size)
        path = Path(folder) / "d.json"
        path.write_bytes(text.encode())
        return rows(path, image_column="image", **options)


ROW = st.fixed_dictionaries(
    {"image": st.text('a"\\[]{},: \n\u2028é', max_size=6), "n": st.lists(st.integers(0, 9), max_size=2)}
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(ROW, min_size=1, max_size=6),
    st.sampled_from([None, 0, 2]),
    st.sampled_from(["[%s]", "\ufeff\n [%s\n]\n", "%s"]),
    st.booleans(),
    st.integers(1, 60),
)
def test_objects_in_an_array_or_over_lines_are_rows(
    written: list[dict[str, Any]], indent: int | None, around: str, ascii_only: bool, size: int
) -> None:
    if around == "%s":
        indent = 2
    texts = [json.dumps(row, indent=indent, ensure_ascii=ascii_only) for row in written]
    text = around % ("\n" if around == "%s" else ",").join(texts)
    # What it is, the first block tells: enough of it to see that the first line is no object.
    assert read_in_blocks(text, size + 20) == written


def test_arrays_that_were_put_together_are_read(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text('[\n{"image":"a"},\n{"image":"b"},\n]\n\ufeff[\n{"image":"c"}]\n')
    assert [row["image"] for row in rows(tmp_path / "d.json")] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('["a.png",\n"b.png"]', 1, "it is not a JSON object"),
        ('[\n{"image":"a"},\n{"image":}\n]', 3, "it is not JSON"),
        ('[\n{"image":"a"},\n{"image":"b"', 3, "the file ends before what begins here does"),
        ('[\n{"image":"a"},\n', 3, "the file ends before what begins here does"),
        ('[\n{"image":"a"}}\n]', 2, "it is not JSON"),
        ('[\n{"image":"a"},\n7,\n{"image":"b"}\n]', 3, "it is not a JSON object"),
        ('[null,\n{"image":"a"}]', 1, "it is null, not a JSON object"),
        ('[\n{"image":"a"},\n null\n]', 3, "it is null, not a JSON object"),
        ('{\n"image":"a"\n}\n}\n', 4, "it is not JSON"),
    ],
)
def test_what_is_no_object_in_an_array_is_a_bad_row(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = tmp_path / "d.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=f"line {line}: {said}"):
        rows(path)
    if '{"image":"a"}' in text:
        assert rows(path, bad_rows="skip")[0] == {"image": "a"}


@pytest.mark.parametrize("value", ["null", "3", '"x"', "[]", "true", "[1]"])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("around", ["%s", "%s\n", " %s", "[%s]", "[\n%s\n]"])
def test_records_that_are_no_objects_are_bad_rows_wherever_they_stand(
    tmp_path: Path, value: str, place: int, around: str
) -> None:
    records = ['{"image":"a"}', '{"image":"b","v":null}']
    records.insert(place, value)
    path = tmp_path / "d.json"
    path.write_text(around % (",\n" if around.startswith("[") else "\n").join(records))
    with pytest.raises(DatasetError, match=f"line {place + 1 + around.startswith('[' + chr(10))}: it is"):
        rows(path)
    assert [row["image"] for row in rows(path, bad_rows="skip")] == ["a", "b"]


@pytest.mark.parametrize("text", ["null", "null\n", " null", "\ufeffnull", "[null]", "null\nnull\n"])
def test_null_alone_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(DatasetError, match=r"line 1: it is null, not a JSON object; .* if jq wrote it, a key"):
        rows(tmp_path / "d.json")
    with pytest.raises(DatasetError, match="it has no good row; line 1: it is null, not a JSON object"):
        rows(tmp_path / "d.json", bad_rows="skip")


@pytest.mark.parametrize("beside", ["", "no JSON\n", "null\n"])
def test_objects_of_one_line_are_rows_whatever_stands_beside_them(tmp_path: Path, beside: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"image":"a"}{"image":"b"} {"image":"c"}\n' + beside + '{"image":"d"} null\n')
    assert [row["image"] for row in rows(path, bad_rows="skip")] == ["a", "b", "c", "d"]


def test_lines_that_are_arrays_are_still_bad_rows(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('[1]\n{"image":"a"}\n')
    assert rows(tmp_path / "d.jsonl", bad_rows="skip") == [{"image": "a"}]


def test_an_object_around_all_rows_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.json").write_text('{"items":[{"u":"a"},{"u":"b"}]}')
    with pytest.raises(DatasetError, match=r"if the rows are in items, write them out, such as with jq '\.items'"):
        rows(tmp_path / "d.json")
    monkeypatch.setattr("ocr_pipeline.dataset.json_records._RECORD_BYTES", 100)
    monkeypatch.setattr("ocr_pipeline.dataset.files.BLOCK_BYTES", 50)
    (tmp_path / "d.json").write_text('{\n"items":[' + '{"u":"a"},' * 100 + "]}")
    with pytest.raises(DatasetError, match=r"line 1: what begins here goes on for .* is no row: .* jq") as refused:
        rows(tmp_path / "d.json", bad_rows="skip")
    assert not refused.value.retryable


NUMBER = st.one_of(
    st.sampled_from([0, 1.5, -2.0, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**40]),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUE = st.recursive(
    st.one_of(NUMBER, st.none(), st.just("x")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
    max_leaves=6,
)


def without_nulls(value: Any) -> Any:
    """``value`` without what has no value: objects of one column have the keys of all."""
    if isinstance(value, dict):
        return {name: without_nulls(part) for name, part in value.items() if part is not None}
    return [without_nulls(part) for part in value] if isinstance(value, list) else value


@settings(max_examples=300, deadline=None)
@example([{"a": {"a": 0}, "b": {"a": {}}}, {"a": {}, "b": {"a": None}}], 1)
@example([[None, None]], 1)
@example([[{}], [None], [{"a": {}}], [{"a": None}]], 1)
@given(st.lists(VALUE, min_size=1, max_size=6), st.integers(1, 200))
def test_no_digit_and_no_value_is_lost_whatever_stands_beside_it(values: list[Any], size: int) -> None:
    text = "".join(json.dumps({"image": "a", "v": value}) + "\n" for value in values)
    for value, row in zip(values, read_in_blocks(text, size), strict=True):
        read = row.get("v")
        if isinstance(read, str) and value != "x":
            read = json.loads(read)
        # Exact: Python compares integers with floating point numbers by their values.
        assert without_nulls(read) == without_nulls(value)


def nested(depth: int, kinds: str) -> str:
    """JSON of so many levels, lists and objects in turn as ``kinds`` says."""
    opening = ['{"a":' if kinds[level % len(kinds)] == "{" else "[" for level in range(depth)]
    closing = ["}" if kinds[level % len(kinds)] == "{" else "]" for level in reversed(range(depth))]
    return "".join([*opening, "7", *closing])


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(st.integers(1, 120), st.sampled_from([200, 999, 2_000, 50_000])), st.text("[{", min_size=1, max_size=3)
)
def test_nesting_of_any_depth_is_carried(depth: int, kinds: str) -> None:
    value = nested(depth, kinds)
    lines = f'{{"image": "[", "v": {value}, "w": "]]"}}\n{{"image": "b"}}\n'
    first, second = read_in_blocks(lines, 4 << 20)
    read = first["v"] if isinstance(first["v"], str) else json.dumps(first["v"])
    assert (read.replace(" ", ""), first["image"], first["w"], second["v"]) == (value, "[", "]]", None)


@pytest.mark.parametrize("kinds", ["{", "[", "[{"])
def test_what_is_nested_deep_can_be_planned(
    tmp_path: Path, make_plan: Callable[..., tuple[RunFolder, Plan]], kinds: str
) -> None:
    path = tmp_path / "d.jsonl"
    for depth in (30, 48, 49, 50, 62, 63, 64, 65):
        path.write_text(f'{{"image":"a","v":{nested(depth, kinds)}}}\n')
        run, plan = make_plan(path, run_id=f"{depth}")
        value = planned_rows(run, plan.batches[0])["v"][0].as_py()
        assert (value if isinstance(value, str) else json.dumps(value)).replace(" ", "") == nested(depth, kinds)


@pytest.mark.parametrize("value", ["[" * 9_000, "[" * 99 + "1,,2" + "]" * 99, "]" * 99, '{"a":' * 99 + "}" * 99])
def test_what_is_nested_deep_and_no_json_is_a_bad_row(tmp_path: Path, value: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(f'{{"image":"a"}}\n{{"image":"b","v":{value}}}\n{{"image":"c"}}\n')
    with pytest.raises(DatasetError, match="line 2: it is not JSON"):
        rows(path)
    assert [row["image"] for row in rows(path, bad_rows="skip")] == ["a", "c"]


def test_json_in_a_text_has_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"image":"a","v":[NaN,1,{"k":Infinity}]}\n{"image":"b","v":"x"}\n')
    assert json.loads(rows(path)[0]["v"], parse_constant=pytest.fail) == [None, 1, {"k": None}]


def test_marks_at_the_beginnings_of_lines_are_no_part_of_them(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('\ufeff{"image":"a"}\n\ufeff{"image":"\ufeffb"}\n')
    assert [row["image"] for row in rows(tmp_path / "d.jsonl")] == ["a", "\ufeffb"]
