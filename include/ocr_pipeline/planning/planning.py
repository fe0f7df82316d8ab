"""Planning a run: number the dataset's rows, find repeated links, cut the rows into batches.

The dataset is read once, into a temporary Arrow file. What stays in memory is one number a row: the row whose
reading it shares. Links, their digests and the other columns pass through.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from ocr_pipeline.dataset import Dataset, RunQuery, open_dataset
from ocr_pipeline.errors import PlanError
from ocr_pipeline.planning.duplicates import LinkDigests
from ocr_pipeline.records import READ_ROW, ROW, BatchRef, Rows
from ocr_pipeline.run.catalog import Catalog, Digests, absolute_digests, link_digests
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan, batch_digest, planned_rows, save_failed_before
from ocr_pipeline.settings.addresses import dataset_seal, fits_seal, shown_dataset, shown_text, shown_value
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings
from ocr_pipeline.storage.folders import StoredFile, naming, scratch_folder

_ROWS = "rows.arrow"
_SHOWN = 80  # characters of a value in a message


def plan_run(
    settings: RunSettings,
    run: RunFolder,
    allowances: Allowances,
    *,
    max_batches: int,
    run_query: RunQuery | None = None,
) -> Plan:
    """Plan a run into its folder, or find it planned already.

    :param max_batches: most batches there may be; batches grow beyond ``settings.batch_size`` to stay below.
    :param run_query: runs the query of a dataset that is one.
    :raises DatasetError: when the dataset cannot be read.
    :raises PlanError: when the folder holds a plan for other settings or other rows, naming what differs.
    :raises StorageError: when the folder cannot be read or written.
    """
    with (
        scratch_folder("plan") as scratch,
        naming(f"keep the dataset's rows in {scratch}"),
        LinkDigests(scratch) as digests,
    ):
        dataset = open_dataset(settings, allowances, scratch, run_query)
        _spool(dataset, settings.rows_wanted, scratch, digests)
        run.folder.create()
        if run.plan.exists():
            existing = Plan.load(run)
            existing.check_whole(run)
            _check_same(existing, settings, digests.rows, scratch / _ROWS, run)
            return existing
        read_rows = digests.first_rows()
        rows = digests.rows
        known, known_in = 0, tuple[str, ...]()
        if catalog := Catalog.of(run, settings, allowances):
            own, links = _own_links(scratch / _ROWS, dataset, read_rows)
            save_failed_before(run, own[catalog.failed(*links)])
            if settings.known_by == "content":
                with run.known_contents.writing() as path:
                    catalog.write_contents(path, scratch)
            else:
                read_rows, known, known_in = _leave_out_known(catalog, own, links, read_rows)
        # As many batches as asked for or allowed, and the rows spread evenly over them.
        count = min(max(1, math.ceil(rows / settings.batch_size)), max_batches)
        batch_size = max(1, math.ceil(rows / count))
        parts = _cut(scratch / _ROWS, read_rows, batch_size, run, dataset.image_column, settings)
        batches, batch_digests = zip(*run.folder.map(_write_part, parts), strict=True)
        if dataset.rejections.notes and dataset.rejections.count:
            run.rejected_csv.write_bytes(dataset.rejections.notes.read_bytes())
    plan = Plan(
        settings=settings.model_copy(update={"dataset": shown_dataset(settings.dataset)}),
        dataset_seal=dataset_seal(settings.dataset),
        image_column=dataset.image_column,
        base=dataset.base,
        rows=rows,
        rejected=dataset.rejections.count,
        renamed=dataset.renamed,
        images=sum(batch.images for batch in batches),
        known=known,
        known_in=known_in,
        batch_size=batch_size,
        batches=batches,
        digests=batch_digests,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    plan.save(run)
    return plan


def _spool(dataset: Dataset, limit: int | None, scratch: Path, digests: LinkDigests) -> None:
    """Copy the rows to a file in ``scratch`` and note their links."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(scratch / _ROWS, dataset.schema, options=options) as writer:
        for batch in dataset.record_batches(limit):
            writer.write_batch(batch.replace_schema_metadata())
            links = [link or "" for link in batch.column(dataset.image_column).to_pylist()]
            digests.add(*link_digests(links))
    pa.default_memory_pool().release_unused()  # reading took more than what follows leaves room for


def _own_links(spool: Path, dataset: Dataset, read_rows: Rows) -> tuple[Rows, tuple[Digests, Digests]]:
    """The rows whose links repeat no earlier one, in order, and the digests of these links.

    :param read_rows: for every row, the row whose reading it shares.
    """
    own = np.flatnonzero(read_rows == np.arange(len(read_rows)))
    first, second = np.empty((2, len(own)), dtype=np.uint64)
    done = start = 0
    with pa.ipc.open_stream(spool) as reader:
        for batch in reader:
            end = start + batch.num_rows
            count = int(np.searchsorted(own, end)) - done
            links = batch.column(dataset.image_column).take(pa.array(own[done : done + count] - start))
            part = slice(done, done + count)
            first[part], second[part] = absolute_digests(links.to_pylist(), dataset.base)
            start, done = end, part.stop
    return own, (first, second)


def _leave_out_known(
    catalog: Catalog, own: Rows, links: tuple[Digests, Digests], read_rows: Rows
) -> tuple[Rows, int, tuple[str, ...]]:
    """Find the links that other runs have read.

    :param own: the rows whose links repeat no earlier one.
    :param links: the digests of these links.
    :param read_rows: for every row, the row whose reading it shares.
    :return: the same, but -1 - n for rows that run n has read; how many links that are; and the names of those runs.
    :raises CatalogError: when the catalog is damaged.
    :raises StorageError: when it cannot be read.
    """
    found, runs = catalog.find(*links)
    marks = np.arange(len(read_rows))
    marks[own[found >= 0]] = -1 - found[found >= 0]
    return marks[read_rows], int(np.count_nonzero(found >= 0)), runs


@dataclass(frozen=True, slots=True)
class _Part:
    """A batch and the Parquet file that holds its rows."""

    batch: BatchRef
    digest: str
    file: StoredFile
    content: pa.Buffer


def _cut(
    spool: Path, read_rows: Rows, batch_size: int, run: RunFolder, image_column: str, settings: RunSettings
) -> Iterator[_Part]:
    """The spooled rows as one Parquet file a batch; a dataset without rows is one empty batch."""
    first = 0
    for index, table in enumerate(_slices(spool, batch_size)):
        rows = np.arange(first, first + table.num_rows)
        reads = read_rows[first : first + table.num_rows]
        table = table.append_column(ROW, pa.array(rows)).append_column(READ_ROW, pa.array(reads))
        buffer = pa.BufferOutputStream()
        pa.parquet.write_table(table, buffer, compression="zstd")
        own = rows[reads == rows]
        links = table[image_column].take(pa.array(own - first)).to_pylist()
        batch = BatchRef(run=run.uri, index=index, first_row=first, rows=table.num_rows, images=len(own))
        digest = batch_digest(settings, own, links)
        yield _Part(batch, digest, run.plan_batch(index), buffer.getvalue())
        first += table.num_rows


def _write_part(part: _Part) -> tuple[BatchRef, str]:
    part.file.write_bytes(part.content.to_pybytes())
    return part.batch, part.digest


def _slices(spool: Path, size: int) -> Iterator[pa.Table]:
    with pa.ipc.open_stream(spool) as reader:
        held: list[pa.RecordBatch] = []
        count = 0
        for batch in reader:
            while count + batch.num_rows >= size:
                held.append(batch.slice(0, size - count))
                yield pa.Table.from_batches(held, reader.schema)
                batch = batch.slice(size - count)
                held, count = [], 0
            if batch.num_rows:
                held.append(batch)
                count += batch.num_rows
        if held:
            yield pa.Table.from_batches(held, reader.schema)
        elif reader.stats.num_record_batches == 0:
            yield reader.schema.empty_table()


def _check_same(plan: Plan, settings: RunSettings, rows: int, spool: Path, run: RunFolder) -> None:
    """Compare a plan with what would be planned now: settings, number of rows, and every column, links among them.

    :raises PlanError: naming the settings that differ, or else the first row or the columns that do.
    """
    before, now = plan.settings.model_dump(), settings.model_dump()
    now["dataset"] = shown_dataset(settings.dataset)
    changes = [_change(name, before[name], now[name]) for name in now if now[name] != before[name]]
    if not changes and not fits_seal(settings.dataset, plan.dataset_seal):
        changes = ["dataset has another login or other parameters"]
    if not changes and rows != plan.rows:
        changes = [f"the dataset had {plan.rows:,} rows and now has {rows:,}"]
    if not changes:
        parts = zip(plan.batches, _slices(spool, plan.batch_size), strict=True)
        found = (_find_change(_own_columns(run, batch), part, batch.first_row) for batch, part in parts)
        changes = list(islice(filter(None, found), 1))
    if changes:
        raise PlanError(f"{run.uri} was planned differently: {'; '.join(changes)}. Start a new run instead")


def _own_columns(run: RunFolder, batch: BatchRef) -> pa.Table:
    """The dataset's own columns of ``batch``, as the plan holds them."""
    return planned_rows(run, batch).drop_columns([ROW, READ_ROW])


def _find_change(before: pa.Table, now: pa.Table, first_row: int) -> str | None:
    """The first difference between two tables with equally many rows, for people."""
    if before.column_names != now.column_names:
        was, is_now = (", ".join(map(shown_text, table.column_names)) for table in (before, now))
        return f"the columns were {was} and are now {is_now}"
    for name in now.column_names:
        if before[name].equals(now[name]):
            continue
        # By their look, so that NaN is itself and a type that Parquet stores as another is no difference.
        pairs = zip(before[name].to_pylist(), now[name].to_pylist(), strict=True)
        for row, (old, new) in enumerate(pairs, first_row + 1):
            if repr(old) != repr(new):
                return _change(f"column {shown_value(name)} of row {row:,}", old, new)
    return None


def _change(what: str, before: object, now: object) -> str:
    """What has become of ``what``, without the logins and parameters of addresses."""
    was, is_now = shown_value(before)[:_SHOWN], shown_value(now)[:_SHOWN]
    return f"{what} was {was} and is now {is_now if is_now != was else 'another, which differs in what is not shown'}"
