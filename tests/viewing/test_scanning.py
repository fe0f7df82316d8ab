"""Searching blocks of texts, in pieces, finds what Python's ``in`` finds."""

from __future__ import annotations

from itertools import pairwise

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_pipeline.viewing import scanning
from ocr_pipeline.viewing.scanning import texts_with

END = "\x1f"
DATABASE = duckdb.connect(":memory:")
ALPHABET = st.text("ab \n\0éß中\N{SNOWMAN}", max_size=12)


def blocks_of(texts: list[str], sizes: list[int]) -> list[pa.StringArray]:
    """The texts in blocks, which are slices of one array, as a part of a file is."""
    array = pa.array(["before" + END, *(text + END for text in texts)])
    edges = sorted({0, len(texts), *(size % (len(texts) + 1) for size in sizes)})
    return [array.slice(1 + start, end - start) for start, end in pairwise(edges)]


@given(
    st.lists(ALPHABET, max_size=40),
    ALPHABET.filter(bool),
    st.lists(st.integers(0, 100), max_size=5),
    st.sampled_from([1, 100, 1 << 20]),
)
def test_every_text_with_it_is_found_and_no_other(texts: list[str], needle: str, sizes: list[int], piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "_PIECE_BYTES", piece)
        found = texts_with(DATABASE, blocks_of(texts, sizes), needle)
    assert found.tolist() == [needle in text for text in texts]


def test_there_may_be_nothing_to_search() -> None:
    assert texts_with(DATABASE, [], "ab").tolist() == []
    assert texts_with(DATABASE, [pa.array([END])], "ab").tolist() == [False]


def test_it_stops_when_time_is_up_and_not_before_something_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "_PIECE_BYTES", 1)
    texts = ["a", "b"] * 50
    found = texts_with(DATABASE, blocks_of(texts, []), "a", deadline=0.0).tolist()
    assert found == [True, False] * (len(found) // 2) + [True] * (len(found) % 2)
    assert 0 < len(found) < 100
