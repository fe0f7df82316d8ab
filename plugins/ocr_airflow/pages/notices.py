"""What is said instead of a page: that there is nothing to show, or why it cannot be shown."""

from __future__ import annotations


class Notice(Exception):  # noqa: N818 (an answer, as HTTP sees it, and mostly no error)
    """Ends a request with a page that says something.

    :param title: what is the matter, in some words.
    :param text: why, and what to do.
    :param status: of HTTP.
    :param waiting: whether it may pass by itself, so that the page asks again.
    """

    def __init__(self, title: str, text: str, status: int = 200, *, waiting: bool = False) -> None:
        super().__init__(f"{title}: {text}")
        self.title = title
        self.text = text
        self.status = status
        self.waiting = waiting


def no_such_run(dag_id: str, run_id: str) -> Notice:
    """Airflow has no such run."""
    return Notice("There is no such run", f"Airflow has no run {run_id} of the DAG {dag_id}.", 404)


def not_ours(dag_id: str) -> Notice:
    """The run is one of a DAG that reads no images."""
    text = (
        f"This tab shows what runs of bulk OCR have read. The DAG {dag_id} reads no images, so there is nothing here."
    )
    return Notice("No OCR results", text)


def not_planned(state: str | None) -> Notice:
    """The run's plan is not there; ``state`` is that of the task that makes it."""
    if state in ("failed", "upstream_failed"):
        text = "The task plan failed before there was anything to read: its log says why. Clear it when that is mended."
        return Notice("This run could not be planned", text)
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
