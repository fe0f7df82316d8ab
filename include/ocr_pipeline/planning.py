"""Planning a run: number the dataset's rows, find repeated links, cut the rows into batches.

The dataset is read once, into a temporary Arrow file. What stays in memory is two 64-bit digests a row,
by which repeated links are found; the links and the other columns pass through.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from ocr_pipeline.allowances import Allowances
from ocr_pipeline.catalog import Catalog, Digests, absolute_digests, link_digests
from ocr_pipeline.config import RunSettings
from ocr_pipeline.dataset import READ_ROW, ROW, Dataset, open_dataset
from ocr_pipeline.errors import PlanError, SettingsError
from ocr_pipeline.folders import StoredFile
from ocr_pipeline.records import BatchRef, ImageRef
from ocr_pipeline.storage import RunFolder

_VERSION = 2

_ROWS = "rows.arrow"
_DIGESTS = ("first.u64", "second.u64")
_SHARE_ROWS = 1 << 20
_MOST_SHARES = 64

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do: its settings and its batches, as ``plan.json`` holds them.

    ``base`` is where relative links start: a folder, a URL, or empty when there is nowhere. ``rejected`` counts rows
    of the dataset that could not be read, ``renamed`` names its columns that had to make way for those of the results.
    ``images`` counts distinct links that are to be read, ``known`` those that the runs ``known_in`` have read.
    """

    settings: RunSettings
    image_column: str
    base: str
    links_sha256: str
    rows: int
    rejected: int
    renamed: dict[str, str]
    images: int
    known: int
    known_in: tuple[str, ...]
    batch_size: int
    batches: tuple[BatchRef, ...]
    created_at: str

    @classmethod
    def load(cls, run: RunFolder) -> Plan:
        """Read the plan of ``run``.

        :raises PlanError: when there is none, or it cannot be read.
        """
        try:
            values: dict[str, Any] = json.loads(run.plan.read_bytes())
            if values.pop("version") != _VERSION:
                raise PlanError(f"{run.plan} was written by another version; start a new run")
            values.pop("settings_fingerprint")
            values["settings"] = RunSettings.parse(values["settings"])
            values["known_in"] = tuple(values["known_in"])
            values["batches"] = tuple(BatchRef(run=run.uri, **batch) for batch in values["batches"])
            return cls(**values)
        except FileNotFoundError:
            raise PlanError(f"{run.plan} is not there: clear the plan task first") from None
        except (ValueError, TypeError, KeyError, SettingsError) as error:
            raise PlanError(f"{run.plan} is damaged ({error}): delete it and clear the plan task") from error

    def save(self, run: RunFolder) -> None:
        """Write the plan; done last, its presence says that every batch's rows are there."""
        values = {
            "version": _VERSION,
            "settings_fingerprint": self.settings.fingerprint(),
            **{name: getattr(self, name) for name in self.__slots__},
        }
        values["settings"] = self.settings.model_dump(mode="json")
        values["batches"] = [
            {name: value for name, value in batch.to_dict().items() if name != "run"} for batch in self.batches
        ]
        run.plan.write_bytes(json.dumps(values, indent=1, ensure_ascii=False).encode())


def plan_run(settings: RunSettings, run: RunFolder, allowances: Allowances, *, max_batches: int) -> Plan:
    """Plan a run into its folder, or find it planned already.

    :param max_batches: most batches there may be; batches grow beyond ``settings.batch_size`` to stay below.
    :raises DatasetError: when the dataset cannot be read.
    :raises PlanError: when the folder holds a plan for other settings or other links.
    :raises StorageError: when the folder cannot be read or written.
    """
    with tempfile.TemporaryDirectory(prefix="ocr-plan-") as scratch:
        dataset = open_dataset(settings, allowances, Path(scratch))
        links_sha256 = _spool(dataset, settings.limit, Path(scratch))
        run.folder.create()
        if run.plan.exists():
            existing = Plan.load(run)
            _check_same(existing, settings, links_sha256, run)
            return existing
        first, second = (np.fromfile(Path(scratch) / name, dtype=np.uint64) for name in _DIGESTS)
        read_rows = first_occurrences(first, second)
        rows = len(read_rows)
        del first, second
        catalog = Catalog.of(run, settings, allowances)
        known, known_in = 0, tuple[str, ...]()
        if catalog:
            read_rows, known, known_in = _leave_out_known(catalog, Path(scratch) / _ROWS, dataset, read_rows)
        # As many batches as asked for or allowed, and the rows spread evenly over them.
        count = min(max(1, math.ceil(rows / settings.batch_size)), max_batches)
        batch_size = max(1, math.ceil(rows / count))
        parts = _cut(Path(scratch) / _ROWS, read_rows, batch_size, run)
        batches = tuple(run.folder.map(_write_part, parts))
        if dataset.rejections.notes and dataset.rejections.count:
            run.rejected_csv.write_bytes(dataset.rejections.notes.read_bytes())
    plan = Plan(
        settings=settings,
        image_column=dataset.image_column,
        base=dataset.base,
        links_sha256=links_sha256,
        rows=rows,
        rejected=dataset.rejections.count,
        renamed=dataset.renamed,
        images=sum(batch.images for batch in batches),
        known=known,
        known_in=known_in,
        batch_size=batch_size,
        batches=batches,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    plan.save(run)
    return plan


def batch_images(run: RunFolder, batch: BatchRef, plan: Plan) -> list[ImageRef]:
    """The images that ``batch`` reads: its rows whose link does not repeat an earlier one, in order.

    :raises PlanError: when the batch's rows are missing or damaged.
    """
    table = planned_rows(run, batch, [ROW, READ_ROW, plan.image_column])
    rows, read_rows = (table[name].to_numpy() for name in (ROW, READ_ROW))
    links = table[plan.image_column].filter(rows == read_rows).to_pylist()
    return [ImageRef(row, link or "") for row, link in zip(rows[rows == read_rows].tolist(), links, strict=True)]


def planned_rows(run: RunFolder, batch: BatchRef, columns: list[str] | None = None) -> pa.Table:
    """What the plan holds of ``batch``: the dataset's own columns, :data:`ROW` and :data:`READ_ROW`.

    The latter is negative where the image is not read: -1 - n, because run n of ``known_in`` has read it.

    :param columns: only these.
    :raises PlanError: when it is missing or damaged.
    :raises StorageError: when it cannot be read.
    """
    file = run.plan_batch(batch.index)
    try:
        with file.reading() as path:
            return pa.parquet.read_table(path, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise PlanError(f"{file} cannot be read ({error}): delete plan.json and clear the plan task") from error


def first_occurrences(first: Digests, second: Digests) -> Rows:
    """For every row, the first row with the same link.

    Links count as the same when both of their digests agree: among 100 million links that happens by chance
    with a probability below 10^-22. The second digests are looked at only where the first agree.

    :param first: uint64 of shape (rows,), a digest of each link.
    :param second: likewise, independent of the first.
    :return: int64 of shape (rows,).
    """
    result = np.arange(len(first))
    # A share of the digests at a time, because sorting all at once would be the largest thing in memory.
    shares = min(_MOST_SHARES, 1 + len(first) // _SHARE_ROWS)
    edges = [share * (1 << 64) // shares for share in range(shares + 1)]
    for low, high in pairwise(edges):
        rows = np.flatnonzero((first >= np.uint64(low)) & (first <= np.uint64(high - 1)))
        order = np.lexsort((second[rows], first[rows]))  # stable: links that are the same stay in row order
        rows = rows[order]
        one, two = first[rows], second[rows]
        starts = np.ones(len(rows), dtype=bool)
        starts[1:] = (one[1:] != one[:-1]) | (two[1:] != two[:-1])
        result[rows] = rows[starts][np.cumsum(starts) - 1]
    return result


def _spool(dataset: Dataset, limit: int | None, scratch: Path) -> str:
    """Copy the rows and two digests of each link to files in ``scratch``; return the digest of all links."""
    total = hashlib.sha256()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        pa.ipc.new_stream(scratch / _ROWS, dataset.schema, options=options) as writer,
        open(scratch / _DIGESTS[0], "wb") as first,
        open(scratch / _DIGESTS[1], "wb") as second,
    ):
        for batch in dataset.record_batches(limit):
            writer.write_batch(batch.replace_schema_metadata())
            links = [link or "" for link in batch.column(dataset.image_column).to_pylist()]
            digests = link_digests(np.array(links, dtype=object))
            for file, values in zip((first, second), digests, strict=True):
                content = values.tobytes()
                file.write(content)
                total.update(content)
    return total.hexdigest()


def _leave_out_known(
    catalog: Catalog, spool: Path, dataset: Dataset, read_rows: Rows
) -> tuple[Rows, int, tuple[str, ...]]:
    """Find the links that other runs have read.

    :param read_rows: for every row, the row whose reading it shares.
    :return: the same, but -1 - n for rows that run n has read; how many links that are; and the names of those runs.
    :raises CatalogError: when the catalog is damaged.
    :raises StorageError: when it cannot be read.
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
            first[part], second[part] = absolute_digests(links.to_pylist(), str(dataset.base))
            start, done = end, part.stop
    found, runs = catalog.find(first, second)
    marks = np.arange(len(read_rows))
    marks[own[found >= 0]] = -1 - found[found >= 0]
    return marks[read_rows], int(np.count_nonzero(found >= 0)), runs


@dataclass(frozen=True, slots=True)
class _Part:
    """A batch and the Parquet file that holds its rows."""

    batch: BatchRef
    file: StoredFile
    content: pa.Buffer


def _cut(spool: Path, read_rows: Rows, batch_size: int, run: RunFolder) -> Iterator[_Part]:
    """The spooled rows as one Parquet file a batch; a dataset without rows is one empty batch."""
    first = 0
    for index, table in enumerate(_slices(spool, batch_size)):
        rows = np.arange(first, first + table.num_rows)
        reads = read_rows[first : first + table.num_rows]
        table = table.append_column(ROW, pa.array(rows)).append_column(READ_ROW, pa.array(reads))
        buffer = pa.BufferOutputStream()
        pa.parquet.write_table(table, buffer, compression="zstd")
        images = int(np.count_nonzero(reads == rows))
        batch = BatchRef(run=run.uri, index=index, first_row=first, rows=table.num_rows, images=images)
        yield _Part(batch, run.plan_batch(index), buffer.getvalue())
        first += table.num_rows


def _write_part(part: _Part) -> BatchRef:
    part.file.write_bytes(part.content.to_pybytes())
    return part.batch


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


def _check_same(plan: Plan, settings: RunSettings, links_sha256: str, run: RunFolder) -> None:
    before, now = plan.settings.model_dump(), settings.model_dump()
    changes = [f"{name} was {before[name]!r} and is now {now[name]!r}" for name in now if now[name] != before[name]]
    if plan.links_sha256 != links_sha256:
        changes.append("the dataset's links have changed")
    if changes:
        raise PlanError(f"{run.uri} was planned differently: {'; '.join(changes)}. Start a new run instead")
