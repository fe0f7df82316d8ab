"""Scheduled datasets: from a YAML file to its DAG, or to what is wrong with the file."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol, cast
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk import DAG, Asset, Context, CronDataIntervalTimetable, timezone
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSkipException
from airflow.timetables.interval import CronDataIntervalTimetable as CoreTimetable

from ocr_airflow.datasets import DatasetFileError, declared_datasets, read_dataset_file
from ocr_airflow.deployment import default_output
from ocr_airflow.failing import TaskFailed, TaskFailedForGood
from ocr_airflow.operators import PlanRunOperator
from ocr_airflow.settings import run_settings
from ocr_airflow.waiting import WaitForDatasetSensor, Waiting
from ocr_pipeline.dataset import open_dataset
from ocr_pipeline.errors import DatasetError
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings

TELLS = "tests.plugins.notifier.FileNotifier"
EXAMPLE = Path(__file__).parents[2] / "include" / "datasets" / "example.yaml.disabled"


def interval(start: datetime, length: timedelta = timedelta(days=1)) -> dict[str, datetime]:
    """What Airflow says of a run whose interval begins at ``start``: everything in UTC."""
    return {"data_interval_start": start.astimezone(UTC), "data_interval_end": (start + length).astimezone(UTC)}


def the_dag() -> DAG:
    """That of the one dataset that is declared, which Airflow finds nothing wrong with."""
    (declared,) = declared_datasets().datasets
    dag = declared.dag()
    dag.validate()  # type: ignore[no-untyped-call]
    return dag


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OCR_DATASETS", str(tmp_path / "datasets"))
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"


def test_the_example_becomes_a_dag(folder: Path) -> None:
    shutil.copy(EXAMPLE, folder / "receipts.yaml")
    dag = the_dag()
    assert dag.dag_id == "receipts"
    assert dag.schedule == CronDataIntervalTimetable("@daily", timezone="Europe/Berlin")
    assert dag.start_date == datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    assert (dag.catchup, dag.max_active_runs, dag.tags) == (False, 1, {"ocr", "receipts"})
    assert dag.params.validate().items() >= {"languages": ["de", "en"], "batch_size": 500, "dataset": None}.items()
    filled = dag.params.validate()
    assert (filled["catalog"], filled["output"]) == ("receipts", f"{default_output()}/receipts")
    plan, wait, merge = (dag.get_task(name) for name in ("plan", "wait", "merge"))
    assert (plan.owner, plan.retries, plan.retry_delay) == ("data-team", 3, timedelta(minutes=2))
    assert plan.retry_exponential_backoff == 2
    assert isinstance(wait, WaitForDatasetSensor)
    assert wait.downstream_task_ids == {"plan"}
    assert (wait.mode, wait.timeout, wait.poke_interval, wait.otherwise) == ("reschedule", 6 * 3600, 300, "skip")
    assert merge.outlets == [Asset("receipts.results")]


def test_a_dataset_needs_nothing_but_its_source(folder: Path) -> None:
    (folder / "links.yaml").write_text("source: /data/links.csv\n")
    dag = the_dag()
    assert dag.schedule is None
    assert sorted(dag.task_ids) == ["merge", "plan", "read_batch"]


@pytest.mark.parametrize(
    ("schedule", "assets"),
    [
        ("{asset: a.results}", (Asset("a.results"),)),
        ("{asset: 's3://bucket/orders'}", (Asset("s3://bucket/orders"),)),
        ("[{asset: a.results}, {asset: orders, uri: 's3://b/o'}]", (Asset("a.results"), Asset("orders", "s3://b/o"))),
    ],
)
def test_a_dataset_may_be_read_after_assets(folder: Path, schedule: str, assets: tuple[Asset, ...]) -> None:
    (folder / "next.yaml").write_text(f"source: /data/links.csv\nschedule: {schedule}\n")
    assert the_dag().schedule == assets


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("", None),
        ("catchup: true\n", 1),
        ("only_new: true\n", 1),
        ("catchup: true\nonly_new: true\nmax_active_runs: 3\n", 3),
        ("max_active_runs: 40\n", 40),
    ],
)
def test_runs_that_may_be_many_or_build_on_each_other_come_one_by_one(
    folder: Path, text: str, runs: int | None
) -> None:
    (folder / "d.yaml").write_text(f"source: a\nschedule: '@daily'\nstart_date: 2026-01-01\n{text}")
    assert the_dag().max_active_runs == (runs or DAG("bare").max_active_runs)


def test_every_interval_that_begins_on_the_last_day_is_read(folder: Path) -> None:
    (folder / "d.yaml").write_text(
        "source: a\nschedule: '@hourly'\nstart_date: 2026-03-29\nend_date: 2026-03-29\ntimezone: Europe/Berlin\n"
    )
    dag, zone = the_dag(), ZoneInfo("Europe/Berlin")
    assert dag.start_date is not None
    assert dag.end_date is not None
    assert dag.start_date <= datetime(2026, 3, 29, 0, tzinfo=zone)
    assert datetime(2026, 3, 29, 23, tzinfo=zone) <= dag.end_date < datetime(2026, 3, 30, tzinfo=zone)


def test_the_dag_shows_its_file_without_what_is_secret(folder: Path) -> None:
    (folder / "d.yaml").write_text(
        "source: https://me:secret@example.org/{{ day }}.csv?key=secret\ndescription: '````'\n"
        f"notify: [{{notifier: {TELLS}, arguments: {{file: secret}}}}]\n"
    )
    dag = the_dag()
    assert dag.doc_md == (
        "`````yaml\nsource: https://example.org/{{ day }}.csv\ndescription: '````'\n"
        f"notify:\n- notifier: {TELLS}\n  arguments: …\n`````"
    )
    assert dag.params.get_param("dataset").description == (
        "Empty: the dataset of this DAG, https://example.org/{{ day }}.csv"
    )


@pytest.mark.parametrize(
    ("start", "day", "begins", "ends"),
    [  # In Berlin, clocks go forward on March 29 and back on October 25.
        ("2026-03-28T23:00:00Z", "2026-03-29", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        ("2026-03-29T22:00:00Z", "2026-03-30", "2026-03-30T00:00:00+02:00", "2026-03-31T00:00:00+02:00"),
        ("2026-10-22T22:00:00Z", "2026-10-23", "2026-10-23T00:00:00+02:00", "2026-10-24T00:00:00+02:00"),
        ("2026-10-24T22:00:00Z", "2026-10-25", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
        ("2026-10-25T23:00:00Z", "2026-10-26", "2026-10-26T00:00:00+01:00", "2026-10-27T00:00:00+01:00"),
    ],
)
def test_a_source_has_the_day_of_its_own_time_zone(folder: Path, start: str, day: str, begins: str, ends: str) -> None:
    """As Airflow's own timetable cuts the days, also on those that have 23 or 25 hours."""
    (folder / "d.yaml").write_text(
        "source: '{{ day }} {{ interval_start.isoformat() }} {{ interval_end.isoformat() }} {{ day.month }}'\n"
        "schedule: '@daily'\nstart_date: 2026-01-01\ntimezone: Europe/Berlin\n"
    )
    dag = the_dag()
    timetable = CoreTimetable("@daily", timezone="Europe/Berlin")
    during = datetime.fromisoformat(start) + timedelta(hours=30)
    by_hand = timetable.infer_manual_data_interval(run_after=timezone.parse(during.isoformat()))
    plan = dag.get_task("plan")
    assert isinstance(plan, PlanRunOperator)
    context = {
        "params": {},
        "data_interval_start": by_hand.start,
        "data_interval_end": by_hand.end,
        "ds": during.date().isoformat(),
    }
    settings = run_settings(plan, plan.settings, cast(Context, context), plan.timezone)
    assert settings["dataset"] == f"{day} {begins} {ends} {int(day[5:7])}"


class Merged:
    """A task instance that gave how many images are new, and how many of them failed."""

    def __init__(self, new: int, failed: int) -> None:
        self.counts = {"new_images": new, "new_failures": failed}

    def xcom_pull(self, task_ids: str) -> dict[str, int]:
        assert task_ids == "merge"
        return self.counts


@pytest.mark.parametrize(("new", "failed", "told"), [(10, 1, False), (10, 2, True), (0, 0, False)])
def test_who_wants_to_know_is_told(folder: Path, tmp_path: Path, new: int, failed: int, told: bool) -> None:
    file = tmp_path / "told"
    notify = f"notifier: {TELLS}, arguments: {{file: {file}, text: '{{{{ run_id }}}}'}}"
    (folder / "d.yaml").write_text(
        f"source: a\nwait: {{timeout: 1h}}\nnotify:\n  - {{{notify}}}\n  - {{{notify}, when: [failures], above: 0.1}}\n"
    )
    dag = the_dag()
    merge, wait = dag.get_task("merge"), dag.get_task("wait")
    assert isinstance(merge.on_success_callback, list)
    for callback in merge.on_success_callback:
        callback(cast(Context, {"run_id": "many", "task": merge, "ti": Merged(new, failed), "dag": dag}))
    assert file.exists() is told
    for callbacks in (dag.on_failure_callback, wait.on_skipped_callback):
        assert isinstance(callbacks, list)
        for callback in callbacks:
            callback(cast(Context, {"run_id": "other", "dag": dag}))
    assert file.read_text().split() == [*(["many"] if told else []), "other", "other"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1: must have keys"),
        ("- a\n", "1: must have keys"),
        ("source: [\n", "2: expected the node content"),
        ("source: a\n  schedule: '@daily'\n", "2: schedule: it is indented unlike the keys before it"),
        ("wait:\n  timeout: 1h\n every: 5m\n", "3: every: it is indented unlike the keys before it"),
        (
            "source: http://h/a: b\n",
            "1: source: it is indented unlike the keys before it, or is a value",
        ),
        ("source: a\n\twait: b\n", "2: wait: it is indented with a tab: use spaces"),
        ("source: {{ day }}\n", "1: source: a value that begins with {{ needs quotes"),
        ("source: {{ day }}.csv\n", "1: source: a value that begins with {{ needs quotes"),
        ("source: a\nschedule: @daily\n", "2: schedule: a value that begins with this character needs quotes"),
        ("source: a\nschedule\nowner: b\n", "3: owner: the key before it has no colon: write it as key: value"),
        ("source: 'a\nowner: b\n", "1: source: quotes or a bracket that begin here are not closed"),
        ("schedule: '@daily'\n", "1: source: is needed"),
        ("source: a\nsorce: b\n", "2: sorce: there is no such key; did you mean source?"),
        ("source: a\nowner: b\nowner: c\n", "3: owner: is there twice"),
        ("source: a\nwait:\n  timeout: 6 hours\n", "3: wait.timeout: '6 hours' is not allowed: write a number and"),
        ("source: a\nwait:\n  timeout: 0h\n", "3: wait.timeout: '0h' is not allowed"),
        (
            "source: a\nwait:\n  timeout: 1h\n  then: skip\n",
            "4: wait.then: there is no such key; there are every, ",
        ),
        ("source: a\nwait:\n  timeout: 1h\n  every: 9s\n", "4: wait.every: '9s' is not allowed: 10s is the shortest"),
        ("source: a\nwait:\n  every: 1h\n", "2: wait.timeout: is needed"),
        ("source: a\nretries: '3'\n", "2: retries: '3' is not allowed: write a whole number, without quotes"),
        ("source: a\ncatchup: 1\n", "2: catchup: 1 is not allowed: write true or false"),
        ("source: a\nsettings:\n  words: maybe\n", "3: settings.words: 'maybe' is not allowed: write true or false"),
        ("source: a\ntags: x\n", "2: tags: 'x' is not allowed: write a list, such as [a, b]"),
        ("source: a\nwait: 1h\n", "2: wait: '1h' is not allowed: write keys with their values below it"),
        ("source: a\ntags:\n  - x\n  - 3\n", "4: tags.1: 3 is not allowed: write text, in quotes where"),
        ("source: a\nstart_date: 2026-02-30\n", "2: start_date: '2026-02-30' is not allowed"),
        ("source: a\ntimezone: Berlin\n", "2: timezone: 'Berlin' is not allowed: write the name of a time zone"),
        ("source: a\nschedule: daily\n", "2: schedule: 'daily' is not allowed: write a cron expression"),
        ("source: a\nschedule: 5\n", "2: schedule: 5 is not allowed: write a cron expression"),
        ("source: a\nschedule: []\n", "2: schedule: [] is not allowed: write a cron expression"),
        ("source: a\nschedule:\n  aset: b\n", "2: schedule: {'aset': 'b'} is not allowed: write a cron expression"),
        ("source: a\nschedule: {asset: b, name: c}\n", "2: schedule: {'asset': 'b', 'name': 'c'} is not allowed"),
        ("source: a\nschedule: [{asset: b}, c]\n", "2: schedule: [{'asset': 'b'}, 'c'] is not allowed: write a cron"),
        ("source: a\nschedule: {asset: ''}\n", "2: schedule: {'asset': ''} is not allowed: Asset name cannot be empty"),
        (
            "source: a\nend_date: 2026-01-01\n",
            "2: end_date: '2026-01-01' is not allowed: it belongs to a schedule that",
        ),
        (
            "source: a\nschedule: {asset: b}\ncatchup: true\n",
            "3: catchup: True is not allowed: it belongs to a schedule",
        ),
        (
            "source: a\nschedule: '@daily'\nstart_date: 2026-01-02\nend_date: 2026-01-01\n",
            "4: end_date: '2026-01-01' is not allowed: it is before start_date, 2026-01-02",
        ),
        ("source: a\nmax_active_runs: 0\n", "2: max_active_runs: 0 is not allowed"),
        ("source: a\nmax_active_runs: '2'\n", "2: max_active_runs: '2' is not allowed"),
        ("source: a\nschedule: '@daily'\n", "1: start_date: is needed with a schedule"),
        (
            "source: 'a{{ dya }}'\n",
            "1: source: 'a{{ dya }}' is not allowed: {{ dya }}: there is no such name; did you",
        ),
        (
            "source: 'a{{ day | dsx }}'\n",
            "1: source: 'a{{ day | dsx }}' is not allowed: the template cannot be",
        ),
        ("source: 'a{{ ds'\n", "1: source: 'a{{ ds' is not allowed: the template cannot be understood"),
        (
            "source: a\nsettings:\n  batch_sise: 5\n",
            "3: settings.batch_sise: there is no such key; did you mean batch",
        ),
        ("source: a\nsettings:\n  limit: 1\n  batch_size: 0\n", "4: settings.batch_size: 0 is not allowed"),
        ("source: a\nsettings:\n  dataset: b\n", "2: settings: {'dataset': 'b'} is not allowed: say the dataset as"),
        ("source: a\nsettings:\n  read_timeout: 90\n", "2: settings: total_timeout must not be shorter"),
        ("source: a\nsettings: 5\n", "2: settings: 5 is not allowed"),
        ("source: a\nnotify:\n  - notifier: a.B\n", "3: notify.0.notifier: 'a.B' is not allowed: Invalid"),
        ("source: a\nnotify:\n  - notifier: json.loads\n", "3: notify.0.notifier: 'json.loads' is not allowed: it"),
        ("source: a\nnotify:\n  - notifer: x\n", "3: notify.0.notifer: there is no such key; did you mean notifier?"),
        (
            f"source: a\nnotify:\n  - notifier: {TELLS}\n    arguments: {{to: x}}\n",
            "3: notify.0: arguments: the notifier refuses them: ",
        ),
        (
            f"source: a\nnotify:\n  - notifier: {TELLS}\n    arguments: {{file: x}}\n    when: [failures]\n",
            "3: notify.0: above: a share such as 0.1 is needed with when: [failures]",
        ),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_key(folder: Path, text: str, said: str) -> None:
    path = folder / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(DatasetFileError) as refused:
        read_dataset_file(path)
    assert str(refused.value).startswith(f"{path}:{said}")


def test_everything_wrong_in_a_file_is_said_at_once(folder: Path) -> None:
    (folder / "wrong.yaml").write_text("source: a\nretries: -1\nsettings:\n  limit: 0\n")
    (error,) = declared_datasets().problems
    assert [line.split(":")[1:3] for line in str(error).splitlines()] == [["2", " retries"], ["4", " settings.limit"]]


def test_a_wrong_file_keeps_no_other_from_being_used(folder: Path) -> None:
    for name in ("good.yaml", "bad name.yaml", "ocr_images.yaml", "short.yml"):
        (folder / name).write_text("source: /data/links.csv\n")
    (folder / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    found = declared_datasets()
    assert [dataset.name for dataset in found.datasets] == ["good"]
    assert [str(problem).removeprefix(f"{folder}/").split(":")[0] for problem in found.problems] == [
        "bad name.yaml",
        "binary.yaml",
        "ocr_images.yaml",
        "short.yml",
    ]


class FakeTaskInstance:
    """A task instance whose first look was at a given time."""

    def __init__(self, first_look: datetime | None) -> None:
        self.first_look = first_look
        self.pushed: dict[str, object] = {}

    def xcom_push(self, key: str, value: object) -> None:
        self.pushed[key] = value

    def get_first_reschedule_date(self, _: Any) -> datetime | None:
        return self.first_look


Otherwise = Literal["skip", "fail"]


class Look(Protocol):
    """Runs a waiting task once, for the dataset ``links-{{ day }}.csv`` of 2026-01-02."""

    def __call__(self, otherwise: Otherwise = "skip", first_look: datetime | None = None, **params: object) -> None: ...


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    monkeypatch.setenv("AIRFLOW_VAR_OCR_ALLOW", f"{tmp_path},127.0.0.1")

    def execute(otherwise: Otherwise = "skip", first_look: datetime | None = None, **params: object) -> None:
        waiting = Waiting(timedelta(hours=1), timedelta(minutes=5), otherwise)
        source = f"{tmp_path}/links-{{{{ day }}}}.csv"
        sensor = WaitForDatasetSensor(task_id="wait", settings={"dataset": source}, waiting=waiting)
        params = {"output": str(tmp_path / "out"), **params}
        given = {"params": params, "ti": FakeTaskInstance(first_look), **interval(datetime(2026, 1, 2, tzinfo=UTC))}
        sensor.execute(cast(Context, given))

    return execute


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def test_a_dataset_that_is_there_is_not_waited_for(look: Look, write_csv: Callable[..., Path]) -> None:
    look(dataset=str(write_csv([])))
    write_csv([], name="links-2026-01-02.csv")
    look()


def test_a_dataset_that_is_not_there_is_looked_for_again(look: Look) -> None:
    with pytest.raises(AirflowRescheduleException):
        look()


def test_when_it_is_too_late_the_run_is_skipped_or_fails(look: Look) -> None:
    with pytest.raises(AirflowSkipException, match=r"waited 1:00:00 for .*/links-2026-01-02\.csv, and it is"):
        look("skip", LONG_AGO)
    with pytest.raises(TaskFailedForGood, match="clear this task when it is"):
        look("fail", LONG_AGO)


def test_a_dataset_that_cannot_be_read_is_left_to_the_plan(look: Look, tmp_path: Path) -> None:
    dataset = tmp_path / "links-2026-01-02.csv"
    dataset.write_text("price\n1\n")
    look("skip")
    with pytest.raises(DatasetError, match="price"):
        open_dataset(RunSettings(dataset=str(dataset), output="/out"), Allowances(folders=(tmp_path,)), tmp_path)


def test_a_dataset_that_is_not_allowed_fails_the_run_at_once(look: Look) -> None:
    with pytest.raises(TaskFailedForGood, match="not allowed here: add /etc"):
        look("skip", dataset="/etc/links.csv")


def test_a_server_that_is_away_is_an_error_to_be_tried_again(look: Look) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(TaskFailed, match="Connect call failed") as failed:
        look("skip", dataset=f"http://{address}/links.csv", attempts=1)
    assert not isinstance(failed.value, TaskFailedForGood)
