"""Airflow's side without Airflow running: the form and the plan task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowFailException

from ocr_airflow.deployment import allowances
from ocr_airflow.operators import RUN_KEY, PlanRunOperator
from ocr_airflow.params import run_params
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


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a plan task with the given settings of its DAG and params of its run; returns the plan."""
    monkeypatch.setenv("AIRFLOW_VAR_OCR_ALLOW", str(tmp_path))
    monkeypatch.setenv("OCR_OUTPUT", str(tmp_path / "out"))

    def execute(settings: dict[str, Any] | None, params: dict[str, Any], **context: Any) -> Plan:
        operator = PlanRunOperator(task_id="plan", settings=settings)
        instance = FakeTaskInstance()
        filled = {"output": str(tmp_path / "out")} | params
        batches = operator.execute({"params": filled, "run_id": "r", "ti": instance, **context})
        run = RunFolder.open(instance.pushed[RUN_KEY], allowances())
        plan = Plan.load(run)
        assert batches == [batch.to_dict() for batch in plan.batches]
        return plan

    return execute


def test_the_form_has_every_setting_with_its_default() -> None:
    params = run_params(dataset_known=True)
    assert params.keys() == RunSettings.model_fields.keys()
    filled = ParamsDict(params).validate()
    given = {name: value for name, value in filled.items() if value not in (None, "")}
    assert RunSettings.parse({"dataset": "x", **given}) == RunSettings(dataset="x", output=filled["output"])


def test_the_form_asks_for_a_dataset_unless_the_dag_has_one() -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError, match="dataset"):
        ParamsDict(run_params(dataset_known=False)).validate()


def test_fields_left_empty_in_the_form_are_defaults(plan, write_csv) -> None:
    empty = {name: None for name, field in RunSettings.model_fields.items() if not field.is_required()}
    made = plan(None, empty | {"dataset": str(write_csv([(1, "a")])), "image_column": ""})
    assert made.settings == RunSettings(dataset=made.settings.dataset, output=made.settings.output)


def test_the_dags_own_dataset_may_hold_the_date(plan, write_csv) -> None:
    path = write_csv([(1, "a"), (2, "b")], name="links-2026-01-02.csv")
    template = str(path).replace("2026-01-02", "{{ ds }}")
    assert plan({"dataset": template}, {}, ds="2026-01-02").rows == 2


def test_a_run_that_names_a_dataset_needs_no_date(plan, write_csv) -> None:
    assert plan({"dataset": "/data/{{ ds }}.csv"}, {"dataset": str(write_csv([(1, "a")]))}).rows == 1


def test_templates_in_params_are_not_rendered(plan, tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match=r"\{\{ ds \}\}\.csv: there is no such file"):
        plan(None, {"dataset": f"{tmp_path}/{{{{ ds }}}}.csv"}, ds="2026-01-02")


def test_what_no_retry_can_mend_is_not_retried(plan) -> None:
    with pytest.raises(AirflowFailException, match="batch_size: -1 is not allowed"):
        plan(None, {"dataset": "/x.csv", "batch_size": -1})


def test_a_model_that_cannot_be_staged_ends_the_run_before_it_is_planned(
    plan, tmp_path: Path, write_csv, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").write_text("no folder")
    monkeypatch.setenv("OCR_MODELS", str(tmp_path / "models"))

    with pytest.raises(AirflowFailException, match=r"models folder .* cannot be written"):
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
