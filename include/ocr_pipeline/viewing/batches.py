"""How far the batches of a run are, by what its folder holds of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ocr_pipeline.records import BatchRef
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.run.staging import BatchProgress, BatchStatistics, read_progress, read_statistics
from ocr_pipeline.viewing.answers import BatchOverview, BatchState
from ocr_pipeline.viewing.caching import Kept

_MARKERS: Kept[tuple[str, str], BatchStatistics] = Kept(10_000)
"""Statistics of staged batches, by the names and the versions of their markers: a page asks for all, every second."""


def staged_statistics(run: RunFolder, plan: Plan) -> dict[int, BatchStatistics]:
    """The statistics of the batches that are staged, by their numbers, in order.

    :raises StorageError: when the run's folder cannot be read.
    """
    versions = run.batches.versions()
    found: dict[int, BatchStatistics | None] = {}
    for batch in plan.batches:
        marker = run.marker(batch.index)
        if marker.name in versions:
            found[batch.index] = _MARKERS.get((str(marker), versions[marker.name].mark))
    new = [plan.batches[index] for index, statistics in found.items() if statistics is None]
    for batch, statistics in zip(
        new, run.folder.map(lambda batch: read_statistics(run, batch, plan.digests[batch.index]), new), strict=True
    ):
        found[batch.index] = statistics
        if statistics is not None:
            marker = run.marker(batch.index)
            _MARKERS.put((str(marker), versions[marker.name].mark), statistics)
    return {
        index: statistics
        for index, statistics in found.items()
        if statistics is not None and statistics.digest == plan.digests[index]
    }


def batch_overviews(run: RunFolder, plan: Plan, lost: Mapping[int, str]) -> list[BatchOverview]:
    """Every batch of the plan, in order.

    :param lost: why the merge found batches unfinished, by their numbers.
    :raises StorageError: when the run's folder cannot be read.
    """
    staged = staged_statistics(run, plan)
    begun = sorted(run.begun(batch.index for batch in plan.batches if batch.index not in staged))
    running = dict(zip(begun, run.folder.map(lambda i: read_progress(run, plan.batches[i]), begun), strict=True))
    return [
        _staged(batch, staged[batch.index])
        if batch.index in staged
        else _under_way(batch, running.get(batch.index), lost.get(batch.index, ""))
        for batch in plan.batches
    ]


def _staged(batch: BatchRef, statistics: BatchStatistics) -> BatchOverview:
    return BatchOverview(
        batch=batch,
        state=BatchState.STAGED,
        total=batch.images,
        done=statistics.images,
        failed=statistics.failed,
        error="",
        pages=statistics.pages,
        bytes=statistics.bytes,
        statuses=statistics.statuses,
        errors=statistics.errors,
        warnings=statistics.warnings,
        models=tuple(statistics.models),
        seconds=statistics.seconds,
        finished_at=datetime.fromisoformat(statistics.finished_at),
        resumed=statistics.resumed,
        now=None,
    )


def _under_way(batch: BatchRef, progress: BatchProgress | None, lost: str) -> BatchOverview:
    error = (progress.error if progress else "") or lost
    if error:
        state = BatchState.UNFINISHED
    else:
        state = BatchState.RUNNING if progress else BatchState.WAITING
    return BatchOverview(
        batch=batch,
        state=state,
        total=batch.images,
        done=progress.done if progress else 0,
        failed=progress.failed if progress else 0,
        error=error,
        pages=0,
        bytes=0,
        statuses={},
        errors={},
        warnings={},
        models=(),
        seconds=0.0,
        finished_at=None,
        resumed=0,
        now=progress if state is BatchState.RUNNING else None,
    )
