"""Merging a run: every row of the dataset with its reading, in order, streamed batch by batch.

A row finds its reading by the number of the row that was read for its link, which lies in its own batch or,
for a link that repeats an earlier one, in an earlier batch. Readings that later batches need are kept on disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ocr_pipeline.errors import StagedBatchError, Status
from ocr_pipeline.merging.repeats import KeptReadings, pages_of
from ocr_pipeline.merging.results import RESULT_SCHEMA, ResultsWriter, is_failure
from ocr_pipeline.records import READ_ROW, RESULT_COLUMNS, ROW, BatchRef, Rows, known_row
from ocr_pipeline.run.catalog import Catalog, CatalogWriter
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan, planned_rows
from ocr_pipeline.run.staging import StagedBatch, read_staged
from ocr_pipeline.storage.folders import StoredFile

_TABLE_BYTES = 32 << 20
"""About how many bytes of readings are joined at a time."""

_READ = pa.array([Status.OK.value, Status.NO_TEXT.value])
_READING_SCHEMA = pa.schema([pa.field(READ_ROW, pa.int64(), nullable=False), *RESULT_SCHEMA])


@dataclass(frozen=True, slots=True)
class MissingBatch:
    """Rows of a batch that the results lack, and why: all of them, or those that repeat a missing link."""

    index: int
    first_row: int
    rows: int
    reason: str


@dataclass(frozen=True, slots=True)
class MergedRun:
    """What was merged; the content of ``summary.json``.

    ``rows`` counts rows of the dataset in the results out of ``planned_rows``, ``rejected`` those that could not be
    read and were left out of the plan, ``result_rows`` those of the results (one a page), and of these ``statuses``
    each status and ``errors`` each category of failure. ``images`` counts distinct links out of ``planned_images``,
    ``failed_images`` those with a page that failed, ``bytes`` adds up their files. ``seconds`` is the work of all
    ``batches`` added up.
    """

    complete: bool
    missing: tuple[MissingBatch, ...]
    batches: int
    planned_rows: int
    rows: int
    rejected: int
    result_rows: int
    failed_rows: int
    planned_images: int
    images: int
    failed_images: int
    bytes: int
    statuses: dict[str, int]
    errors: dict[str, int]
    seconds: float
    models: tuple[str, ...]
    merged_at: str


def merge_run(run: RunFolder, catalog: Catalog | None = None) -> MergedRun:
    """Write ``results.csv``, ``results.parquet``, ``failures.csv`` and ``summary.json`` of a run.

    Batches that are not staged, or disagree with the plan, are left out and named in the summary; so are
    the rows elsewhere that repeat their links. Merging again replaces the files.

    :param catalog: where to note the images that were read, all their pages; failed ones are left to a later run.
    :raises PlanError: when there is no plan.
    :raises StorageError: when the run's folder cannot be read or written.
    """
    plan = Plan.load(run)
    with ExitStack() as files:
        # Entered first, it is published after the results that it speaks of.
        record = files.enter_context(catalog.recording()) if catalog else None
        earlier = run.folder.map(lambda batch: _earlier_rows(run, batch), plan.batches)
        kept = files.enter_context(KeptReadings(plan.batches, earlier, _READING_SCHEMA))
        merger = _Merger(run, plan, kept, record)
        # The summary goes last, so it never speaks of results that are not there.
        results = {"csv": run.results_csv, "parquet": run.results_parquet, "failures": run.failures_csv}
        for file in (*results.values(), run.summary):
            file.sweep()
        paths = {kind: files.enter_context(file.writing()) for kind, file in results.items()}
        with ResultsWriter(merger.schema, **paths, csv_formulas=plan.settings.csv_formulas) as writer:
            for table in merger.tables():
                writer.write(table)
    merged = merger.merged(writer)
    run.summary.write_bytes(json.dumps(asdict(merged), indent=1, ensure_ascii=False).encode())
    return merged


@dataclass(frozen=True, slots=True)
class _Source:
    """What there is of one batch: its rows in the plan, and its staged files or why they cannot be used."""

    batch: BatchRef
    planned: pa.Table
    staged: StagedBatch | StagedBatchError


class _Merger:
    """Joins the rows of each batch with their readings.

    ``schema`` is that of the results: the dataset's own columns, then the columns of the contract.
    """

    def __init__(self, run: RunFolder, plan: Plan, kept: KeptReadings, record: CatalogWriter | None) -> None:
        self._run = run
        self._plan = plan
        self._record = record
        self._known = _known_readings(plan.known_in)
        planned = planned_rows(run, plan.batches[0]).schema.remove_metadata()
        self.schema = pa.schema([*(field for field in planned if field.name not in (ROW, READ_ROW)), *RESULT_SCHEMA])
        self._kept = kept
        self._missing: list[MissingBatch] = []
        self._images = self._failed_images = self._bytes = 0
        self._seconds = 0.0
        self._models: set[str] = set()

    def tables(self) -> Iterator[pa.Table]:
        """The result rows of the batches that are there, in order."""
        for source in self._run.folder.map(self._read, self._plan.batches):
            try:
                yield from self._join(source)
            except StagedBatchError as error:
                batch = source.batch
                self._missing.append(MissingBatch(batch.index, batch.first_row, batch.rows, str(error)))

    def _read(self, batch: BatchRef) -> _Source:
        planned = planned_rows(self._run, batch)
        try:
            return _Source(batch, planned, read_staged(self._run, batch))
        except StagedBatchError as error:
            return _Source(batch, planned, error)

    def merged(self, writer: ResultsWriter) -> MergedRun:
        """The summary, once all tables are written."""
        return MergedRun(
            complete=not self._missing,
            missing=tuple(self._missing),
            batches=len(self._plan.batches),
            planned_rows=self._plan.rows,
            rows=self._plan.rows - sum(batch.rows for batch in self._missing),
            rejected=self._plan.rejected,
            result_rows=writer.rows,
            failed_rows=writer.failed,
            planned_images=self._plan.images,
            images=self._images,
            failed_images=self._failed_images,
            bytes=self._bytes,
            statuses=dict(writer.statuses.most_common()),
            errors=dict(writer.errors.most_common()),
            seconds=round(self._seconds, 3),
            models=tuple(sorted(self._models)),
            merged_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _join(self, source: _Source) -> Iterator[pa.Table]:
        """The result rows of a batch, not too many at a time: one long document may be repeated in every row."""
        if isinstance(source.staged, StagedBatchError):
            raise source.staged
        batch, planned, staged = source.batch, source.planned, source.staged
        rows, read_rows = (planned[name].to_numpy() for name in (ROW, READ_ROW))
        own_readings = self._own_readings(batch, staged.content, rows[rows == read_rows])
        earlier_readings = self._kept.take(_repeated(read_rows, batch), batch)
        self._kept.put(own_readings, batch)
        self._count(own_readings)
        if self._record:
            self._note(planned, own_readings, self._record)
        self._seconds += staged.seconds
        self._models.update(staged.models)
        readings = pa.concat_tables([self._known, earlier_readings, own_readings])
        keys = readings[READ_ROW].to_numpy()
        right, pages = pages_of(read_rows, keys)
        if not pages.all():
            # Their link is read in an earlier batch, and that one is missing.
            lost = pages == 0
            reason = f"{batch.label}: {lost.sum():,} rows, row {rows[lost][0] + 1:,} the first, repeat links of it"
            self._missing.append(MissingBatch(batch.index, int(rows[lost][0]), int(lost.sum()), reason))
        left = np.repeat(np.arange(len(rows)), pages)
        own = planned.drop_columns([ROW, READ_ROW])
        read = readings.drop_columns([READ_ROW])
        size = max(1, _TABLE_BYTES * max(1, read.num_rows) // max(1, read.nbytes))
        for start in range(0, len(left), size):
            part = slice(start, start + size)
            columns = [*own.take(left[part]).columns, *read.take(right[part]).columns]
            yield pa.Table.from_arrays(columns, schema=self.schema)

    def _count(self, readings: pa.Table) -> None:
        """Count the images that a batch has read."""
        first_pages = readings.filter(pc.equal(readings["ocr_page"], 0))
        failed = readings[READ_ROW].filter(is_failure(readings["ocr_status"]))
        self._images += first_pages.num_rows
        self._failed_images += pc.count_distinct(failed).as_py()
        self._bytes += pc.sum(first_pages["ocr_bytes"]).as_py() or 0

    def _note(self, planned: pa.Table, readings: pa.Table, record: CatalogWriter) -> None:
        """Note the images of a batch that were read, all their pages."""
        was_read = pc.is_in(readings["ocr_status"], _READ)
        read = pc.invert(pc.is_in(readings[READ_ROW], readings[READ_ROW].filter(pc.invert(was_read))))
        done = readings.filter(pc.and_(pc.equal(readings["ocr_page"], 0), read))
        places = np.searchsorted(planned[ROW].to_numpy(), done[READ_ROW].to_numpy())
        links = planned[self._plan.image_column].take(places)
        record.add(links.to_pylist(), self._plan.base, done["ocr_sha256"].to_pylist())

    def _own_readings(self, batch: BatchRef, content: bytes, images: Rows) -> pa.Table:
        """What the batch has read, sorted by row and page.

        :param content: its staged CSV.
        :param images: the rows that the batch was to read, in order.
        """
        table = _parse(content, self._run.staged(batch.index))
        read, first_pages, pages = np.unique(table[READ_ROW].to_numpy(), return_index=True, return_counts=True)
        if not np.array_equal(read, images):
            differing = min(np.setxor1d(read, images).tolist())
            raise StagedBatchError(f"{batch.label} disagrees with the plan, first at row {differing + 1:,}")
        # Staged in order, the pages of each image count up from 0.
        expected = np.arange(table.num_rows) - np.repeat(first_pages, pages)
        if not np.array_equal(table["ocr_page"].to_numpy(), expected):
            raise StagedBatchError(f"{batch.label} lacks a page, or its rows are out of order")
        return table


def _earlier_rows(run: RunFolder, batch: BatchRef) -> Rows:
    """Rows of earlier batches whose reading ``batch`` needs."""
    return _repeated(planned_rows(run, batch, [READ_ROW])[READ_ROW].to_numpy(), batch)


def _known_readings(runs: Sequence[str]) -> pa.Table:
    """What stands for images that other runs have read, under the numbers that the plan gives their rows, sorted."""
    rows = [known_row(-1 - index, run) for index, run in enumerate(runs)][::-1]
    columns = [[getattr(row, column.field) for row in rows] for column in RESULT_COLUMNS]
    values = [[row.row for row in rows], *columns]
    return pa.Table.from_arrays(list(map(pa.array, values, _READING_SCHEMA.types)), schema=_READING_SCHEMA)


def _repeated(read_rows: Rows, batch: BatchRef) -> Rows:
    """The rows of earlier batches among ``read_rows``, each once, sorted."""
    return np.unique(read_rows[(read_rows >= 0) & (read_rows < batch.first_row)])


def _parse(content: bytes, source: StoredFile) -> pa.Table:
    """A staged CSV as a table of the reading schema."""
    try:
        table = pa.csv.read_csv(
            pa.py_buffer(content),
            read_options=pa.csv.ReadOptions(
                column_names=_READING_SCHEMA.names, skip_rows=1, block_size=max(len(content), 1)
            ),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=_READING_SCHEMA,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowException as error:
        raise StagedBatchError(f"{source}: {error}") from error
    columns = [
        column if field.nullable or not pa.types.is_string(field.type) else column.fill_null("")
        for column, field in zip(table.columns, _READING_SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=_READING_SCHEMA)


def describe_missing(merged: MergedRun) -> str:
    """What an incomplete run lacks and what to do about it, for people."""
    names = "; ".join(batch.reason for batch in merged.missing[:10])
    more = f"; and {len(merged.missing) - 10} more" if len(merged.missing) > 10 else ""
    return (
        f"the results are incomplete: {len(merged.missing)} batches are missing ({names}{more}). "
        "Clear the failed read_batch tasks with their downstream tasks; only they and the merge run again"
    )
