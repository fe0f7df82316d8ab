"""What a run did, for the person at the terminal."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ocr_demo import word_f1
from ocr_pipeline.run.folder import RunFolder

TRUE_TEXT = "true_text"
"""A dataset's column with the text that is really there; when it has one, accuracy is shown."""

_COLUMNS = frozenset({"ocr_status", "ocr_text", "ocr_confidence", "ocr_error"}) | frozenset(
    {"language", "expected_status", "expected_error", TRUE_TEXT}
)
_SAMPLES = 4
_ROWS = 1024


def print_summary(run: RunFolder, done: str, console: Console) -> None:
    """Print counts, what was done, accuracy when the truth is known, a few texts, and where the results are.

    :param done: how many images were read, and how long that took.
    """
    summary = json.loads(run.summary.read_bytes())
    samples = _Samples()
    # Not the CSV file, whose texts may be guarded from spreadsheets.
    with run.results_parquet.reading() as path, pyarrow.parquet.ParquetFile(path) as results:
        columns = [name for name in results.schema_arrow.names if name in _COLUMNS]
        for batch in results.iter_batches(_ROWS, columns=columns):
            for row in batch.to_pylist():
                samples.add(row)
    console.print("Result rows", style="bold")
    console.print(_counts(summary))
    _print_figures(summary, done, samples, console)
    if samples.table().row_count:
        console.print("Some of the text", style="bold")
        console.print(samples.table())
    console.print("Results", style="bold")
    for stored in (run.results_csv, run.results_parquet, run.failures_csv, run.report, run.summary):
        console.print(Text(f"  {_short(str(stored))}"), soft_wrap=True)


class _Samples:
    """What the summary shows of the results, gathered in one pass."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []
        self.expected = self.as_expected = 0
        self._rows: dict[str, tuple[str, float]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Take in one result row."""
        status, text = row["ocr_status"], row["ocr_text"] or ""
        if row.get(TRUE_TEXT):
            self.pairs.append((text, str(row[TRUE_TEXT])))
        if row.get("expected_error"):
            self.expected += 1
            self.as_expected += (status, row["ocr_error"]) == (row.get("expected_status"), row["expected_error"])
        kind = str(row.get("language") or len(self._rows))
        if status == "ok" and len(self._rows) < _SAMPLES and kind not in self._rows and text.count("\n") > 1:
            self._rows[kind] = (text, row["ocr_confidence"])

    def table(self) -> Table:
        """A few texts that were read."""
        table = Table(show_header=False, box=None)
        for text, confidence in self._rows.values():
            table.add_row(f"{confidence:.2f}", Text(_printable(text), no_wrap=True, overflow="ellipsis"))
        return table


def _counts(summary: Mapping[str, Any]) -> Table:
    table = Table(show_header=False, box=None)
    for status, count in summary["statuses"].items():
        table.add_row(status, f"{count:,}")
    for error, count in summary["errors"].items():
        table.add_row(f"  {error}", f"{count:,}", style="dim")
    for warning, count in summary["warnings"].items():
        table.add_row(f"{warning}, a warning", f"{count:,}", style="yellow")
    return table


def _print_figures(summary: Mapping[str, Any], done: str, samples: _Samples, console: Console) -> None:
    models = ", ".join(summary["models"])
    console.print(f"\n{done}, {models}" if models else f"\n{done}", soft_wrap=True)
    if samples.pairs:
        accuracy = word_f1(samples.pairs)
        console.print(f"Word accuracy (F1) over {len(samples.pairs)} rows with known text: {accuracy:.3f}")
    if samples.expected:
        console.print(f"Bad entries that ended as they should: {samples.as_expected} of {samples.expected}")
    console.print()


def _printable(text: str) -> str:
    """Text from images is anybody's: nothing in it may steer the terminal."""
    line = " | ".join(text.splitlines())
    return "".join("?" if unicodedata.category(c).startswith("C") else c for c in line)


def _short(path: str) -> str:
    return path.removeprefix(f"{Path.cwd()}/")
