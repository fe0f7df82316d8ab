"""Airflow's side without Airflow running: the form and the plan task."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, cast

import pytest
from airflow.sdk import DAG, Context, RetryAction, XComArg
from airflow.sdk.exceptions import ParamValidationError

from ocr_airflow.deployment import allowances, read_slots, tasks_at_once
from ocr_airflow.failing import TaskFailed, TaskFailedForGood
from ocr_airflow.operators import RUN_KEY, MergeRunOperator, PlanRunOperator, ReadBatchOperator
from ocr_airflow.params import run_params
from ocr_airflow.waiting import WaitForDatasetSensor, Waiting
from ocr_pipeline.errors import SettingsError
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.settings.deployment import Connection
from ocr_pipeline.settings.run import RunSettings


class FakeTaskInstance:
    """Takes what the task pushes."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


class MakePlan(Protocol):
    """Runs a plan task with the given settings of its DAG and params of its run; returns the plan."""

    def __call__(self, settings: dict[str, Any] | None, params: dict[str, Any], **context: Any) -> Plan: ...


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePlan:
    monkeypatch.setenv("AIRFLOW_VAR_OCR_ALLOW", str(tmp_path))
    monkeypatch.setenv("OCR_OUTPUT", str(tmp_path / "out"))

    def execute(settings: dict[str, Any] | None, params: dict[str, Any], **context: Any) -> Plan:
        operator = PlanRunOperator(task_id="plan", settings=settings, dag=DAG("d"))
        instance = FakeTaskInstance()
        filled = {"output": str(tmp_path / "out")} | params
        given = {"params": filled, "run_id": "r", "ti": instance, **context}
        batches = operator.execute(cast(Context, given))
        run = RunFolder.open(instance.pushed[RUN_KEY], allowances())
        plan = Plan.load(run)
        assert batches == [batch.text for batch in plan.batches]
        return plan

    return execute


def bare(dataset: str, output: str) -> RunSettings:
    """The settings of a run that names nothing else."""
    return RunSettings.parse({"dataset": dataset, "output": output})


def test_the_form_has_every_setting_with_its_default() -> None:
    params = run_params(source="/data/links.csv")
    assert params.keys() == RunSettings.model_fields.keys()
    filled = DAG("form", params=params).params.validate()
    given = {name: value for name, value in filled.items() if value not in (None, "")}
    assert RunSettings.parse({"dataset": "x", **given}) == bare("x", filled["output"])


def test_the_form_begins_with_what_most_people_set() -> None:
    params = run_params(source=None)
    first = [name for name, param in params.items() if "section" not in param.schema]
    assert first == ["dataset", "image_column", "output", "languages", "batch_size", "limit", "preview"]
    assert params["pdf_dpi"].schema["title"] == "PDF resolution"
    assert all(param.description and param.schema["title"] for param in params.values())


def test_a_field_that_has_a_default_may_be_left_empty() -> None:
    """Airflow marks a field with a red star whose type does not allow null; a box to tick cannot be empty."""
    for name, param in run_params(source=None).items():
        allowed = param.schema["type"]
        assert "null" in allowed or allowed == "boolean" or name == "dataset", name
        if "null" in allowed:
            assert param.resolve(None) is None


def test_choices_have_a_line_each() -> None:
    robots = run_params(source=None)["robots"].schema
    assert robots["enum"] == ["tags", "all", "ignore", None]
    assert robots["values_display"]["ignore"] == "ignore: do neither"
    assert robots["values_display"]["null"] == "the default, tags"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("dataset", "links.csv", "an absolute path, an address such as https://host/file"),
        ("dataset", "C:/links.csv", "an absolute path, an address such as https://host/file"),
        ("output", "results", "an absolute path, or an address such as s3://bucket/prefix"),
        ("output", "https://example.org/results", "an absolute path, or an address such as s3://bucket/prefix"),
        ("languages", ["english"], "'english' is not one of ['af', "),
    ],
)
def test_the_form_refuses_what_cannot_be(name: str, value: object, said: str) -> None:
    with pytest.raises(ParamValidationError) as refused:
        run_params(source=None)[name].resolve(value)
    assert said in str(refused.value).splitlines()[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dataset", "/data/a.csv, /data/b.csv"),
        ("dataset", "\n  S3://bucket/a.csv"),
        ("dataset", "sql:warehouse"),
        ("dataset", "~/links.csv"),
        ("dataset", '["/data/a, b.csv"]'),
        ("output", "GS://bucket/ocr"),
        ("languages", ["de", "en"]),
    ],
)
def test_the_form_takes_what_a_run_takes(name: str, value: object) -> None:
    assert run_params(source=None)[name].resolve(value) == value


def test_the_form_asks_for_a_dataset_unless_the_dag_has_one() -> None:
    with pytest.raises(ParamValidationError, match="dataset"):
        DAG("form", params=run_params(source=None)).params.validate()


def test_fields_left_empty_in_the_form_are_defaults(plan: MakePlan, write_csv: Callable[..., Path]) -> None:
    empty = {name: None for name, field in RunSettings.model_fields.items() if not field.is_required()}
    made = plan(None, empty | {"dataset": str(write_csv([(1, "a")])), "image_column": ""})
    assert made.settings == bare(made.settings.dataset, made.settings.output)


def test_the_dags_own_dataset_may_hold_the_date(plan: MakePlan, write_csv: Callable[..., Path]) -> None:
    path = write_csv([(1, "a"), (2, "b")], name="links-2026-01-02.csv")
    template = str(path).replace("2026-01-02", "{{ ds }}")
    assert plan({"dataset": template}, {}, ds="2026-01-02").rows == 2


def test_a_run_that_names_a_dataset_needs_no_date(plan: MakePlan, write_csv: Callable[..., Path]) -> None:
    assert plan({"dataset": "/data/{{ ds }}.csv"}, {"dataset": str(write_csv([(1, "a")]))}).rows == 1


def test_a_source_that_needs_a_date_is_told_from_one_that_is_wrong(plan: MakePlan) -> None:
    with pytest.raises(TaskFailedForGood, match=r"'ds' is undefined.*this run has no logical date.*an asset starts"):
        plan({"dataset": "/data/{{ ds }}.csv"}, {})
    with pytest.raises(TaskFailedForGood, match=r"'dsx' is undefined.*correct the template"):
        plan({"dataset": "/data/{{ dsx }}.csv"}, {}, logical_date=datetime(2026, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    ("settings", "params", "key", "said"),
    [
        (None, {"dataset": "/d.csv", "device": "toaster"}, "refused", r"device.*Start a new run .*cannot help"),
        ({"dataset": "/d.csv"}, {"device": "toaster"}, "error", r"device(?!.*new run)"),
        (None, {"dataset": "/no/such.csv"}, "error", r"/no/such\.csv"),
    ],
)
def test_why_a_run_cannot_be_planned_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, params: dict[str, Any], key: str, said: str
) -> None:
    monkeypatch.setenv("OCR_OUTPUT", str(tmp_path))
    operator = PlanRunOperator(task_id="plan", settings=settings, dag=DAG("d"))
    instance = FakeTaskInstance()
    given = {"params": {"output": str(tmp_path)} | params, "run_id": "r", "ti": instance}
    with pytest.raises(TaskFailedForGood, match=said) as failed:
        operator.execute(cast(Context, given))
    assert {name: text for name, text in instance.pushed.items() if name != "dataset"} == {key: str(failed.value)}


def test_a_folder_that_a_person_named_is_no_template() -> None:
    class PlannedInstance(FakeTaskInstance):
        def xcom_pull(self, **_: Any) -> str:
            return "/out/{{ 7 * 7 }}/r"

    with DAG("reads"):
        plan = PlanRunOperator(task_id="plan")
        tasks: list[ReadBatchOperator | MergeRunOperator] = [
            ReadBatchOperator(task_id="read", run=XComArg(plan, RUN_KEY), batch="0 0 1 1"),
            MergeRunOperator(task_id="merge", run=XComArg(plan, RUN_KEY)),
        ]
    for task in tasks:
        task.render_template_fields(cast(Context, {"ti": PlannedInstance()}))
        assert task.run == "/out/{{ 7 * 7 }}/r"


@pytest.mark.parametrize("batch", ["0 0 1", "0 0 1 one", {"index": 0}])
def test_what_names_no_batch_says_what_to_do(batch: Any) -> None:
    task = ReadBatchOperator(task_id="read", run="/out", batch=batch)
    with pytest.raises(TaskFailedForGood, match=r"is no batch of /out: clear the plan task"):
        task.execute(cast(Context, {"ti": LastTry(), "task": task, "dag": DAG("d"), "params": {}}))


@pytest.mark.parametrize(("at_once", "said"), [(2, "at most 8 requests at once"), (None, "at most 5 requests at once")])
def test_a_batch_takes_its_share_of_what_a_host_may_be_asked(
    plan: MakePlan, write_csv: Callable[..., Path], caplog: pytest.LogCaptureFixture, at_once: int | None, said: str
) -> None:
    caplog.set_level(logging.INFO)
    links = write_csv([(row, f"ftp://no.link/{row}") for row in range(3)])
    made = plan(None, {"dataset": str(links), "batch_size": 1})
    dag = DAG("reads")
    task = ReadBatchOperator(
        task_id="read", run=made.batches[0].run, batch=made.batches[0].text, max_active_tis_per_dagrun=at_once, dag=dag
    )

    class FirstTry(FakeTaskInstance):
        try_number, max_tries = 1, 0

    context = {"ti": FirstTry(), "task": task, "dag": dag, "params": {"dataset": str(links)}}
    assert task.execute(cast(Context, context))["images"] == 1
    assert said in caplog.text


class LastTry(FakeTaskInstance):
    """A task that Airflow will not try again."""

    try_number, max_tries = 1, 0
    rendered_map_index = ""


class FakeStore:
    """Takes what the task stores for people to see."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, Any]] = []

    def set(self, key: str, value: Any) -> None:
        self.stored.append((key, value))


def test_a_batch_shows_how_far_it_is_and_is_named_by_what_came_of_it(
    plan: MakePlan, write_csv: Callable[..., Path]
) -> None:
    links = write_csv([(0, "/none/a.png"), (1, ""), (2, "ftp://no.link"), (3, "/none/a.png")])
    made = plan(None, {"dataset": str(links)})
    dag, instance, store = DAG("reads"), LastTry(), FakeStore()
    task = ReadBatchOperator(task_id="read", run=made.batches[0].run, batch=made.batches[0].text, dag=dag)
    assert task.label == "rows 1–4"
    context = {"ti": instance, "task": task, "dag": dag, "params": {"dataset": str(links)}, "task_state_store": store}
    task.execute(cast(Context, context))
    assert task.label == instance.rendered_map_index == "rows 1–4 · 0 read, 3 failed"
    assert {key for key, _ in store.stored} == {"progress"}
    assert json.dumps(store.stored)
    last = store.stored[-1][1]
    assert (last["done"], last["failed"], last["total"], last["staged"]) == (3, 3, 3, True)


def test_a_batch_that_fails_is_named_by_how_far_it_came(
    plan: MakePlan, tmp_path: Path, write_csv: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_OCR_ALLOW", f"{tmp_path},127.0.0.1:9")
    links = write_csv([(0, "http://127.0.0.1:9/a.png"), (1, "http://127.0.0.1:9/b.png")])
    made = plan(None, {"dataset": str(links), "attempts": 1})
    dag, instance = DAG("reads"), LastTry()
    instance.max_tries = 1
    task = ReadBatchOperator(task_id="read", run=made.batches[0].run, batch=made.batches[0].text, dag=dag, retries=1)
    context = {"ti": instance, "task": task, "dag": dag, "params": {"dataset": str(links)}}
    with pytest.raises(TaskFailed, match="2 of 2 images failed") as failed:
        task.execute(cast(Context, context))
    assert not isinstance(failed.value, TaskFailedForGood)
    assert instance.rendered_map_index == "rows 1–2 · 0 read, 2 failed"


def test_only_what_a_person_has_to_change_is_not_tried_again() -> None:
    waiting = Waiting(timedelta(1), timedelta(1), "fail")
    tasks = [
        PlanRunOperator(task_id="plan"),
        ReadBatchOperator(task_id="read", run="/out", batch="0 0 1 1", retry_policy=None),  # as a mapped task is made
        MergeRunOperator(task_id="merge", run="/out"),
        WaitForDatasetSensor(task_id="wait", settings={}, waiting=waiting),
    ]
    for task in tasks:
        assert task.retry_policy is not None
        actions = [task.retry_policy.evaluate(error("why"), 1, 3).action for error in (TaskFailed, TaskFailedForGood)]
        assert actions == [RetryAction.DEFAULT, RetryAction.FAIL]


@pytest.mark.parametrize("slots", ["0", "-1", "two", "1.5"])
def test_slots_that_are_no_number_are_refused(monkeypatch: pytest.MonkeyPatch, slots: str) -> None:
    monkeypatch.setenv("OCR_SLOTS", slots)
    with pytest.raises(SettingsError, match="OCR_SLOTS must be a number above 0"):
        read_slots()


def test_templates_in_params_are_not_rendered(plan: MakePlan, tmp_path: Path) -> None:
    with pytest.raises(TaskFailedForGood, match=r"\{\{ ds \}\}\.csv: there is no such file"):
        plan(None, {"dataset": f"{tmp_path}/{{{{ ds }}}}.csv"}, ds="2026-01-02")


def test_what_no_retry_can_mend_is_not_retried(plan: MakePlan) -> None:
    with pytest.raises(TaskFailedForGood, match="batch_size: -1 is not allowed"):
        plan(None, {"dataset": "/x.csv", "batch_size": -1})


def test_a_model_that_cannot_be_staged_ends_the_run_before_it_is_planned(
    plan: MakePlan, tmp_path: Path, write_csv: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").write_text("no folder")
    monkeypatch.setenv("OCR_MODELS", str(tmp_path / "models"))

    with pytest.raises(TaskFailedForGood, match=r"models folder .* cannot be written"):
        plan(None, {"dataset": str(write_csv([(1, "a")])), "model": "tiny"})
    assert not (tmp_path / "out").exists()


def test_connections_that_the_deployment_names_are_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_OCR_ALLOW", "s3://minio@bucket")
    monkeypatch.setenv("AIRFLOW_CONN_MINIO", '{"conn_type": "aws", "login": "k", "extra": {"region_name": "eu"}}')
    (store,) = allowances().stores
    assert store.connection == Connection("minio", "aws", login="k", extra={"region_name": "eu"})
    monkeypatch.setenv("AIRFLOW_VAR_OCR_ALLOW", "s3://absent@bucket")
    with pytest.raises(SettingsError, match="'absent', which Airflow does not know"):
        allowances()


@pytest.mark.parametrize(
    ("environment", "executor", "tasks"),
    [
        ({"AIRFLOW__CORE__EXECUTOR": "LocalExecutor"}, None, None),
        ({"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor,LocalExecutor"}, None, 5),
        ({"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor,LocalExecutor"}, "LocalExecutor", None),
        ({"AIRFLOW__CORE__EXECUTOR": "LocalExecutor,CeleryExecutor"}, "CeleryExecutor", 5),
        # As pods of the KubernetesExecutor have it.
        ({"AIRFLOW__CORE__EXECUTOR": "LocalExecutor", "AIRFLOW_IS_K8S_EXECUTOR_POD": "True"}, None, 1),
    ],
)
def test_how_many_tasks_share_a_container(
    environment: dict[str, str], executor: str | None, tasks: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CELERY__WORKER_CONCURRENCY", "5")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert tasks_at_once(executor) == tasks
