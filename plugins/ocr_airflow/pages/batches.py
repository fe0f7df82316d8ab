"""All batches of a run together: what Airflow says of their tasks, and what their files say of their images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from ocr_airflow.dags import READ_TASK
from ocr_airflow.pages.database import TaskState
from ocr_pipeline.viewing.results import BatchView

_MOST_LINES = 200
_WAITING = TaskState("waiting", 0)


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A batch as the page shows it. ``retryable``: whether trying it again can read more of it."""

    index: int
    label: str
    state: str
    tries: int
    images: int
    done: int
    failed: int
    seconds: float | None
    error: str
    retryable: bool

    @classmethod
    def of(cls, view: BatchView, task: TaskState) -> Self:
        """From both."""
        return cls(
            index=view.batch.index,
            label=view.batch.label,
            state=task.state,
            tries=task.tries,
            images=view.batch.images,
            done=view.done,
            failed=view.failed,
            seconds=view.seconds,
            error=view.error,
            retryable=task.ended and (bool(view.failed) or not view.staged),
        )

    @property
    def quiet(self) -> bool:
        """Whether nothing goes on in it and nothing failed."""
        return not self.failed and self.state in ("success", "waiting", "scheduled")


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
    def of(cls, views: Iterable[BatchView], tasks: Mapping[int, TaskState]) -> Self:
        """Of all batches; where there are many, those come first in which something goes on or failed."""
        lines = [BatchLine.of(view, tasks.get(view.batch.index, _WAITING)) for view in views]
        shown = lines
        if len(lines) > _MOST_LINES:
            shown = sorted(lines, key=lambda line: line.quiet)[:_MOST_LINES]
        return cls(
            lines=tuple(shown),
            states=Counter(line.state for line in lines),
            retryable=tuple(line.index for line in lines if line.retryable),
            left_out=len(lines) - len(shown),
        )
