"""All batches of a run together: what Airflow says of their tasks, and what their files say of their images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ocr_airflow.dags import READ_TASK
from ocr_airflow.pages.database import TaskState
from ocr_pipeline.viewing.answers import BatchOverview, BatchState

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
    def retryable(self) -> bool:
        """Whether trying it again can read more of it."""
        return self.task.ended and (bool(self.batch.failed) or self.batch.state is not BatchState.STAGED)

    @property
    def quiet(self) -> bool:
        """Whether nothing goes on in it and nothing failed."""
        return not self.batch.failed and self.task.state in ("success", "waiting", "scheduled")


@dataclass(frozen=True, slots=True)
class Batches:
    """The lines of a run, how many batches are in each state, and which may be tried again.

    ``left_out`` counts batches without a line, because nothing goes on in them and nothing failed.
    """

    lines: tuple[BatchLine, ...]
    states: Mapping[str, int]
    retryable: tuple[int, ...]
    left_out: int
    task_id: str = READ_TASK

    @classmethod
    def of(cls, batches: Sequence[BatchOverview], tasks: Mapping[int, TaskState]) -> Self:
        """Of all batches; where there are many, those come first in which something goes on or failed."""
        lines = [BatchLine(batch, tasks.get(batch.batch.index, _WAITING)) for batch in batches]
        shown = lines if len(lines) <= _MOST_LINES else sorted(lines, key=lambda line: line.quiet)[:_MOST_LINES]
        return cls(
            lines=tuple(shown),
            states=Counter(line.task.state for line in lines),
            retryable=tuple(line.index for line in lines if line.retryable),
            left_out=len(lines) - len(shown),
        )
