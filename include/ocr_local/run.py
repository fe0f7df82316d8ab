"""One run on the local Airflow, from the trigger to the summary."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console

from ocr_demo import ImageServer, draw, write_dataset
from ocr_local.airflow import DAG_ID, Running, connect
from ocr_local.api import AirflowApi, ApiError
from ocr_local.home import Home
from ocr_local.locks import RunMarks, exclusive
from ocr_local.progress import watch
from ocr_local.summary import print_summary
from ocr_pipeline.dataset import check_places, is_local, local_folders, open_dataset
from ocr_pipeline.errors import SettingsError
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.addresses import STORE_SCHEMES, shown_dataset, split_entries
from ocr_pipeline.settings.deployment import ALLOW_VARIABLE, Allowances, Connection, join_allowed, split_allowed
from ocr_pipeline.settings.run import RunSettings
from ocr_pipeline.storage.opening import open_folder
from ocr_pipeline.storage.patience import Patience

DEMO_SETTINGS = {"batch_size": 25, "read_timeout": 3, "total_timeout": 10, "attempts": 2}
"""Small batches, so that there are several to watch; short times, because one of its hosts never answers."""

_SCHEME = re.compile(r"[a-z][a-z0-9]*:")


class RunFailedError(Exception):
    """The run did not succeed; the message names the tasks that failed and their errors."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the command line says of a run; None leaves the default."""

    image_column: str | None
    query: str | None
    output: str | None
    batch_size: int | None
    limit: int | None
    allow: str

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

    def allowed(self) -> list[str]:
        """The entries of ``allow``; folders may be relative to where the command runs."""
        entries = split_allowed(self.allow)
        return [str(_absolute(Path(entry))) if Path(entry).is_dir() else entry for entry in entries]


def _absolute(path: Path) -> Path:
    return path.expanduser().resolve()


def _output(uri: str) -> str:
    """A folder for results as an absolute path, or the URI in a bucket that it is."""
    return uri if _in_bucket(uri) else str(_absolute(Path(uri)))


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
    """The setting ``dataset`` with its paths, which may be relative to where the command runs, made absolute."""
    entries = (entry if _SCHEME.match(entry) else str(_absolute(Path(entry))) for entry in split_entries(dataset))
    return "\n".join(entries)


def check_request(home: Home, dataset: str | None, request: RunRequest) -> None:
    """Find what is wrong with a request before Airflow is started for it.

    :raises SettingsError: when a setting or an allowed entry is wrong.
    :raises DatasetError: when the dataset cannot be read, or has no column of links.
    :raises StorageError: when the output is in a bucket that cannot be reached.
    """
    places = absolute_dataset(dataset) if dataset else "/demo.csv"
    settings = RunSettings.parse({"dataset": places, **request.settings(home)})
    if _in_bucket(settings.output):
        # A person waits for this: a store that is away now is said soon.
        open_folder(settings.output, _allowances_of(settings.output), Patience(outage=10)).files()
    Allowances.parse(request.allowed(), _looked_up_later)
    check_places(places)
    # What lies elsewhere may need connections, which only Airflow knows.
    if dataset and all(is_local(entry) for entry in split_entries(places)):
        with tempfile.TemporaryDirectory(prefix="ocr-check-") as scratch:
            open_dataset(settings, Allowances(tuple(local_folders(places))), Path(scratch))


def _looked_up_later(name: str) -> Connection:
    """Stands in for a connection that only Airflow knows."""
    return Connection(name, "http", "localhost")


def run_dataset(home: Home, running: Running, dataset: str, request: RunRequest, console: Console) -> None:
    """Run a dataset of the user's own. Its folders are trusted from now on, as are the output and ``allow``.

    :raises RunFailedError: when the run does not succeed.
    """
    places = absolute_dataset(dataset)
    api = connect(home, running)
    settings = {"dataset": places, **request.settings(home)}
    _allow(home, api, [*(str(folder) for folder in local_folders(places)), settings["output"], *request.allowed()])
    _run(home, api, "run", settings, console)


def run_demo(home: Home, running: Running, folder: Path, request: RunRequest, console: Console) -> None:
    """Draw the demo's images into ``folder``, serve them on loopback, and run them.

    :raises RunFailedError: when the run does not succeed.
    """
    with console.status("Drawing the demo's images ..."):
        draw(folder)
    api = connect(home, running)
    with ImageServer(folder) as server:
        dataset = write_dataset(folder, server.url)
        settings = {"dataset": str(dataset), **DEMO_SETTINGS, **request.settings(home)}
        _allow(home, api, [str(folder), settings["output"]])
        with _allowed_meanwhile(home, api, urlsplit(server.url).netloc):
            _run(home, api, "demo", settings, console)


def _run(home: Home, api: AirflowApi, prefix: str, settings: dict[str, Any], console: Console) -> None:
    marks = run_marks(home, DAG_ID)
    _end_abandoned(api, marks)
    with _new_run(api, marks, prefix) as run_id:
        _run_as(run_id, api, settings, console)


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


def _run_as(run_id: str, api: AirflowApi, settings: dict[str, Any], console: Console) -> None:
    api.trigger(DAG_ID, run_id, settings)
    run = RunFolder.of(settings["output"], run_id, _allowances_of(settings["output"]))
    console.print(f"Run {run_id}: {shown_dataset(settings['dataset'])}", markup=False, soft_wrap=True)
    console.print(f"  in the UI: {api.url}/dags/{DAG_ID}/runs/{run_id}", soft_wrap=True)
    try:
        watched = watch(api, run, run_id, console)
    except KeyboardInterrupt:
        api.fail_run(DAG_ID, run_id)
        raise
    if run.summary.exists():
        print_summary(run, watched.describe(), console)
    console.print("To look at it in the Airflow UI: make up")
    if watched.state != "success":
        raise RunFailedError(explain_failure(api, DAG_ID, run_id))


def _end_abandoned(api: AirflowApi, marks: RunMarks) -> None:
    """Fail runs of commands that were killed before they could: their demo's server is gone."""
    for run_id in marks.left():
        if api.has_run(DAG_ID, run_id) and api.run_state(DAG_ID, run_id) not in ("success", "failed"):
            api.fail_run(DAG_ID, run_id)


def _allow(home: Home, api: AirflowApi, entries: list[str]) -> list[str]:
    """Add entries to what runs of this Airflow may touch; returns those that were not among it."""
    with exclusive(home.path / "allow.lock"):
        known = api.variable(ALLOW_VARIABLE)
        new = [entry for entry in dict.fromkeys(entries) if entry not in split_allowed(known)]
        if new:
            added = join_allowed(new)
            api.set_variable(ALLOW_VARIABLE, f"{known},{added}" if known else added)
    return new


@contextmanager
def _allowed_meanwhile(home: Home, api: AirflowApi, entry: str) -> Iterator[None]:
    """Allow ``entry`` for the duration of the block."""
    new = _allow(home, api, [entry])
    try:
        yield
    finally:
        if new:
            with exclusive(home.path / "allow.lock"):
                lines = api.variable(ALLOW_VARIABLE).split("\n")
                kept = (join_allowed(known for known in split_allowed(line) if known != entry) for line in lines)
                api.set_variable(ALLOW_VARIABLE, "\n".join(kept))


def explain_failure(api: AirflowApi, dag_id: str, run_id: str) -> str:
    """Which tasks of a run failed, and why."""
    failed = [task for task in api.tasks(dag_id, run_id) if task["state"] == "failed"]
    lines = [f"Run {run_id} failed."]
    for task in failed:
        name = task["task_id"] if task["map_index"] < 0 else f"{task['task_id']} [{task['map_index']}]"
        try:
            log = api.task_log(dag_id, run_id, task)
        except ApiError:
            log = []
        errors = [line for line in log if "Error" in line or "Exception" in line]
        lines.append(f"  {name}: {errors[-1] if errors else 'see its log in the UI'}")
    return "\n".join(lines)
