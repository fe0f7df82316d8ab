"""Searching blocks of texts finds what Python's ``in`` finds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_pipeline.viewing import scanning
from ocr_pipeline.viewing.scanning import positions_with

END = "\x1f"
ALPHABET = st.text("ab \néß中\N{SNOWMAN}", max_size=12)


def blocks_of(texts: list[str], sizes: list[int]) -> list[tuple[int, pa.StringArray]]:
    """The texts in blocks, which are slices of one array, as a part of a file is."""
    array = pa.array(["before" + END, *(text + END for text in texts)])
    edges = sorted({0, len(texts), *(size % (len(texts) + 1) for size in sizes)})
    return [(start, array.slice(1 + start, end - start)) for start, end in pairwise(edges)]


@given(st.lists(ALPHABET, max_size=40), ALPHABET.filter(bool), st.lists(st.integers(0, 100), max_size=5))
def test_every_text_with_it_is_found_and_no_other(texts: list[str], needle: str, sizes: list[int]) -> None:
    found, stopped = positions_with(blocks_of(texts, sizes), needle.encode())
    assert stopped is None
    assert found.tolist() == [number for number, text in enumerate(texts) if needle in text]


@pytest.mark.parametrize("sparse", [1, 10**9])
def test_rare_and_frequent_places_come_to_the_same(sparse: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "_SPARSE", sparse)
    random = np.random.default_rng(3)
    texts = ["".join(random.choice(list("abcd"), size=random.integers(0, 60))) for _ in range(500)]
    for needle in ("a", "ab", "abc", "dcba", "aaaaaa", "abcdabcd"):
        found, _ = positions_with(blocks_of(texts, [100, 7, 333]), needle.encode())
        assert found.tolist() == [number for number, text in enumerate(texts) if needle in text]


def test_there_may_be_nothing_to_search() -> None:
    for blocks in ([], [(0, pa.array([END]))]):
        found, stopped = positions_with(blocks, b"ab")
        assert (found.tolist(), stopped) == ([], None)


def test_what_was_not_looked_at_begins_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "_PIECE_BYTES", 1)
    texts = ["a"] * 100
    found, stopped = positions_with(blocks_of(texts, []), b"a", deadline=0.0)
    assert stopped is not None
    assert found.tolist() == list(range(stopped))
    assert 0 < stopped < 100
