"""How tasks fail: with a message for people, a stack trace only for defects, and another try only where that may help.

Airflow logs every exception with its stack trace, but for an exit. So an error that was foreseen ends its task as an
exit, its message logged before. The pages show it, too: it is published as an XCom, which Airflow removes when the task
runs again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from airflow.sdk import BaseOperator, ExceptionRetryPolicy, RetryAction, RetryRule

if TYPE_CHECKING:
    from airflow.sdk import Context

ERROR_KEY = "error"
"""XCom key under which a task publishes why it failed."""

REFUSED_KEY = "refused"
"""XCom key in its place, where the run itself was told what cannot be: clearing the task cannot help."""


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
def task_errors(task: BaseOperator, context: Context | None = None) -> Iterator[None]:
    """Let Airflow retry what a later attempt of ``task`` may mend, and only that.

    Our errors say all there is to say: the log shows none of those of libraries that led to them.

    :param context: of a task that publishes why it failed, for the pages.
    :raises TaskFailed: for an error of the core that a later attempt may mend.
    :raises TaskFailedForGood: for any other of its errors.
    """
    from ocr_pipeline.errors import OcrPipelineError, RefusedRunError

    try:
        yield
    except OcrPipelineError as error:
        if context is not None:
            _publish(task, context, REFUSED_KEY if isinstance(error, RefusedRunError) else ERROR_KEY, str(error))
        fail(task, str(error), TaskFailed if error.retryable else TaskFailedForGood)


def _publish(task: BaseOperator, context: Context, key: str, message: str) -> None:
    try:
        context["ti"].xcom_push(key=key, value=message)
    except Exception as error:  # whatever keeps it from being shown elsewhere, it is in the log
        task.log.warning("why the task fails cannot be shown on the pages: %s: %s", type(error).__name__, error)


def fail(task: BaseOperator, message: str, kind: type[TaskFailed] = TaskFailedForGood) -> NoReturn:
    """End ``task`` with ``message`` as the last of its log."""
    task.log.error("%s", message)
    raise kind(message) from None
