"""Datasets of every kind on a local disk, and what is odd about them."""

import bz2
import csv
import gzip
import io
import json
import random
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_pipeline.dataset import local_folders, split_entries
from ocr_pipeline.dataset.text import RecordCutter
from ocr_pipeline.errors import DatasetError, DatasetMissingError
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from tests.dataset.reading import opened, rows


def test_csv_values_stay_the_text_they_are(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes('id,größe,image\n007,NA,a.png\n,null,"b,""x""\nc.png"\n1e3, ,\n'.encode())
    assert rows(path) == [
        {"id": "007", "größe": "NA", "image": "a.png"},
        {"id": "", "größe": "null", "image": 'b,"x"\nc.png'},
        {"id": "1e3", "größe": " ", "image": ""},
    ]


def test_an_empty_line_is_a_row_where_there_is_one_column(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("image\na.png\n\nb.png\n")
    (tmp_path / "two.csv").write_text("id,image\n1,a.png\n\n2,b.png\n")
    assert [row["image"] for row in rows(tmp_path / "one.csv")] == ["a.png", "", "b.png"]
    assert [row["image"] for row in rows(tmp_path / "two.csv")] == ["a.png", "b.png"]


def test_bom_and_windows_line_ends_are_no_part_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(b"\xef\xbb\xbfimage,n\r\na.png,1\r\n")
    assert rows(path) == [{"image": "a.png", "n": "1"}]


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress)])
def test_text_may_be_compressed(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"d.tsv.{suffix}"
    path.write_bytes(compress(b"url\tn\nhttp://x/a,b\t1\n"))
    assert rows(path) == [{"url": "http://x/a,b", "n": "1"}]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    table = pa.table({"n": pa.array([1, None], pa.int16()), "tags": [["a"], []], "image_url": ["x", None]})
    pa.parquet.write_table(table, path)
    dataset = opened(path, tmp_path)
    assert dataset.schema == table.schema
    assert rows(path) == table.to_pylist()


def test_limit_takes_the_first_rows(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("image\n" + "".join(f"{n}.png\n" for n in range(100)))
    assert [row["image"] for row in rows(path, limit=3)] == ["0.png", "1.png", "2.png"]
    assert len(rows(path, limit=1000)) == 100


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("Artikel;Preis, netto;image\n1;3,50;a.png\n", ["1", "3,50", "a.png"]),
        ("id\tname, first\timage\n1\ta, b\ta.png\n", ["1", "a, b", "a.png"]),
        ("id|a;b|image\n1|c;d|a.png\n2|c|b.png\n", ["1", "c;d", "a.png"]),
        ('id,"x;y;z",image\n1,2,a.png\n', ["1", "2", "a.png"]),
        ("id,image\n1;2;3,a.png\n", ["1;2;3", "a.png"]),
        ("sep=;\nid;image\n1;a.png\n", ["1", "a.png"]),
        ('"sep=|"\r\nid|image\r\n1,5|a.png\r\n', ["1,5", "a.png"]),
        ("\ufeffsep=\t\nid\timage\n1\ta.png\n", ["1", "a.png"]),
    ],
)
def test_the_delimiter_is_told_from_the_first_lines(tmp_path: Path, content: str, found: list[str]) -> None:
    (tmp_path / "d.csv").write_text(content)
    assert list(rows(tmp_path / "d.csv")[0].values()) == found


def test_columns_without_a_name_or_with_another_one_s_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("id,,image,price,price,, ,price_2\n1,2,a.png,4,5,6,7,8\n")
    assert rows(tmp_path / "d.csv") == [
        {
            "id": "1", "column_2": "2", "image": "a.png", "price": "4", "price_3": "5", "column_6": "6",
            "column_7": "7", "price_2": "8",
        }
    ]  # fmt: skip


def test_comments_and_escaped_quotes_are_read_on_request(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text('# made today\nid,image\n#1,no.png\n2,"a \\"b\\" \\\\.png"\n  # end, of it\n3,"#\n#4"\n')
    assert rows(path, csv_comment="#", csv_escape="backslash") == [
        {"id": "2", "image": 'a "b" \\.png'},
        {"id": "3", "image": "#\n#4"},
    ]
    with pytest.raises(DatasetError, match="The columns are # made today"):
        rows(path)


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (['{"image":"a","v":18446744073709551615}'], "18446744073709551615"),
        (['{"image":"a","v":-99999999999999999999999}', '{"image":"b","v":1}'], "-99999999999999999999999"),
        (['{"image":"a","v":[9223372036854775808]}'], "[9223372036854775808]"),
        (['{"image":"a","v":9223372036854775807}'], 9223372036854775807),
        (['{"image":"a","v":{}}', '{"image":"b","v":{}}'], "{}"),
        (['{"image":"a","v":[{}]}'], "[{}]"),
        (['{"image":"a","v":"\\ud83d"}'], "\ufffd"),
        (['{"image":"a","v":"\\ud83d\\ude00"}'], "\U0001f600"),
        (['{"image":"a","v":' + "[" * 200 + "]" * 200 + "}"], "[" * 200 + "]" * 200),
        (['{"image":"a","v":"[[[[[[[[[[[[[[[[[[[["}', '{"image":"b","v":"x"}'], "[" * 20),
    ],
)
def test_json_that_no_table_holds_is_text(tmp_path: Path, lines: list[str], value: object) -> None:
    (tmp_path / "d.jsonl").write_text("\n".join(lines))
    assert rows(tmp_path / "d.jsonl")[0]["v"] == value


def test_marks_inside_a_list_of_several_files_are_no_part_of_links(tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text("\ufeffa.png\n\ufeffb.png\nc.png\n")
    assert [row["image_link"] for row in rows(tmp_path / "d.txt")] == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("more", [b"\0" * 512, gzip.compress(b"b.png\n"), gzip.compress(b"b.png\n") + b"\0" * 100])
def test_gzip_may_have_several_members_and_zeros_behind_them(tmp_path: Path, more: bytes) -> None:
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"a.png\n") + more)
    links = [row["image_link"] for row in rows(tmp_path / "d.txt.gz")]
    assert links == (["a.png", "b.png"] if b"\x1f\x8b" in more else ["a.png"])


@pytest.mark.parametrize("place", [2, 3, 12, 40, 300, 5_000, -6, -1])
def test_damaged_gzip_is_an_error_that_names_the_file(tmp_path: Path, place: int) -> None:
    packed = bytearray(gzip.compress(random.Random(place).randbytes(20_000).hex().encode()))
    packed[place] ^= 0xFF
    (tmp_path / "d.txt.gz").write_bytes(packed)
    with pytest.raises(DatasetError, match=r"d\.txt\.gz: it (is damaged|ends too early)") as refused:
        rows(tmp_path / "d.txt.gz")
    assert not refused.value.retryable


def test_brackets_in_the_name_of_a_folder_are_no_glob(tmp_path: Path) -> None:
    folder = tmp_path / "[2024]"
    folder.mkdir()
    (folder / "a.csv").write_text("image\n1.png\n")
    (folder / "b.csv").write_text("image\n2.png\n")
    assert len([*opened(folder / "a.csv", folder).record_batches()]) == 1
    dataset = opened(folder / "*.csv", folder)
    assert dataset.base == str(folder)
    assert [row["image"] for batch in dataset.record_batches() for row in batch.to_pylist()] == ["1.png", "2.png"]


@pytest.mark.parametrize(
    ("name", "content", "column", "said"),
    [
        ("d.csv", b"id,colour\n", None, r"name it with image_column\. The columns are id, colour"),
        ("d.csv", b"id,picture\n", "photo", r"has no column 'photo'; it has id, picture"),
        ("d.csv", b"id,Image Src\n", "image_src", r"has no column 'image_src'; did you mean Image Src\?"),
        ("d.csv", b"", None, r"it is empty"),
        ("d.csv", b"image,image\n", None, r"several columns are named 'image'"),
        ("d.csv", b"id,image,Image,image\n", None, r"several columns are named 'image', so it is not clear"),
        ("d.xlsx", b"PK", None, r"d\.xlsx: its name does not say what it is; it may end in \.csv"),
        ("d.csv.gz", gzip.compress(b"image\n" * 1000)[:30], None, r"d\.csv\.gz: it ends too early"),
        ("d.csv", b'"image\n', None, r"d\.csv, line 1: a quote opens that is never closed"),
        ("d.csv", "größe,image\n".encode("cp1252"), None, r"line 1: not UTF-8 text .* set encoding"),
        ("d.jsonl", b"", None, r"it is empty; it must hold JSON objects"),
        ("d.parquet", b"image\n", None, r"d\.parquet: "),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, content: bytes, column: str | None, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=said):
        opened(path, tmp_path, image_column=column)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'image,n\n"a\n\n",1\nb\n', "line 5: it has 1 fields and the header 2"),
        (b"image,n\na,1,2\n", "line 2: it has 3 fields"),
        (b"image\na\n\xff\xfe\n", "line 3: it is not UTF-8"),
        (b'image,n\na,1\n"b,2\nc,3\n', "line 3: a quote opens that is never closed"),
        (b'image\na\n"b\n"c.png"\n', "line 3: text follows a closing quote"),
    ],
)
def test_a_row_that_cannot_be_read_ends_the_reading_with_its_place(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=said):
        rows(path)


def test_numbers_are_not_links(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    pa.parquet.write_table(pa.table({"image": [1, 2]}), path)
    with pytest.raises(DatasetError, match=r"column 'image' holds int64, not links"):
        rows(path)


def test_only_allowed_folders_are_read(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "d.csv").write_text("image\n")
    (tmp_path / "open" / "link.csv").symlink_to(tmp_path / "d.csv")
    for dataset in ("open/link.csv", "d.csv", "absent.csv", "*.csv", "."):
        with pytest.raises(DatasetError, match=f"ALLOW={tmp_path}"):
            opened(f"{tmp_path}/{dataset}", tmp_path / "open")
    with pytest.raises(DatasetError, match=f"ALLOW={tmp_path}"):
        opened(f"{tmp_path}/open/*.csv", tmp_path / "open")
    with pytest.raises(DatasetError, match="absolute path"):
        opened("d.csv", tmp_path)


@pytest.mark.parametrize("name", ["d.csv", "*.csv", "d?.parquet"])
def test_a_dataset_that_is_not_there_is_its_own_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetMissingError, match=r"no such file|no file matches"):
        opened(tmp_path / name, tmp_path)


def test_json_lines_keep_types_and_gather_keys(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"url": "a", "n": 1, "day": "2026-01-02"}\n\n{"url": "b", "n": 2.5, "tags": ["ä"]}\n{"url": null}')
    assert rows(path) == [
        {"url": "a", "n": 1.0, "day": "2026-01-02", "tags": None},
        {"url": "b", "n": 2.5, "day": None, "tags": ["ä"]},
        {"url": None, "n": None, "day": None, "tags": None},
    ]


def test_values_of_several_kinds_become_text(tmp_path: Path) -> None:
    path = tmp_path / "d.ndjson"
    path.write_text('{"url": "a", "id": 7}\n{"url": "b", "id": "x"}\n{"url": "c", "id": {"k": [1]}}\n')
    assert [row["id"] for row in rows(path)] == ["7", "x", '{"k": [1]}']


def test_a_list_has_a_link_a_line(tmp_path: Path) -> None:
    path = tmp_path / "links.txt"
    path.write_bytes(b'https://x/a,b.png\r\n\r\n"quoted".png\r\nlast.png')
    links = ["https://x/a,b.png", '"quoted".png', "last.png"]
    assert rows(path) == [{"image_link": link} for link in links]
    assert rows(path, image_column="photo") == [{"photo": link} for link in links]


def test_a_folder_is_its_images_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "sub/c.pdf", "notes.txt", ".hidden.png", ".git/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    dataset = opened(tmp_path, tmp_path)
    links = [row["image_link"] for batch in dataset.record_batches() for row in batch.to_pylist()]
    assert (links, dataset.base) == (["a.JPG", "b.png", "sub/c.pdf"], str(tmp_path))
    pattern = opened(f"{tmp_path}/**/*.p*", tmp_path)
    assert [row["image_link"] for b in pattern.record_batches() for row in b.to_pylist()] == ["b.png", "sub/c.pdf"]
    assert pattern.base == str(tmp_path)
    with pytest.raises(DatasetError, match="matches images and other files"):
        opened(f"{tmp_path}/*.*", tmp_path)


def test_a_folder_without_images_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissingError, match="no images in this folder"):
        opened(tmp_path, tmp_path)


def test_several_files_are_one_dataset(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("id,image\n1,a\n")
    (tmp_path / "2.tsv").write_text("image\tid\nb\t2\n")
    pa.parquet.write_table(pa.table({"image": ["c"], "id": [3]}), tmp_path / "3.parquet")
    expected = [{"id": "1", "image": "a"}, {"id": "2", "image": "b"}, {"id": "3", "image": "c"}]
    for dataset in (f"{tmp_path}/1.csv, {tmp_path}/2.tsv\n{tmp_path}/3.parquet", f"{tmp_path}/?.*"):
        found = opened(dataset, tmp_path)
        assert [row for batch in found.record_batches() for row in batch.to_pylist()] == expected
        assert found.base == str(tmp_path)
    assert [row["image"] for batch in found.record_batches(2) for row in batch.to_pylist()] == ["a", "b"]


def test_files_with_other_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("id,image\n1,a\n")
    (tmp_path / "2.csv").write_text("image,n\nb,2\n")
    with pytest.raises(DatasetError, match=r"2\.csv lacks id and has n besides, compared with .*1\.csv"):
        opened(f"{tmp_path}/*.csv", tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "kind", "values"),
    [
        (pa.array([2**53 + 1]), pa.array([1.5]), pa.string(), [str(2**53 + 1), "1.5"]),
        (pa.array([5]), pa.array([1.5]), pa.float64(), [5.0, 1.5]),
        (pa.array([2**64 - 1], pa.uint64()), pa.array([-1]), pa.string(), [str(2**64 - 1), "-1"]),
        (pa.array([7], pa.uint64()), pa.array([-1]), pa.int64(), [7, -1]),
        (pa.array([Decimal("1.25")]), pa.array([2**60]), pa.string(), ["1.25", str(2**60)]),
        (pa.array([{"a": [1, float("nan")]}]), pa.array([1]), pa.string(), ['{"a": [1.0, null]}', "1"]),
        (pa.array([[b"\xff", None]]), pa.array(["x"]), pa.string(), ['["\\\\xff", null]', "x"]),
        (pa.array(["y"], pa.string_view()), pa.array(["x"]), pa.string(), ["y", "x"]),
    ],
)
def test_files_whose_types_differ_lose_no_value(
    tmp_path: Path, one: pa.Array, other: pa.Array, kind: pa.DataType, values: list[object]
) -> None:
    for name, column in (("a", one), ("b", other)):
        pa.parquet.write_table(pa.table({"image": [name], "v": column}), tmp_path / f"{name}.parquet")
    dataset = opened(tmp_path / "*.parquet", tmp_path)
    assert dataset.schema.field("v").type == kind
    assert [row["v"] for batch in dataset.record_batches() for row in batch.to_pylist()] == values


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.string_view()),
        pa.large_list(pa.binary_view()),
        pa.struct([("a", pa.list_(pa.string_view()))]),
        pa.map_(pa.string(), pa.string_view()),
    ],
)
def test_views_inside_values_can_be_taken_row_by_row(tmp_path: Path, kind: pa.DataType) -> None:
    value: Any = {"a": ["x"]} if pa.types.is_struct(kind) else [("k", "x")] if pa.types.is_map(kind) else ["x"]
    table = pa.table({"image": ["a.png", "b.png"], "v": pa.array([value, None], kind)})
    pa.parquet.write_table(table, tmp_path / "d.parquet")
    dataset = opened(tmp_path / "d.parquet", tmp_path)
    read = pa.Table.from_batches(dataset.record_batches(), dataset.schema)
    assert read.take([1, 0])["v"].to_pylist() == table["v"].to_pylist()[::-1]


def test_places_are_told_apart() -> None:
    dataset = "/a,b.csv, /c.csv,s3://x/d.csv\n https://x/y?ids=1,2,3 ,~/e*.csv"
    assert split_entries(dataset) == ["/a,b.csv", "/c.csv", "s3://x/d.csv", "https://x/y?ids=1,2,3", "~/e*.csv"]
    assert local_folders("/a/b*/c.csv,/d/e.csv,s3://x/y") == [Path("/a"), Path("/d")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_byte_order_marks_say_the_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes("größe,image\r\nü,ä.png\r\n".encode(encoding))
    assert rows(path) == rows(path, encoding="cp1252") == [{"größe": "ü", "image": "ä.png"}]


def test_the_encoding_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes("größe,image\nü,ä.png\n".encode("cp1252"))
    assert rows(path, encoding="cp1252") == [{"größe": "ü", "image": "ä.png"}]
    path.write_bytes("名前,image\n表,a.png\n".encode("shift_jis") + b"\x81")
    with pytest.raises(DatasetError, match="line 3: not shift_jis text"):
        rows(path, encoding="shift_jis")


@pytest.mark.parametrize("delimiter", ";\t|")
def test_other_delimiters_are_told_from_the_first_line(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "d.csv"
    path.write_text(f'"a,b"{delimiter}image\n1,5{delimiter}x.png\n')
    assert rows(path) == [{"a,b": "1,5", "image": "x.png"}]


def test_compression_and_parquet_are_found_by_content(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(gzip.compress(b"image\na\n") + gzip.compress(b"b\n"))
    assert rows(tmp_path / "d.csv") == [{"image": "a"}, {"image": "b"}]
    (tmp_path / "e.csv.gz").write_text("image\na\n")
    assert rows(tmp_path / "e.csv.gz") == [{"image": "a"}]
    pa.parquet.write_table(pa.table({"image": ["a"]}), tmp_path / "plain")
    (tmp_path / "packed").write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    assert rows(tmp_path / "plain") == rows(tmp_path / "packed") == [{"image": "a"}]
    with pa.CompressedOutputStream(str(tmp_path / "f.zst"), "zstd") as file:
        file.write(b'{"image": "a"}')
    assert rows(tmp_path / "f.zst", format="jsonl") == [{"image": "a"}]


def test_columns_with_our_names_make_way(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("ocr_text,image,dataset_ocr_text,ocr_row,ocr_note\n1,a,2,3,4\n")
    dataset = opened(path, tmp_path)
    assert dataset.renamed == {"ocr_row": "dataset_ocr_row", "ocr_text": "dataset_dataset_ocr_text"}
    assert rows(path) == [
        {
            "dataset_dataset_ocr_text": "1",
            "image": "a",
            "dataset_ocr_text": "2",
            "dataset_ocr_row": "3",
            "ocr_note": "4",
        }
    ]
    assert opened(path, tmp_path, image_column="ocr_text").image_column == "dataset_dataset_ocr_text"


BAD_CSV = b'image,n\na,1\nb\n"c\nd,4\n"e"f,5\n\xff,6\n\ng,"x ""y"""\n"h\n'
BAD_JSON = b'{"image": "a"}\n{"image": \n[1]\n\n{"image": "\xff"}\n{"image": "b"}\n'


@pytest.mark.parametrize(
    ("name", "content", "good", "bad"),
    [
        ("d.csv", BAD_CSV, ["a", "d", "g"], [(3, "b"), (4, '"c'), (6, '"e"f,5'), (7, "\\xff,6"), (10, '"h')]),
        ("d.jsonl", BAD_JSON, ["a", "b"], [(2, '{"image": '), (3, "[1]"), (5, '{"image": "\\xff"}')]),
        ("d.txt", b"a\n\xff\nb", ["a", "b"], [(2, "\\xff")]),
    ],
)
def test_bad_rows_are_left_out_and_noted_when_asked(
    tmp_path: Path, name: str, content: bytes, good: list[str], bad: list[tuple[int, str]]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    dataset = opened(path, tmp_path, bad_rows="skip", image_column="image")
    assert [row["image"] for batch in dataset.record_batches() for row in batch.to_pylist()] == good
    assert dataset.rejections.count == len(bad)
    assert dataset.rejections.notes is not None
    with dataset.rejections.notes.open(newline="") as file:
        noted = list(csv.DictReader(file))
    assert sorted((int(row["line"]), row["text"]) for row in noted) == bad
    assert {row["file"] for row in noted} == {str(path)}
    assert all(row["reason"] for row in noted)


def test_bad_rows_are_in_the_plan_and_the_run(tmp_path: Path, make_plan: Callable[..., tuple[RunFolder, Plan]]) -> None:
    path = tmp_path / "d.csv"
    path.write_text("image,ocr_text\na,1\nb\n")
    run, plan = make_plan(path, bad_rows="skip")
    assert (plan.rows, plan.rejected, plan.renamed) == (1, 1, {"ocr_text": "dataset_ocr_text"})
    assert run.rejected_csv.read_bytes().decode().splitlines()[1].startswith(f"{path},3,")
    path.write_text("image\na\n")
    run, plan = make_plan(path, bad_rows="skip", run_id="good")
    assert (plan.rejected, run.rejected_csv.exists()) == (0, False)


TEXT = st.text(alphabet=st.one_of(st.sampled_from('ab",;\r\n\t \ufeff\x00'), st.characters(codec="utf-8")), max_size=8)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.tuples(*[TEXT] * n), max_size=12)), st.integers(1, 40))
def test_a_written_csv_comes_back_row_for_row(written: list[tuple[str, ...]], block: int) -> None:
    columns = len(written[0]) if written else 1
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([f"image{n}" for n in range(columns)])
    writer.writerows(written)
    content = text.getvalue().encode()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("ocr_pipeline.dataset.files.BLOCK_BYTES", block + 20)
        path = Path(folder) / "d.csv"
        path.write_bytes(content)
        assert [tuple(row.values()) for row in rows(path, image_column="image0")] == written


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='a",\r\n', max_size=40), st.integers(1, 20))
def test_no_byte_of_a_csv_is_lost_whatever_its_quotes(text: str, block: int) -> None:
    content = text.encode()
    refused: list[bytes] = []
    blocks = (content[start : start + block] for start in range(0, len(content), block))
    cutter = RecordCutter(blocks, b",")
    taken = [(piece.line, piece.content) for piece in cutter.pieces(lambda _, __, bad: refused.append(bad))]
    assert sum(len(piece) for _, piece in taken) + sum(map(len, refused)) == len(content)
    for _, piece in taken:
        # What was taken, a strict reader takes as well.
        list(csv.reader(io.StringIO(piece.decode(), newline=""), strict=True))


def test_json_text_comes_back(tmp_path: Path) -> None:
    written = [{"image": f"{chr(n)}\u2028\x85"} for n in range(1, 300)]
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in written))
    assert rows(path) == written
