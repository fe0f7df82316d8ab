"""What the first lines of a CSV file say: what separates its fields, and what its columns are called."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence

from ocr_pipeline.dataset.links import holds_links, usual_columns

DELIMITERS = (",", ";", "\t", "|")
"""What separates fields; of those that fit a file equally well, the first."""

_SEPARATOR_LINE = re.compile(rb"\A\s*\"?sep=([\t !#-/:-@\[-`{-~])\"?[ \t]*(?:\r\n|\r|\n|\Z)", re.IGNORECASE)
_SAMPLE_BYTES = 64 * 1024
_SAMPLE_ROWS = 50


def separator_line(start: bytes) -> bytes | None:
    """The delimiter that a first line ``sep=;`` names, as Excel reads it."""
    found = _SEPARATOR_LINE.match(start)
    return found[1] if found else None


def find_delimiter(start: bytes, image_column: str | None, *, escape: bool = False) -> bytes:
    """What separates the fields of the text that begins with ``start``.

    It is what gives a column of links by its name and, where several do, cuts most rows into as many fields as the
    header has. Where none does, it cuts most rows alike, gives a column with links in it, and the most columns.

    :param image_column: the column of links, where it was named.
    :param escape: whether a backslash makes a quote or a delimiter part of the value.
    """
    sample = start[:_SAMPLE_BYTES].decode("utf-8", errors="replace")
    whole = len(start) <= _SAMPLE_BYTES
    header = re.sub(r'"[^"]*"', "", next((line for line in sample.splitlines() if line), ""))
    candidates = sorted(DELIMITERS, key=lambda delimiter: delimiter not in header)
    rows = {delimiter: _rows(sample, delimiter, whole=whole, escape=escape) for delimiter in candidates}
    fits = {delimiter: _fit(rows[delimiter], image_column) for delimiter in candidates}
    # Of those that fit equally well, the first.
    return max(candidates, key=lambda delimiter: fits[delimiter]).encode()


def _fit(rows: list[list[str]], image_column: str | None) -> tuple[bool, bool, float, bool, int]:
    """How well a delimiter fits that cuts the first lines into ``rows``: the more, the better."""
    if not rows:
        return False, False, 0.0, False, 0
    names, _ = unique_names(rows[0])
    named = image_column in names if image_column else next(usual_columns(names), None) is not None
    alike = [row for row in rows[1:] if len(row) == len(names)]
    share = round(len(alike) / len(rows[1:]), 1) if rows[1:] else 1.0
    if named:
        return True, True, share, False, 0
    return False, len(names) > 1, share, any(map(holds_links, zip(*alike, strict=True))), len(names)


def _rows(sample: str, delimiter: str, *, whole: bool, escape: bool) -> list[list[str]]:
    """The first rows that are not empty."""
    lines = io.StringIO(sample, newline="")
    reader = csv.reader(lines, delimiter=delimiter, escapechar="\\" if escape else None, strict=True)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > _SAMPLE_ROWS:
                return rows
    except csv.Error:
        return rows
    return rows if whole else rows[:-1]  # the last may be cut


def unique_names(names: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    """Names for all columns, no two alike, and those names that several columns have.

    A column without a name gets ``column_3`` by its place, one that repeats a name ``name_2``.
    """
    counts = Counter(name for name in names if name.strip())
    repeated = frozenset(name for name, count in counts.items() if count > 1)
    taken = set(counts)
    given: set[str] = set()
    unique: list[str] = []
    for place, name in enumerate(names, 1):
        if not name.strip():
            name = _free(f"column_{place}", taken)
        elif name in given:
            name = _free(f"{name}_2", taken)
        unique.append(name)
        given.add(name)
        taken.add(name)
    return unique, repeated


def _free(name: str, taken: set[str]) -> str:
    stem, _, number = name.rpartition("_")
    while name in taken:
        number = str(int(number) + 1)
        name = f"{stem}_{number}"
    return name
