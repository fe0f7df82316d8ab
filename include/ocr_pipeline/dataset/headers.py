"""What the first lines of a CSV file say: what separates its fields, and what its columns are called."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence

DELIMITERS = (",", ";", "\t", "|")
"""What separates fields; of those that fit a file equally well, the first."""

_SEPARATOR_LINE = re.compile(rb"\A\s*\"?sep=([^\r\n\"])\"?[ \t]*(?:\r\n|\r|\n)", re.IGNORECASE)
_SAMPLE_BYTES = 64 * 1024
_SAMPLE_ROWS = 50


def separator_line(start: bytes) -> tuple[bytes | None, int]:
    """The delimiter that a first line ``sep=;`` names, as Excel reads it, and how long that line is."""
    found = _SEPARATOR_LINE.match(start)
    return (found[1], found.end()) if found else (None, 0)


def find_delimiter(start: bytes) -> bytes:
    """What separates the fields of the text that begins with ``start``.

    It is what cuts most rows into as many fields as the header has; where several do, the one that cuts it into more.
    """
    sample = start[:_SAMPLE_BYTES].decode("latin-1")  # only the places of some ASCII characters matter
    whole = len(start) <= _SAMPLE_BYTES
    best, best_fit = DELIMITERS[0], (0.0, 0)
    for delimiter in DELIMITERS:
        rows = [row for row in _rows(sample, delimiter, whole=whole) if row]
        if rows and len(rows[0]) > 1:
            alike = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
            fit = (round(alike, 1), len(rows[0]))
            if fit > best_fit:
                best, best_fit = delimiter, fit
    return best.encode()


def _rows(sample: str, delimiter: str, *, whole: bool) -> list[list[str]]:
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    rows: list[list[str]] = []
    try:
        for row in reader:
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
    unique: list[str] = []
    for place, name in enumerate(names, 1):
        if not name.strip():
            name = _free(f"column_{place}", taken)
        elif name in unique:
            name = _free(f"{name}_2", taken)
        unique.append(name)
        taken.add(name)
    return unique, repeated


def _free(name: str, taken: set[str]) -> str:
    stem, _, number = name.rpartition("_")
    while name in taken:
        number = str(int(number) + 1)
        name = f"{stem}_{number}"
    return name
