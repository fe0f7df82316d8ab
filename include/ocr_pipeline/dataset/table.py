"""What all kinds of files are read as: a table that streams its rows as Arrow record batches."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ocr_pipeline.dataset.rejections import Rejections


class Table(ABC):
    """Rows with a schema. ``name`` is what a person knows it by.

    ``repeated`` are names that several of its columns had before they were told apart.
    """

    name: str
    schema: pa.Schema
    repeated: frozenset[str] = frozenset()

    @abstractmethod
    def batches(self, rejections: Rejections) -> Iterator[pa.RecordBatch]:
        """The rows in order, in the types of ``schema``; those that cannot be read go to ``rejections``.

        :raises DatasetError: when it cannot be read.
        :raises OSError: likewise.
        :raises pa.ArrowException: likewise.
        """

    def some_columns(self, names: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        """The columns ``names`` of the rows that can be read, at most so many rows at a time.

        :raises DatasetError: when it cannot be read.
        :raises OSError: likewise.
        :raises pa.ArrowException: likewise.
        """
        with Rejections(Path(os.devnull)) as ignored:
            for batch in self.batches(ignored):
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows).select(names)
