import bz2
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from ocr_pipeline.allowances import Allowances
from ocr_pipeline.dataset import open_dataset
from ocr_pipeline.errors import DatasetError


def rows(path: Path, column: str | None = None, limit: int | None = None) -> list[dict[str, object]]:
    dataset = open_dataset(str(path), column, Allowances.parse(str(path.parent)))
    return [row for batch in dataset.record_batches(limit) for row in batch.to_pylist()]


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
def test_text_may_be_compressed(tmp_path: Path, suffix: str, compress) -> None:
    path = tmp_path / f"d.tsv.{suffix}"
    path.write_bytes(compress(b"url\tn\nhttp://x/a,b\t1\n"))
    assert rows(path) == [{"url": "http://x/a,b", "n": "1"}]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    table = pa.table({"n": pa.array([1, None], pa.int16()), "tags": [["a"], []], "image_url": ["x", None]})
    pa.parquet.write_table(table, path)
    dataset = open_dataset(str(path), None, Allowances.parse(str(tmp_path)))
    assert dataset.schema == table.schema
    assert rows(path) == table.to_pylist()


def test_limit_takes_the_first_rows(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("image\n" + "".join(f"{n}.png\n" for n in range(100)))
    assert [row["image"] for row in rows(path, limit=3)] == ["0.png", "1.png", "2.png"]
    assert len(rows(path, limit=1000)) == 100


@pytest.mark.parametrize(
    ("header", "guessed"),
    [("id,url,image_url", "image_url"), ("Path,id", "Path"), ("id,IMAGE,url", "IMAGE"), ("img", "img")],
)
def test_the_column_is_guessed_by_its_usual_names(tmp_path: Path, header: str, guessed: str) -> None:
    path = tmp_path / "d.csv"
    path.write_text(f"{header}\n")
    assert open_dataset(str(path), None, Allowances.parse(str(tmp_path))).image_column == guessed


@pytest.mark.parametrize(
    ("name", "content", "column", "said"),
    [
        ("d.csv", b"id,picture\n", None, r"name it with image_column\. The columns are id, picture"),
        ("d.csv", b"id,picture\n", "photo", r"has no column 'photo'; it has id, picture"),
        ("d.csv", b"", None, r"it is empty"),
        ("d.csv", b"image,image\n", None, r"several columns are named image"),
        ("d.csv", b"image,ocr_text\n", None, r"need the column names ocr_text; rename yours"),
        ("d.txt", b"image\n", None, r"must end in \.csv, \.tsv or \.parquet"),
        ("d.csv.gz", b"image\n", None, r"d\.csv\.gz: "),
        ("d.parquet", b"image\n", None, r"d\.parquet: "),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, content: bytes, column: str | None, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=said):
        open_dataset(str(path), column, Allowances.parse(str(tmp_path)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"image,n\na,1\nb\n", "Expected 2 columns, got 1"),
        (b"image,n\na,1,2\n", "got 3"),
        (b"image\n\xff\xfe\n", "(?i)utf-?8"),
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
    allowances = Allowances.parse(str(tmp_path / "open"))
    with pytest.raises(DatasetError, match=f"ALLOW={tmp_path}"):
        open_dataset(str(tmp_path / "open" / "link.csv"), None, allowances)
    with pytest.raises(DatasetError, match="no such file"):
        open_dataset(str(tmp_path / "open" / "none.csv"), None, allowances)
    with pytest.raises(DatasetError, match="absolute path"):
        open_dataset("d.csv", None, allowances)
