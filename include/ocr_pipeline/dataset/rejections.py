"""Rows that cannot be read: the end of the reading, or left out, counted and noted."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType
from typing import Self

from ocr_pipeline.errors import DatasetError

_TEXT_BYTES = 2000


class Rejections:
    """What becomes of a row that cannot be read; a context manager for the time of the reading.

    :param notes: CSV file that such rows are noted in, with their file, line and text; None makes the first an error.
    """

    def __init__(self, notes: Path | None) -> None:
        self.notes = notes
        self.count = 0

    def __enter__(self) -> Self:
        self.count = 0
        if self.notes:
            self._file = self.notes.open("w", newline="", encoding="utf-8")
            self._writer = csv.writer(self._file)
            self._writer.writerow(("file", "line", "reason", "text"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.notes:
            self._file.close()

    def reject(self, file: str, line: int, reason: str, text: bytes) -> None:
        """Leave out the row that begins in ``line`` (from 1) of ``file``; ``text`` is as much of it as is known.

        :raises DatasetError: when bad rows are errors.
        """
        if not self.notes:
            raise DatasetError(
                f"dataset {file}, line {line:,}: {reason}. Mend it, or set bad_rows to skip to leave such rows out"
            )
        self.count += 1
        shown = text[:_TEXT_BYTES].decode(errors="backslashreplace").rstrip("\r\n")
        self._writer.writerow((file, line, reason, shown))
