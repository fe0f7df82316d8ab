"""How tasks fail: with a message for people, a stack trace only for defects, and another try only where that may help.

Airflow logs every exception with its stack trace, but for an exit. So an error that was foreseen ends its task as an
exit, its message logged before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from airflow.sdk import BaseOperator, ExceptionRetryPolicy, RetryAction, RetryRule


class TaskFailed(SystemExit):
    """Ends a task, which is tried again if it has tries left. Its text says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = 1  # what Airflow shows of it


class TaskFailedForGood(TaskFailed):
    """Ends a task that is not to be tried again, as a person has to change something first."""


FAIL_FOR_GOOD = ExceptionRetryPolicy(
    [RetryRule(TaskFailedForGood, RetryAction.FAIL, reason="a person has to change something first")]
)
"""The retry policy of every task that uses :func:`task_errors`."""


@contextmanager
def task_errors(task: BaseOperator) -> Iterator[None]:
    """Let Airflow retry what a later attempt of ``task`` may mend, and only that.

    Our errors say all there is to say: the log shows none of those of libraries that led to them.

    :raises TaskFailed: for an error of the core that a later attempt may mend.
    :raises TaskFailedForGood: for any other of its errors.
    """
    from ocr_pipeline.errors import OcrPipelineError

    try:
        yield
    except OcrPipelineError as error:
        fail(task, str(error), TaskFailed if error.retryable else TaskFailedForGood)


def fail(task: BaseOperator, message: str, kind: type[TaskFailed] = TaskFailedForGood) -> NoReturn:
    """End ``task`` with ``message`` as the last of its log."""
    task.log.error("%s", message)
    raise kind(message) from None
