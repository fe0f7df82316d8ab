"""Result rows as CSV: how checkpoints and staged batches hold them.

UTF-8, one header line, None as an empty field. Characters that CSV cannot carry are replaced.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from ocr_pipeline.errors import StagedBatchError, Status
from ocr_pipeline.records import RESULT_COLUMNS, ResultRow
from ocr_pipeline.storage.folders import StoredFile

_FIELDS = tuple(field.name for field in fields(ResultRow))
_NAMES = ("ocr_row", *(column.name for column in RESULT_COLUMNS))
_PARSERS: dict[str, Callable[[str], Any]] = {"row": int} | {column.field: column.type for column in RESULT_COLUMNS}
_NULLABLE = {column.field for column in RESULT_COLUMNS if column.nullable}
_LINE_END = "\r\n"  # with "\n" alone, a "\r" in a value would not be quoted

HEADER = f"{','.join(_NAMES)}{_LINE_END}".encode()
"""The first line of every such file."""

# A page of text may be longer than the reader's default limit of a field.
csv.field_size_limit(1 << 30)


def encode_rows(rows: Iterable[ResultRow]) -> bytes:
    """The lines of ``rows``."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=_LINE_END)
    writer.writerows(tuple(_plain(getattr(row, name)) for name in _FIELDS) for row in rows)
    return text.getvalue().encode("utf-8", errors="replace")


def decode_rows(lines: bytes) -> list[ResultRow]:
    """The rows of ``lines`` that :func:`encode_rows` made."""
    return [_decode(line) for line in csv.reader(io.StringIO(lines.decode(), newline=""), strict=True)]


def read_rows(path: Path, source: StoredFile | str) -> Iterator[ResultRow]:
    """The rows of a whole file, one after the other.

    :param source: what errors call it.
    :raises StagedBatchError: when it is anything else.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file, strict=True)
            if tuple(next(lines, ())) != _NAMES:
                raise StagedBatchError(f"{source}: its first line does not name the expected columns")
            for line in lines:
                yield _decode(line)
    except (ValueError, csv.Error) as error:
        raise StagedBatchError(f"{source}: {error}") from error


def _plain(value: object) -> object:
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def _decode(line: list[str]) -> ResultRow:
    values: dict[str, Any] = {
        name: None if text == "" and name in _NULLABLE else _PARSERS[name](text)
        for name, text in zip(_FIELDS, line, strict=True)
    }
    values["status"] = Status(values["status"])
    return ResultRow(**values)
