"""Merging a run: every row of the dataset with its reading, in order, streamed.

A row finds its reading by the number of the row that was read for its link: its own or, for a link that repeats an
earlier one, an earlier one's. Of a batch, so much is in memory as is joined at a time; readings that are needed again
later are kept (:mod:`ocr_pipeline.merging.repeats`). Every planned row comes out: those of a batch that never finished
from its checkpoints, or as placeholders.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ocr_pipeline.errors import ErrorCategory, OcrPipelineError, StagedBatchError, Status, WarningCategory
from ocr_pipeline.merging.indexing import IndexWriter
from ocr_pipeline.merging.repeats import KeptReadings, pages_of
from ocr_pipeline.merging.results import ResultsWriter, is_failure
from ocr_pipeline.merging.statistics import ResultStatistics
from ocr_pipeline.records import READ_ROW, RESULT_COLUMNS, ROW, BatchRef, Rows, known_row, unfinished_row
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.blocks import READING_SCHEMA, RESULT_SCHEMA, reading_blocks
from ocr_pipeline.run.catalog import Catalog, CatalogWriter
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan, batch_images, failed_before, planned_rows
from ocr_pipeline.run.staging import StagedBatch, open_staged, read_progress
from ocr_pipeline.run.summary import MergedRun, UnfinishedBatch, judged
from ocr_pipeline.run.troubles import Tally, lines
from ocr_pipeline.storage.folders import scratch_folder
from ocr_pipeline.viewing.report import render_report
from ocr_pipeline.viewing.results import RunResults

log = logging.getLogger(__name__)

_TABLE_BYTES = 32 << 20
"""About how many bytes of readings are joined at a time."""

_READ = pa.array([Status.OK.value, Status.NO_TEXT.value])


def merge_run(run: RunFolder, catalog: Catalog | None = None) -> MergedRun:
    """Write ``results.csv``, ``results.parquet``, ``failures.csv``, ``report.html`` and ``summary.json`` of a run.

    Batches that are not staged, or disagree with the plan, are named in the summary; of their images, those in their
    checkpoints are in the results as they are, the others as placeholders. Merging again replaces the files.

    :param catalog: where to note the images that were read, all their pages, and those that failed, which later runs
        try again.
    :raises PlanError: when there is no plan, or the run was trimmed.
    :raises StorageError: when the run's folder cannot be read or written.
    """
    plan = Plan.load(run)
    plan.check_whole(run)
    with ExitStack() as files:
        # Entered first, it is published after the results that it speaks of.
        record = files.enter_context(catalog.recording()) if catalog else None
        repeated = run.folder.map(lambda batch: _repeated_rows(run, batch), plan.batches)
        kept = files.enter_context(KeptReadings(plan.batches, repeated, READING_SCHEMA))
        merger = _Merger(run, plan, kept, record)
        # The summary goes last, so it never speaks of results that are not there.
        results = {"csv": run.results_csv, "parquet": run.results_parquet, "failures": run.failures_csv}
        for file in (*results.values(), run.index, run.searched, run.report, run.summary):
            file.sweep()
        paths = {kind: files.enter_context(file.writing()) for kind, file in results.items()}
        index_path, searched_path = (files.enter_context(file.writing()) for file in (run.index, run.searched))
        with IndexWriter(index_path, searched_path, plan.image_column, plan.base) as index:
            with ResultsWriter(merger.schema, **paths, csv_formulas=plan.settings.csv_formulas) as writer:
                for rows, table in merger.tables():
                    index.write(rows, table)
                    writer.write(table)
            index.finish(paths["parquet"])
        merged = merger.merged(writer.statistics)
        report = _report(RunResults.of_files(run, plan, merged, index_path, searched_path, paths["parquet"]))
    if report is None:
        run.report.delete()
    else:
        run.report.write_bytes(report)
    merged.save(run)
    for line in lines([*merged.failures, *merger.warnings.troubles]):
        log.warning("%s", line)
    if merged.images == merged.known_images:
        why = "earlier runs have read the image of every row" if merged.rows else "the dataset has no rows"
        log.info("there was nothing to read: %s", why)
    return merged


def _report(results: RunResults) -> bytes | None:
    """The report; None when it cannot be made, which must not cost the results."""
    try:
        return render_report(results).encode(errors="replace")
    except OcrPipelineError as error:
        log.warning("there is no report, as it cannot be made: %s", error)
        return None


@dataclass(frozen=True, slots=True)
class _Source:
    """What there is of one batch: its rows in the plan, its readings, and why they are not what was planned, if so.

    ``files`` holds what is open for it.
    """

    batch: BatchRef
    planned: pa.Table
    staged: StagedBatch
    unfinished: UnfinishedBatch | None
    files: ExitStack


class _Merger:
    """Joins the rows of each batch with their readings.

    ``schema`` is that of the results: the dataset's own columns, then the columns of the contract. ``warnings`` counts
    pages that may be wrong.
    """

    def __init__(self, run: RunFolder, plan: Plan, kept: KeptReadings, record: CatalogWriter | None) -> None:
        self._run = run
        self._plan = plan
        self._record = record
        self._known = _known_readings(plan.known_in)
        planned = planned_rows(run, plan.batches[0]).schema.remove_metadata()
        self.schema = pa.schema([*(field for field in planned if field.name not in (ROW, READ_ROW)), *RESULT_SCHEMA])
        self._kept = kept
        self._unfinished: list[UnfinishedBatch] = []
        self._images = self._bytes = 0
        self._files: list[ExitStack] = []
        self._failed_images = self._failed_before = self._known_images = 0
        self._expected = failed_before(run, plan)
        self._failures = Tally()
        self.warnings = Tally()
        self._seconds = 0.0
        self._models: set[str] = set()

    def tables(self) -> Iterator[tuple[pa.ChunkedArray, pa.Table]]:
        """The result rows of all batches, in order, and before them their numbers in the dataset."""
        try:
            with closing(self._run.folder.map(self._open, self._plan.batches)) as sources:
                for source in sources:
                    with source.files:
                        yield from self._join(source)
        finally:
            for files in self._files:  # those that an error kept from being joined
                files.close()

    def _open(self, batch: BatchRef) -> _Source:
        planned = planned_rows(self._run, batch)
        digest = self._plan.digests[batch.index]
        with ExitStack() as files:
            unfinished = None
            try:
                staged = files.enter_context(open_staged(self._run, batch, digest))
                if staged.images != batch.images:
                    raise StagedBatchError(f"{batch.label} has {staged.images:,} images staged, not {batch.images:,}")
            except StagedBatchError as error:
                folder = files.enter_context(scratch_folder("unfinished"))
                staged, unfinished = self._collect(batch, digest, folder / "rows.csv", error)
            kept_open = files.pop_all()
        self._files.append(kept_open)
        return _Source(batch, planned, staged, unfinished, kept_open)

    def _collect(
        self, batch: BatchRef, digest: str, path: Path, error: StagedBatchError
    ) -> tuple[StagedBatch, UnfinishedBatch]:
        """Write to ``path`` what the checkpoints of a batch hold, and placeholders for the rest."""
        ended = read_progress(self._run, batch).error
        reason = f"{error}; it ended with: {ended}" if ended else str(error)
        images = [image.row for image in batch_images(self._run, batch, self._plan)]
        detail = f"{reason}. Clear its read_batch task with those after it: that reads what is missing"
        with BatchStore(self._run, batch, digest) as store:
            store.resume(set(images))
            written = store.write(path, images, otherwise=lambda row: unfinished_row(row, detail))
        finished = written.images - written.errors.get(ErrorCategory.BATCH_UNFINISHED.value, 0)
        staged = StagedBatch(path, written.images, written.seconds, tuple(written.models))
        return staged, UnfinishedBatch(batch.index, batch.first_row, batch.rows, len(images), finished, reason)

    def merged(self, statistics: ResultStatistics) -> MergedRun:
        """The summary, once all tables are written."""
        merged = MergedRun(
            succeeded=False,
            problem="",
            complete=not self._unfinished,
            unfinished=tuple(self._unfinished),
            batches=len(self._plan.batches),
            rows=self._plan.rows,
            rejected=self._plan.rejected,
            result_rows=statistics.rows,
            failed_rows=statistics.failed,
            images=self._images,
            known_images=self._known_images,
            failed_images=self._failed_images,
            failed_before=self._failed_before,
            failures=self._failures.troubles,
            bytes=self._bytes,
            statuses=statistics.statuses,
            errors=statistics.errors,
            warnings=statistics.warnings,
            seconds=round(self._seconds, 3),
            models=tuple(sorted(self._models)),
            merged_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return judged(merged, self._plan.settings.max_failures, known_links=self._plan.known)

    def _join(self, source: _Source) -> Iterator[tuple[pa.ChunkedArray, pa.Table]]:
        """The numbers and the result rows of a batch, some readings at a time."""
        batch, planned = source.batch, source.planned
        if source.unfinished:
            self._unfinished.append(source.unfinished)
        self._seconds += source.staged.seconds
        self._models.update(source.staged.models)
        rows, read_rows = (planned[name].to_numpy() for name in (ROW, READ_ROW))
        done = 0
        for readings, last in reading_blocks(source.staged, batch):
            self._count(readings)
            self._tally(planned, readings)
            if self._record:
                self._note(planned, readings, self._record)
            # Rows up to the last one whose reading is there; repeats of earlier ones are among them.
            end = len(rows) if last is None else int(np.searchsorted(rows, last, side="right"))
            if last is not None:
                later = np.flatnonzero(read_rows[end:] == rows[end:])
                end += int(later[0]) if len(later) else 0
            part = planned.slice(done, end - done)
            if not np.array_equal(_own_rows(part), np.unique(readings[READ_ROW].to_numpy())):
                raise StagedBatchError(f"{batch.label}: its staged file holds other rows than were planned")
            self._kept.put(readings, batch)
            yield from self._rows(part, read_rows[done:end], readings, batch)
            done = end

    def _rows(
        self, planned: pa.Table, read_rows: Rows, readings: pa.Table, batch: BatchRef
    ) -> Iterator[tuple[pa.ChunkedArray, pa.Table]]:
        """The numbers and the result rows of ``planned``, not too many at a time.

        One long document may be repeated in every row.
        """
        own = readings[READ_ROW].to_numpy()
        repeated = np.setdiff1d(read_rows[read_rows >= 0], own)
        readings = pa.concat_tables([self._known, self._kept.take(repeated, batch), readings])
        right, pages = pages_of(read_rows, readings[READ_ROW].to_numpy())
        if not pages.all():
            raise StagedBatchError(f"{batch.label}: no reading of row {read_rows[pages == 0][0] + 1:,}; a defect")
        left = np.repeat(np.arange(len(read_rows)), pages)
        own_columns = planned.drop_columns([ROW, READ_ROW])
        read = readings.drop_columns([READ_ROW])
        size = max(1, _TABLE_BYTES * max(1, read.num_rows) // max(1, read.nbytes))
        for start in range(0, len(left), size):
            part = slice(start, start + size)
            columns = [*own_columns.take(left[part]).columns, *read.take(right[part]).columns]
            yield planned[ROW].take(left[part]), pa.Table.from_arrays(columns, schema=self.schema)

    def _count(self, readings: pa.Table) -> None:
        """Count the images of some readings."""
        first_pages = readings.filter(pc.equal(readings["ocr_page"], 0))
        failed = _failed_rows(readings)
        self._images += first_pages.num_rows
        self._known_images += pc.sum(pc.equal(first_pages["ocr_status"], Status.KNOWN.value)).as_py() or 0
        self._failed_images += len(failed)
        self._failed_before += int(np.isin(failed, self._expected).sum())
        self._bytes += pc.sum(first_pages["ocr_bytes"]).as_py() or 0

    def _tally(self, planned: pa.Table, readings: pa.Table) -> None:
        """Count the images that failed or may be wrong by category, with one of each."""
        for tally, column, kinds in (
            (self._failures, "ocr_error", ErrorCategory),
            (self.warnings, "ocr_warning", WarningCategory),
        ):
            troubled = readings.filter(pc.is_valid(readings[column])).combine_chunks()
            if tally is self._failures:  # an image whose pages failed in several ways counts once
                troubled = troubled.take(np.unique(troubled[READ_ROW].to_numpy(), return_index=True)[1])
            lists = pc.split_pattern(troubled[column], ",").combine_chunks()  # a page may have several warnings
            places = pc.list_parent_indices(lists)
            pairs = pa.table(
                [pc.list_flatten(lists), places, troubled[READ_ROW].take(places)], ["kind", "place", "row"]
            )
            found = pairs.group_by("kind").aggregate([("row", "count_distinct"), ("place", "min")])
            for kind, count, place in zip(*(part.to_pylist() for part in found.columns), strict=True):
                row, detail = (troubled[name][place].as_py() for name in (READ_ROW, f"{column}_detail"))
                link = planned[self._plan.image_column][int(np.searchsorted(planned[ROW].to_numpy(), row))].as_py()
                tally.add(kinds(kind), row, link or "", detail or "", count)

    def _note(self, planned: pa.Table, readings: pa.Table, record: CatalogWriter) -> None:
        """Note the images that were read, all their pages, and those that failed."""
        was_read = pc.is_in(readings["ocr_status"], _READ)
        read = pc.invert(pc.is_in(readings[READ_ROW], readings[READ_ROW].filter(pc.invert(was_read))))
        done = readings.filter(pc.and_(pc.equal(readings["ocr_page"], 0), read))
        links = self._links(planned, done[READ_ROW].to_numpy())
        record.add(links, self._plan.base, done["ocr_sha256"].to_pylist())
        # What is not finished was not tried.
        tried = readings.filter(pc.not_equal(readings["ocr_status"], Status.UNFINISHED.value))
        record.add_failed(self._links(planned, _failed_rows(tried)), self._plan.base)

    def _links(self, planned: pa.Table, rows: Rows) -> list[str | None]:
        """The links of some rows of ``planned``."""
        places = np.searchsorted(planned[ROW].to_numpy(), rows)
        links: list[str | None] = planned[self._plan.image_column].take(places).to_pylist()
        return links


def _failed_rows(readings: pa.Table) -> Rows:
    """The rows of images with a page that failed, each once, sorted."""
    rows: Rows = np.unique(readings[READ_ROW].filter(is_failure(readings["ocr_status"])).to_numpy())
    return rows


def _own_rows(planned: pa.Table) -> Rows:
    """The rows of a batch that are read, in order."""
    rows = planned[ROW].to_numpy()
    own: Rows = rows[rows == planned[READ_ROW].to_numpy()]
    return own


def _known_readings(runs: Sequence[str]) -> pa.Table:
    """What stands for images that other runs have read, under the numbers that the plan gives their rows, sorted."""
    rows = [known_row(-1 - index, run) for index, run in enumerate(runs)][::-1]
    columns = [[getattr(row, column.field) for row in rows] for column in RESULT_COLUMNS]
    values = [[row.row for row in rows], *columns]
    return pa.Table.from_arrays(list(map(pa.array, values, READING_SCHEMA.types)), schema=READING_SCHEMA)


def _repeated_rows(run: RunFolder, batch: BatchRef) -> Rows:
    """The rows whose readings rows of ``batch`` repeat, each once, sorted."""
    planned = planned_rows(run, batch, [ROW, READ_ROW])
    read_rows = planned[READ_ROW].to_numpy()
    repeated: Rows = np.unique(read_rows[(read_rows >= 0) & (read_rows != planned[ROW].to_numpy())])
    return repeated
