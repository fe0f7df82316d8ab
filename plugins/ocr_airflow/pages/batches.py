"""All batches of a run together: what Airflow says of their tasks, and what their files say of their images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from ocr_airflow.dags import READ_TASK
from ocr_airflow.pages.database import AirflowRun, TaskState
from ocr_pipeline.run.staging import BatchProgress
from ocr_pipeline.viewing.answers import BatchOverview, BatchState, Overview

_MOST_LINES = 200
_WAITING = TaskState("waiting", 0)


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A batch as the page shows it: its files and its task."""

    batch: BatchOverview
    task: TaskState

    @property
    def index(self) -> int:
        """Its number."""
        return self.batch.batch.index

    @property
    def now(self) -> BatchProgress | None:
        """What it reports, while its task runs; what a task that was killed has left says nothing of now."""
        return self.batch.now if self.task.state == "running" else None

    @property
    def retryable(self) -> bool:
        """Whether trying it again can read more of it."""
        return self.task.ended and (bool(self.batch.failed) or not self.whole)

    @property
    def whole(self) -> bool:
        """Whether all of its images are read, whatever Airflow made of its task."""
        return self.batch.state is BatchState.STAGED

    @property
    def quiet(self) -> bool:
        """Whether nothing goes on in it and nothing failed."""
        return not self.batch.failed and self.task.state in ("success", "waiting", "scheduled")


@dataclass(frozen=True, slots=True)
class Batches:
    """The lines of a run, how many batches are in each state, and which may be tried again, as ``retry`` says.

    ``reasons`` are what ended attempts of batches that are not done, each with how many batches it ended, the most
    frequent first, and ``next_try`` is when Airflow tries the first of those again that wait. ``left_out`` counts
    batches without a line, because nothing goes on in them and nothing failed. What runs reads ``images_per_second``
    together, at which the run is done in ``seconds_left``; both are None where nothing tells.
    """

    lines: tuple[BatchLine, ...]
    states: Mapping[str, int]
    retryable: tuple[int, ...]
    retry: str
    reasons: Mapping[str, int]
    next_try: datetime | None
    left_out: int
    images_per_second: float | None
    seconds_left: float | None
    task_id: str = READ_TASK

    @classmethod
    def of(cls, batches: Sequence[BatchOverview], tasks: Mapping[int, TaskState]) -> Self:
        """Of all batches; where there are many, those come first in which something goes on or failed."""
        lines = [BatchLine(batch, tasks.get(batch.batch.index, _WAITING)) for batch in batches]
        rate = sum(line.now.images_per_second or 0.0 for line in lines if line.now) or None
        left = sum(batch.total - batch.done for batch in batches)
        shown = lines if len(lines) <= _MOST_LINES else sorted(lines, key=lambda line: line.quiet)[:_MOST_LINES]
        return cls(
            lines=tuple(shown),
            states=Counter(line.task.state for line in lines),
            retryable=tuple(line.index for line in lines if line.retryable),
            retry=_retry([line for line in lines if line.retryable]),
            reasons=dict(Counter(line.batch.error for line in lines if line.batch.error).most_common()),
            next_try=min((line.task.next_try for line in lines if line.task.next_try), default=None),
            left_out=len(lines) - len(shown),
            images_per_second=rate,
            seconds_left=left / rate if rate else None,
        )


def _retry(lines: Sequence[BatchLine]) -> str:
    """What trying these batches again is called."""
    unfinished = sum(not line.whole for line in lines)
    if unfinished == 0:
        return "Retry the failed images of " + (
            "1 batch" if len(lines) == 1 else f"all {len(lines):,} batches with some"
        )
    what = "did not finish" if unfinished == len(lines) else "did not finish or have failed images"
    return f"Retry the batch that {what}" if len(lines) == 1 else f"Retry the {len(lines):,} batches that {what}"


def progress_facts(run: AirflowRun, overview: Overview, batches: Batches) -> dict[str, Any]:
    """How far a run is, for programs: what the page shows above its rows. Batches are those that have a line."""
    return {
        "state": run.state,
        "trimmed_at": overview.trimmed_at.isoformat() if overview.trimmed_at else None,
        "images": overview.images,
        "done": overview.done,
        "failed": overview.failed,
        "statuses": overview.statuses,
        "errors": overview.errors,
        "images_per_second": batches.images_per_second,
        "seconds_left": batches.seconds_left,
        "batches": [
            {
                "batch": line.index,
                "state": line.task.state,
                "images": line.batch.total,
                "done": line.batch.done,
                "failed": line.batch.failed,
                "now": asdict(line.now) if line.now else None,
                "error": line.batch.error,
                "next_try": line.task.next_try.isoformat() if line.task.next_try else None,
            }
            for line in batches.lines
        ],
        "batches_left_out": batches.left_out,
    }
