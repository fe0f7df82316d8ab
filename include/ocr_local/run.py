"""One run on the local Airflow, from the trigger to the summary."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

from rich.console import Console

from ocr_demo import ImageServer, draw, write_dataset
from ocr_local.airflow import DAG_ID, Running, connect
from ocr_local.allow import absolute, allow, allowed_meanwhile
from ocr_local.api import AirflowApi, ApiError
from ocr_local.home import Home
from ocr_local.locks import RunMarks, exclusive
from ocr_local.progress import watch
from ocr_local.summary import print_summary
from ocr_pipeline.dataset import check_places, is_local, local_folders, open_dataset
from ocr_pipeline.errors import SettingsError
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.addresses import STORE_SCHEMES, join_entries, shown_dataset, split_entries
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.settings.run import RunSettings
from ocr_pipeline.storage.folders import Folder, scratch_folder
from ocr_pipeline.storage.opening import open_folder
from ocr_pipeline.storage.patience import Patience

DEMO_SETTINGS = {"batch_size": 25, "read_timeout": 3, "total_timeout": 10, "attempts": 2}
"""Small batches, so that there are several to watch; short times, because one of its hosts never answers."""

_SCHEME = re.compile(r"[a-z][a-z0-9]*:")


class RunFailedError(Exception):
    """The run did not succeed; the message names the tasks that failed and their errors."""


class RunStopped(Exception):  # noqa: N818 -- a person's wish is no error
    """A person stopped the run; the message says how to go on."""

    @classmethod
    def retried_by(cls, dag_id: str, run_id: str) -> Self:
        """That of a run that a retry goes on with."""
        dag = "" if dag_id == DAG_ID else f" DAG={shlex.quote(dag_id)}"
        return cls(f"Stopped. What was finished is kept; go on from there: make retry RUN={shlex.quote(run_id)}{dag}")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the command line says of a run; None leaves the default. ``allow`` is what runs may touch from now on."""

    image_column: str | None
    query: str | None
    output: str | None
    batch_size: int | None
    limit: int | None
    allow: tuple[str, ...] = ()

    def settings(self, home: Home) -> dict[str, Any]:
        """As settings of a run."""
        values = {
            "image_column": self.image_column,
            "query": self.query,
            "output": _output(self.output or home.output),
            "batch_size": self.batch_size,
            "limit": self.limit,
        }
        return {name: value for name, value in values.items() if value is not None}


def _output(uri: str) -> str:
    """A folder for results as an absolute path, or the URI in a bucket that it is."""
    if _in_bucket(uri):
        return uri
    path = str(absolute(uri))
    return path if path == path.strip() else f"{path}/"  # white space at the end of a setting does not count


def _in_bucket(uri: str) -> bool:
    return uri.partition("://")[0].lower() in STORE_SCHEMES


def _allowances_of(output: str) -> Allowances:
    """What this process needs to read results: their folder, or their bucket with the environment's credentials."""
    return Allowances.parse([output], _only_in_airflow)


def _only_in_airflow(name: str) -> Connection:
    raise SettingsError(
        f"make run cannot open the output with the connection {name!r}, which only Airflow knows: leave "
        f"{name}@ out and put the bucket's credentials into the environment (AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL; or GOOGLE_APPLICATION_CREDENTIALS), "
        "or trigger the run in the UI (make up)"
    )


def absolute_dataset(dataset: str) -> str:
    """The setting ``dataset`` with its paths, which may be relative to where the command runs, made absolute.

    What is there by the whole of that name is one place, whatever separators stand in it.
    """
    entries = [dataset] if os.path.lexists(dataset) else split_entries(dataset)
    return join_entries([entry if _SCHEME.match(entry) else str(absolute(entry)) for entry in entries])


def check_request(home: Home, dataset: str | None, request: RunRequest) -> None:
    """Find what is wrong with a request before Airflow is started for it.

    :raises SettingsError: when a setting is wrong.
    :raises DatasetError: when the dataset cannot be read, or has no column of links.
    :raises StorageError: when the output cannot be written.
    """
    places = absolute_dataset(dataset) if dataset else "/demo.csv"
    settings = RunSettings.parse({"dataset": places, **request.settings(home)})
    check_places(places)
    # What lies elsewhere may need connections, which only Airflow knows.
    if dataset and all(is_local(entry) for entry in split_entries(places)):
        with scratch_folder("check") as scratch:
            open_dataset(settings, Allowances(tuple(local_folders(places))), scratch)
    # A person waits for this: a store that is away now is said soon.
    _check_output(open_folder(settings.output, _allowances_of(settings.output), Patience(outage=10)))


def _check_output(folder: Folder) -> None:
    """List it, write to it and remove that again, as every run does."""
    folder.create()
    folder.files()
    probe = folder.file(f".probe-{secrets.token_hex(4)}")
    probe.write_bytes(b"")
    probe.delete()


def run_dataset(home: Home, running: Running, dataset: str, request: RunRequest, console: Console) -> None:
    """Run a dataset of the user's own. Its folders are trusted from now on, as are the output and ``allow``.

    :raises RunFailedError: when the run does not succeed.
    :raises RunStopped: when a person stops it.
    """
    places = absolute_dataset(dataset)
    api = connect(home, running)
    settings = {"dataset": places, **request.settings(home)}
    allow(home, api, [*(str(folder) for folder in local_folders(places)), settings["output"], *request.allow])
    _run(home, api, "run", settings, console)


def run_demo(home: Home, running: Running, folder: Path, request: RunRequest, console: Console) -> None:
    """Draw the demo's images into ``folder``, serve them on loopback, and run them.

    :raises RunFailedError: when the run does not succeed.
    :raises RunStopped: when a person stops it.
    """
    console.print("Drawing the demo's images ...")
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / "drawing.lock"):
        draw(folder)
    api = connect(home, running)
    with ImageServer(folder) as server:
        origin = urlsplit(server.url)
        # Of this server alone: another command may run the demo at the same time.
        dataset = folder / f"dataset-{origin.port}.csv"
        write_dataset(folder, server.url, dataset)
        settings = {"dataset": join_entries([str(dataset)]), **DEMO_SETTINGS, **request.settings(home)}
        allow(home, api, [str(folder), settings["output"], *request.allow])
        try:
            with allowed_meanwhile(home, api, origin.netloc):
                _run(home, api, "demo", settings, console)
        except RunStopped:
            raise RunStopped("Stopped. The demo's images went with their server: make run begins anew") from None
        finally:
            dataset.unlink(missing_ok=True)


def _run(home: Home, api: AirflowApi, prefix: str, settings: dict[str, Any], console: Console) -> None:
    marks = run_marks(home, DAG_ID)
    _end_abandoned(api, marks)
    with _new_run(api, marks, prefix) as run_id:
        _run_as(home, run_id, api, settings, console)


def run_marks(home: Home, dag_id: str) -> RunMarks:
    """The marks of the runs of ``dag_id`` that commands of ``home`` have under way."""
    return RunMarks(home.path / "commands" / dag_id)


@contextmanager
def _new_run(api: AirflowApi, marks: RunMarks, prefix: str) -> Iterator[str]:
    """A name that no run has, and its mark for the time of the block."""
    while True:
        run_id = f"{prefix}-{time.strftime('%Y%m%d-%H%M%S')}"
        with marks.holding(run_id) as ours:
            if ours and not api.has_run(DAG_ID, run_id):
                yield run_id
                return
        time.sleep(1)  # another command had it this very second


def _run_as(home: Home, run_id: str, api: AirflowApi, settings: dict[str, Any], console: Console) -> None:
    run = RunFolder.of(settings["output"], run_id, _allowances_of(settings["output"]))
    api.trigger(DAG_ID, run_id, settings)
    try:
        console.print(f"Run {run_id}: {shown_dataset(settings['dataset'])}", markup=False, soft_wrap=True)
        print_link(home, api, DAG_ID, run_id, console)
        watched = watch(api, run, run_id, console)
    except KeyboardInterrupt:
        api.fail_run(DAG_ID, run_id)
        raise RunStopped.retried_by(DAG_ID, run_id) from None
    if run.summary.exists():
        print_summary(run, watched.describe(), console)
    if not home.kept.exists():
        console.print("To look at it in the Airflow UI: make up")
    if watched.state != "success":
        raise RunFailedError(explain_failure(api, DAG_ID, run_id))


def _end_abandoned(api: AirflowApi, marks: RunMarks) -> None:
    """Fail runs of commands that were killed before they could: their demo's server is gone."""
    for run_id in marks.left():
        if api.has_run(DAG_ID, run_id) and api.run_state(DAG_ID, run_id) not in ("success", "failed"):
            api.fail_run(DAG_ID, run_id)


def print_link(home: Home, api: AirflowApi, dag_id: str, run_id: str, console: Console) -> None:
    """Say where a run is in the UI, if the UI outlives the command."""
    if home.kept.exists():
        console.print(f"  in the UI: {api.url}/dags/{dag_id}/runs/{quote(run_id)}", markup=False, soft_wrap=True)


def explain_failure(api: AirflowApi, dag_id: str, run_id: str) -> str:
    """Which tasks of a run failed, and why."""
    failed = [task for task in api.tasks(dag_id, run_id) if task["state"] == "failed"]
    lines = [f"Run {run_id} failed."]
    for task in failed:
        name = task["task_id"] if task["map_index"] < 0 else f"{task['task_id']} [{task['map_index']}]"
        try:
            error = api.task_error(dag_id, run_id, task)
        except ApiError:
            error = None
        lines.append(f"  {name}: {error or 'see its log in the UI (make up)'}")
    return "\n".join(lines)
