"""Quotes that open no value: rows behind them are not swallowed."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocr_pipeline.errors import DatasetError
from tests.dataset.reading import opened, rows

INCHES = 'image\tsize\na.jpg\t"5 inch\nb.jpg\tfoo\nc.jpg\t12"\n'


def read_in_blocks(text: str, size: int, name: str, **options: Any) -> list[tuple[str, str]]:
    """The rows of a file with the columns ``image`` and ``t`` that is read some bytes at a time."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("ocr_pipeline.dataset.files.BLOCK_BYTES", size + 8)
        path = Path(folder) / name
        path.write_bytes(text.encode())
        return [(row["image"], row["t"]) for row in rows(path, image_column="image", **options)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("name", "delimiter"), [("d.tsv", "\t"), ("d.csv", ","), ("d.csv", ";"), ("d.csv", "\t")])
def test_an_inch_mark_swallows_no_row(tmp_path: Path, name: str, delimiter: str, end: str) -> None:
    (tmp_path / name).write_bytes(INCHES.replace("\t", delimiter).replace("\n", end).encode())
    found = [(row["image"], row["size"]) for row in rows(tmp_path / name)]
    assert found == [("a.jpg", '"5 inch'), ("b.jpg", "foo"), ("c.jpg", '12"')]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"5 inch\ta.jpg\nfoo\tb.jpg\n12"\tc.jpg\n', [('"5 inch', "a.jpg"), ("foo", "b.jpg"), ('12"', "c.jpg")]),
        ('"5" wide\ta.jpg\nfoo\tb.jpg\n', [('"5" wide', "a.jpg"), ("foo", "b.jpg")]),
        ('"5 inch\ta.jpg\nfoo\tb.jpg\n', [('"5 inch', "a.jpg"), ("foo", "b.jpg")]),
        ('foo\tb.jpg\n"5 inch\ta.jpg', [("foo", "b.jpg"), ('"5 inch', "a.jpg")]),
        ('"5"" inch\tx y\n"\tb.jpg\n', [('"5"" inch', "x y"), ('"', "b.jpg")]),
        ('"one\ntwo"\ta.jpg\n"x ""y"""\tb.jpg\n', [("one\ntwo", "a.jpg"), ('x "y"', "b.jpg")]),
        ('"5 inch\ta.jpg\n"one\ntwo"\tb.jpg\n', [("one\ntwo", "b.jpg")]),
    ],
)
def test_quotes_of_tsv(tmp_path: Path, text: str, found: list[tuple[str, str]]) -> None:
    (tmp_path / "d.tsv").write_text("t\timage\n" + text)
    assert [(row["t"], row["image"]) for row in rows(tmp_path / "d.tsv", bad_rows="skip")] == found


def test_what_cannot_be_told_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "d.tsv"
    path.write_text('image\tt\na.jpg\t"5 inch\nfoo\nc.jpg\t12"\n')
    with pytest.raises(DatasetError, match=r"line 2: a value that begins with a quote goes over .* set format to csv"):
        rows(path)
    dataset = opened(path, tmp_path, bad_rows="skip")
    assert [row for batch in dataset.record_batches() for row in batch.to_pylist()] == [{"image": "c.jpg", "t": '12"'}]
    assert dataset.rejections.count == 2
    assert rows(path, format="csv") == [{"image": "a.jpg", "t": "5 inch\nfoo\nc.jpg\t12"}]


def test_a_quoted_value_of_csv_may_hold_what_looks_like_a_row(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('image,t\na.jpg,"see:\nb.jpg,c\nand so on"\n')
    assert rows(tmp_path / "d.csv") == [{"image": "a.jpg", "t": "see:\nb.jpg,c\nand so on"}]


RAW = st.text('"ab ', max_size=5)


@settings(max_examples=300, deadline=None)
@example([('"', '"')], 1)
@given(st.lists(st.tuples(RAW, RAW), max_size=12), st.integers(1, 40))
def test_every_line_of_tsv_without_quoting_is_a_row(written: list[tuple[str, str]], size: int) -> None:
    text = "image\tt\n" + "".join(f"{image}\t{value}\n" for image, value in written)
    found = read_in_blocks(text, size, "d.tsv")
    assert len(found) == len(written)
    for row, expected in zip(found, written, strict=True):
        for value, raw in zip(row, expected, strict=True):
            unquoted = next(csv.reader([raw], strict=False), [""])[0] if raw.startswith('"') else raw
            assert value in (raw, unquoted)


TEXT = st.text('"ab, \r\n', max_size=6)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(TEXT, TEXT), max_size=12),
    st.sampled_from([("d.csv", ","), ("d.csv", ";"), ("d.tsv", "\t")]),
    st.booleans(),
    st.integers(1, 40),
)
def test_what_programs_quote_comes_back(
    written: list[tuple[str, str]], file: tuple[str, str], everything: bool, size: int
) -> None:
    text = io.StringIO(newline="")
    name, delimiter = file
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL if everything else csv.QUOTE_MINIMAL)
    writer.writerows([("image", "t"), *written])
    assert read_in_blocks(text.getvalue(), size, name) == written
