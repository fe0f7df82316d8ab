"""Writing the files of a merged run: results as CSV and Parquet, and the rows that failed.

The CSV files follow RFC 4180: CRLF ends a line, text is quoted and its quotes are doubled, a field that is empty
and not quoted has no value. They are UTF-8 without a byte order mark.
"""

from __future__ import annotations

import base64
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ocr_pipeline.errors import Status
from ocr_pipeline.merging.row_groups import RowGroups
from ocr_pipeline.merging.statistics import ResultStatistics
from ocr_pipeline.records import json_text
from ocr_pipeline.run.blocks import RESULT_SCHEMA

GROUP_ROWS = 128 * 1024
GROUP_BYTES = 64 << 20
"""Most rows and most bytes (in memory, before encoding) of a Parquet row group: what a reader holds at once."""

_FAILURE_COLUMNS = (
    "ocr_status",
    "ocr_error",
    "ocr_error_detail",
    "ocr_page",
    "ocr_http_status",
    "ocr_attempts",
)

_FAILED = pa.array([status.value for status in Status if status.failed])

_FORMULA = r"\A([=+\-@\t\r\n])"
"""How cells begin that spreadsheets take for formulas (OWASP, "CSV Injection")."""


class ResultsWriter:
    """Writes result rows to the three files at once and counts them.

    :param schema: the columns of the results: the dataset's own, then those of the contract.
    :param csv_formulas: ``guard`` puts a single quote before text in the CSV files (names of columns too) that a
        spreadsheet would take for a formula; ``keep`` leaves it as it is.
    """

    def __init__(
        self,
        schema: pa.Schema,
        *,
        csv: Path,
        parquet: Path,
        failures: Path,
        csv_formulas: Literal["keep", "guard"] = "keep",
    ) -> None:
        self.statistics = ResultStatistics()
        self._guard = csv_formulas == "guard"
        self._flat = pa.schema([_flat_field(field) for field in schema])
        self._failure_names = [n for n in schema.names if n not in RESULT_SCHEMA.names] + list(_FAILURE_COLUMNS)
        self._files = ExitStack()
        self._parquet = self._files.enter_context(RowGroups(parquet, schema, GROUP_ROWS, GROUP_BYTES))
        self._csv = self._open_csv(csv, self._flat)
        self._failures = self._open_csv(failures, pa.schema([self._flat.field(name) for name in self._failure_names]))

    def __enter__(self) -> ResultsWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.close()

    def write(self, table: pa.Table) -> None:
        """Append rows of the results."""
        if not table.num_rows:
            return
        self.statistics.add(table)
        self._parquet.write(table)
        flat = _flatten(table, self._flat)
        failed = is_failure(table["ocr_status"])
        if self._guard:
            flat = _guard(flat)
        self._csv.write_table(flat)
        self._failures.write_table(flat.select(self._names(self._failure_names)).filter(failed))

    def _open_csv(self, path: Path, schema: pa.Schema) -> pa.csv.CSVWriter:
        names = self._names(schema.names)
        schema = pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)])
        options = pa.csv.WriteOptions(quoting_style="needed", eol="\r\n")
        return self._files.enter_context(pa.csv.CSVWriter(path, schema, write_options=options))

    def _names(self, names: list[str]) -> list[str]:
        return _guarded(pa.array(names, pa.string())).to_pylist() if self._guard else names


def is_failure(statuses: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which of the rows with these statuses are placeholders rather than readings; boolean."""
    return pc.is_in(statuses, _FAILED)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


_CSV_KINDS = (
    _is_text,
    pa.types.is_primitive,  # numbers, booleans, dates and times
    pa.types.is_decimal,
    pa.types.is_null,
)


def _flat_field(field: pa.Field) -> pa.Field:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    flat = any(fits(kind) for fits in _CSV_KINDS) and not pa.types.is_interval(kind)
    return pa.field(field.name, kind if flat else pa.string(), field.nullable)


def _flatten(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table as CSV can hold it: dictionary values as themselves, nested values as JSON, bytes as base64."""
    columns = []
    for column, field in zip(table.columns, schema, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if column.type != field.type:
            column = pa.chunked_array([pa.array(map(_as_text, column.to_pylist()), pa.string())])
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, (list, dict)):
        return json_text(value, _as_text)
    return str(value)


def _guard(table: pa.Table) -> pa.Table:
    columns = [_guarded(column) if _is_text(column.type) else column for column in table.columns]
    return pa.Table.from_arrays(columns, names=_guarded(pa.array(table.column_names, pa.string())).to_pylist())


def _guarded(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.replace_substring_regex(texts, _FORMULA, r"'\1")
