"""What is said instead of a page: that there is nothing to show, or why it cannot be shown."""

from __future__ import annotations

from dataclasses import dataclass

from ocr_airflow.pages.database import AirflowRun, Planning


@dataclass(frozen=True, slots=True)
class TaskLog:
    """Where the log of a task is."""

    dag_id: str
    run_id: str
    task_id: str


class Notice(Exception):  # noqa: N818 (an answer, as HTTP sees it, and mostly no error)
    """Ends a request with a page that says something.

    :param title: what is the matter, in some words.
    :param text: why, and what to do.
    :param status: of HTTP.
    :param waiting: whether it may pass by itself, so that the page asks again.
    :param reason: what a task said of it, which may quote strangers.
    :param log: where more of it can be read.
    """

    def __init__(
        self,
        title: str,
        text: str,
        status: int = 200,
        *,
        waiting: bool = False,
        reason: str = "",
        log: TaskLog | None = None,
    ) -> None:
        super().__init__(f"{title}: {text}")
        self.title = title
        self.text = text
        self.status = status
        self.waiting = waiting
        self.reason = reason
        self.log = log


def no_such_run(dag_id: str, run_id: str) -> Notice:
    """Airflow has no such run."""
    return Notice("There is no such run", f"Airflow has no run {run_id} of the DAG {dag_id}.", 404)


def not_ours(dag_id: str) -> Notice:
    """The run is one of a DAG that reads no images."""
    text = (
        f"This tab shows what runs of bulk OCR have read. The DAG {dag_id} reads no images, so there is nothing here."
    )
    return Notice("No OCR results", text)


def not_planned(run: AirflowRun, planning: Planning) -> Notice:
    """The run's plan is not there."""
    task, reason = planning.task_id, planning.reason
    log = TaskLog(run.dag_id, run.run_id, task)
    if planning.refused:
        return Notice("This run could not be planned", "It was told what cannot be.", reason=reason, log=log)
    if planning.state in ("failed", "upstream_failed"):
        why = "" if reason else " It did not say why; its log may."
        text = (
            f"The task {task} failed before there was anything to read.{why} When what is wrong is mended, clear the "
            "task in Airflow. Where the run was told something wrong, start a new one."
        )
        return Notice("This run could not be planned", text, reason=reason, log=log)
    if planning.state == "skipped":
        text = "There was nothing to read. When its dataset is there, clear the run in Airflow."
        return Notice("This run was skipped", text, reason=reason, log=log)
    if not run.going_on:
        text = "It was ended before its dataset was read. Clear it in Airflow, or start a new run."
        return Notice("This run was not planned", text, log=log)
    if planning.state == "up_for_retry":
        text = (
            f"The task {task} failed, and is tried again by itself. This page shows the run as soon as it is planned."
        )
        return Notice("This run is being planned", text, waiting=True, reason=reason, log=log)
    text = "The dataset is being read and cut into batches. This page shows them as soon as they are there."
    return Notice("This run is being planned", text, waiting=True)


def unreadable(error: Exception) -> Notice:
    """The results lie where they cannot be read, or are not what they should be."""
    return Notice("The results cannot be shown", f"{error}", 503, waiting=True)


def no_such_row(row: int, page: int) -> Notice:
    """The results have no such row."""
    text = f"The results of this run have no page {page + 1} of an image in row {row + 1}."
    return Notice("There is no such page of an image", text, 404)


def no_such_file(name: str) -> Notice:
    """The run's folder has no such file, or not yet."""
    text = f"This run has no {name}: it is written when all batches are merged, or it is not one of this run's files."
    return Notice("There is no such file", text, 404)
