"""Trying again what failed in a run of the local Airflow: its own batches, and in them only the failed images."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from ocr_local.airflow import Running, connect
from ocr_local.api import AirflowApi, ApiError
from ocr_local.home import Home
from ocr_local.run import RunFailedError, RunStopped, explain_failure, print_link, run_marks
from ocr_local.summary import print_summary
from ocr_pipeline.errors import MissingPlanError, PlanError
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.run.staging import read_progress
from ocr_pipeline.settings.deployment import Allowances

_PLAN, _READ = "plan", "read_batch"
_REFUSED = "refused"  # under which the plan task says that the run was told what cannot be
_ENDED = ("success", "failed")
_RECENT = 10
_STATE_SECONDS = 1.0
_TASKS_SECONDS = 5.0


class RetryError(Exception):
    """The run cannot be retried; the message says why and what to do."""


def retry_run(home: Home, running: Running, dag_id: str, run_id: str, console: Console) -> None:
    """Clear the batches of a run that failed or have failed images, wait for them, and print the summary.

    What was read stays as it is. The other tasks that failed are cleared as well, and whatever follows from one.

    :raises RetryError: when there is no such run, it has not ended or was trimmed, or its folder is elsewhere.
    :raises RunFailedError: when the run does not succeed this time either.
    :raises RunStopped: when a person stops it.
    """
    api = connect(home, running)
    _check_ended(api, dag_id, run_id)
    with run_marks(home, dag_id).holding(run_id) as ours:
        if not ours:
            raise RetryError(f"another command has run {run_id} under way: wait until it has ended")
        _retry(home, api, dag_id, run_id, console)


def _retry(home: Home, api: AirflowApi, dag_id: str, run_id: str, console: Console) -> None:
    tasks = {(task["task_id"], task["map_index"]): task["state"] for task in api.tasks(dag_id, run_id)}
    run = _folder(api, dag_id, run_id)
    left = dict(_left_to_read(run)) if run else {}
    again = {task for task, state in tasks.items() if state == "failed"} | {(_READ, index) for index in left}
    if not run or not again <= tasks.keys():
        again = {(_PLAN, -1)}  # the batches are not mapped yet
        if refused := api.xcom(dag_id, run_id, _PLAN, _REFUSED):
            raise RetryError(f"nothing is tried again: {refused}")
    if not again:
        console.print(f"Nothing to retry: run {run_id} has no failed task and no failed image.", markup=False)
        return
    if run:
        _check_whole(run)
    for task_id in sorted({task_id for task_id, _ in again}):
        api.clear(dag_id, run_id, task_id, *sorted(i for name, i in again if name == task_id and i >= 0))
    what = "starting where it failed"
    if batches := sum(name == _READ for name, _ in again):
        what = f"trying {_images(sum(left.values()))} again, in {batches} of {_count(tasks)} batches"
    console.print(f"Run {run_id}: {what}", markup=False, soft_wrap=True)
    print_link(home, api, dag_id, run_id, console)
    started = time.monotonic()
    try:
        state = _wait(api, dag_id, run_id, console)
    except KeyboardInterrupt:
        api.fail_run(dag_id, run_id)
        raise RunStopped.retried_by(dag_id, run_id) from None
    run = _folder(api, dag_id, run_id)
    if run and run.summary.exists():
        images = sum(left.values()) if batches else Plan.load(run).images
        print_summary(run, f"{_images(images)} tried again in {time.monotonic() - started:.0f} s", console)
    if state != "success":
        raise RunFailedError(explain_failure(api, dag_id, run_id))


def _check_ended(api: AirflowApi, dag_id: str, run_id: str) -> None:
    try:
        state = api.run_state(dag_id, run_id)
    except ApiError as error:
        if not error.absent:
            raise
        try:
            recent = api.recent_runs(dag_id, _RECENT)
        except ApiError as no_dag:
            if not no_dag.absent:
                raise
            raise RetryError(f"there is no DAG {dag_id} with a run {run_id}: {error}") from None
        known = "\n".join(f"  {name}  {state}" for name, state in recent) or "  none"
        raise RetryError(f"{dag_id} has no run {run_id}. Its latest runs:\n{known}") from None
    if state not in _ENDED:
        raise RetryError(f"run {run_id} is {state}: wait until it has ended, or fail it in the UI")


def _folder(api: AirflowApi, dag_id: str, run_id: str) -> RunFolder | None:
    """The run's folder; None when it was never planned."""
    uri = api.xcom(dag_id, run_id, _PLAN, "run")
    if uri is None:
        return None
    if not Path(uri).is_absolute():
        raise RetryError(f"the results are in {uri}, not on this machine: clear the tasks of {run_id} in the UI")
    return RunFolder.open(uri, Allowances((Path(uri),)))


def _check_whole(run: RunFolder) -> None:
    """See that the tasks find what they need: one that is cleared in vain fails, and its run with it."""
    try:
        Plan.load(run).check_whole(run)
    except MissingPlanError:
        return  # the plan task makes it anew
    except PlanError as error:
        raise RetryError(f"nothing is tried again: {error}") from None


def _left_to_read(run: RunFolder) -> Iterator[tuple[int, int]]:
    """The batches that are not staged, or with failed images; and how many images of each are to be tried."""
    for batch in Plan.load(run).batches:
        progress = read_progress(run, batch)
        if progress.failed or not progress.staged:
            yield batch.index, batch.images - progress.done + progress.failed


def _wait(api: AirflowApi, dag_id: str, run_id: str, console: Console) -> str:
    """Wait for the run to end, showing what its batches do; returns its state."""
    shown, looked = "", 0.0
    while (state := api.run_state(dag_id, run_id)) not in _ENDED:
        if time.monotonic() - looked >= _TASKS_SECONDS:
            looked = time.monotonic()
            states = Counter(task["state"] for task in api.tasks(dag_id, run_id) if task["task_id"] == _READ)
            line = "  batches: " + ", ".join(f"{count} {name or 'waiting'}" for name, count in states.most_common())
            if line != shown:
                console.print(line, markup=False)
            shown = line
        time.sleep(_STATE_SECONDS)
    return state


def _images(count: int) -> str:
    return f"{count:,} image" if count == 1 else f"{count:,} images"


def _count(tasks: dict[tuple[str, int], str]) -> int:
    return sum(task_id == _READ and map_index >= 0 for task_id, map_index in tasks)
