"""CSV as people and programs write it: delimiters, headers, comments, escapes."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_pipeline.errors import DatasetError
from tests.dataset.reading import opened, rows


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("a;b;c,image\n1;2;3,x.png\n", {"a;b;c": "1;2;3", "image": "x.png"}),
        ("a|b|c,url\n1|2|3,x.png\n", {"a|b|c": "1|2|3", "url": "x.png"}),
        ("Artikel;Preis, netto;Bild\n1;3,50;x.png\n", {"Artikel": "1", "Preis, netto": "3,50", "Bild": "x.png"}),
        ("image\nhttps://x/a,b.png\n", {"image": "https://x/a,b.png"}),
        ("Bild\nhttps://x/a,b.png\n", {"Bild": "https://x/a,b.png"}),
        ("image;note, short;url, long\nx.png;a;b\n", {"image": "x.png", "note, short": "a", "url, long": "b"}),
    ],
)
def test_the_delimiter_is_the_one_that_gives_a_column_of_links(
    tmp_path: Path, content: str, found: dict[str, str]
) -> None:
    (tmp_path / "d.csv").write_text(content)
    assert rows(tmp_path / "d.csv") == [found]


def test_the_delimiter_gives_the_column_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("image;left,right\na.png;b,c\n")
    assert rows(tmp_path / "d.csv", image_column="right") == [{"image;left": "a.png;b", "right": "c"}]


def test_a_bad_row_among_the_first_hides_no_column(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a,b\n1\n2,x.png\n")
    assert rows(tmp_path / "d.csv", bad_rows="skip") == [{"a": "2", "b": "x.png"}]


@pytest.mark.parametrize("name", ["d.csv", "d.tsv"])
def test_a_line_that_names_the_delimiter_counts_as_a_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("sep=;\nid;image\n1;a.png\n2\n")
    with pytest.raises(DatasetError, match=r"line 4: it has 1 fields and the header 2"):
        rows(tmp_path / name)


@pytest.mark.parametrize("content", ["https://x/1.png\nhttps://x/2.png\n", "1,a.png\n2,b.png\n", "7,s3://b/k\n"])
def test_a_file_without_a_header_loses_no_row_but_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "d.csv").write_text(content)
    with pytest.raises(DatasetError, match=r"its first line names no columns but is a row, .* set format to list"):
        opened(tmp_path / "d.csv", tmp_path)


TEXT = st.text('a"\\,;#\r\n ', max_size=6)
ROWS = st.lists(st.tuples(TEXT, TEXT), max_size=12)


@settings(max_examples=200, deadline=None)
@given(ROWS, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE]), st.integers(1, 40))
def test_what_is_written_with_a_backslash_comes_back(written: list[tuple[str, str]], quoting: int, block: int) -> None:
    text = io.StringIO(newline="")
    # The csv module leaves a line end that QUOTE_NONE does not quote as it is.
    if quoting == csv.QUOTE_NONE:
        written = [(a.replace("\r", "").replace("\n", ""), b.replace("\r", "").replace("\n", "")) for a, b in written]
    writer = csv.writer(text, doublequote=False, escapechar="\\", quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([("a,", "image"), *written])
    assert read_in_blocks(text.getvalue(), block, csv_escape="backslash") == written


@settings(max_examples=200, deadline=None)
@given(ROWS, st.lists(st.text("a\",;' #", max_size=6), max_size=12), st.integers(1, 40))
def test_comments_change_nothing_whatever_is_in_them(
    written: list[tuple[str, str]], comments: list[str], block: int
) -> None:
    text = io.StringIO(newline="")
    text.write("sep=,\r\n")  # in blocks this small, the first may hold nothing but comments to tell a delimiter from
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    for number, row in enumerate([("a,", "image"), *written]):
        text.writelines(f" \t#{comment}\r\n" for comment in comments[number :: len(written) + 1])
        writer.writerow(row)
    assert read_in_blocks(text.getvalue(), block, csv_comment="#") == written


def read_in_blocks(text: str, size: int, **options: Any) -> list[tuple[str, str]]:
    """The rows of a CSV file that is read some bytes at a time, after its header."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("ocr_pipeline.dataset.files.BLOCK_BYTES", size + 20)
        path = Path(folder) / "d.csv"
        path.write_bytes(text.encode())
        return [(row["a,"], row["image"]) for row in rows(path, image_column="image", **options)]


def test_other_backslashes_stay(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('id,image,t\n1,C:\\img\\a.png,"C:\\img"\n2,\\"b\\".png,c\\,d\n')
    assert rows(tmp_path / "d.csv", csv_escape="backslash") == [
        {"id": "1", "image": "C:\\img\\a.png", "t": "C:\\img"},
        {"id": "2", "image": '"b".png', "t": "c,d"},
    ]


def test_bad_rows_between_comments_have_their_lines(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('# "a\nid,image\n# b, "\n1,a.png\n#\n2\n# c')
    with pytest.raises(DatasetError, match="line 6: it has 1 fields"):
        rows(tmp_path / "d.csv", csv_comment="#")
