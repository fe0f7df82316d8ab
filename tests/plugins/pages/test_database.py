"""What is asked of Airflow's database, on an empty one of its very tables."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import airflow.models
import pytest
from airflow.models.base import Base
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.serialization.serialized_objects import DagSerialization
from sqlalchemy import create_engine, insert, update
from sqlalchemy.orm import Session

from ocr_airflow.dags import ocr_dag
from ocr_airflow.pages.database import Planning, TaskState, batch_states, find_run, planning_of, recent_runs

DAG = "ocr_images"
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def tables() -> Any:
    """Airflow's tables in memory."""
    airflow.models.import_all_models()  # type: ignore[no-untyped-call]
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    return engine


@pytest.fixture
def session(tables: Any) -> Iterator[Session]:
    with tables.connect() as connection, connection.begin() as everything:
        with Session(connection) as session:
            yield session
        everything.rollback()


class Filling:
    """Puts runs into the tables."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._runs: dict[str, int] = {}

    def run(self, run_id: str, state: str, after: int, started: int | None) -> None:
        """A run that was due ``after`` minutes and ``started`` so many."""
        number = self._runs[run_id] = len(self._runs) + 1
        values = {"id": number, "dag_id": DAG, "run_id": run_id, "state": state, "run_type": "manual"}
        values |= {"run_after": NOON + timedelta(minutes=after), "queued_at": NOON, "clear_number": 0}
        values |= {"start_date": None if started is None else NOON + timedelta(minutes=started)}
        values |= {"log_template_id": 1, "triggered_by": None, "conf": {}}
        self._session.execute(insert(DagRun).values(values))

    def task(self, run_id: str, task_id: str, operator: str, state: str | None, map_index: int = -1) -> None:
        """A task of it."""
        values = {"id": uuid.uuid4(), "dag_id": DAG, "run_id": run_id, "task_id": task_id, "map_index": map_index}
        values |= {"state": state, "operator": operator, "pool": "default_pool", "try_number": 1, "max_tries": 0}
        self._session.execute(insert(TaskInstance).values(values))

    def xcom(self, run_id: str, task_id: str, key: str, value: Any) -> None:
        """What it published."""
        values = {"dag_run_id": self._runs[run_id], "dag_id": DAG, "run_id": run_id, "task_id": task_id, "key": key}
        self._session.execute(insert(XComModel).values(values | {"map_index": -1, "value": json.dumps(value)}))


@pytest.fixture
def filling(session: Session) -> Filling:
    return Filling(session)


def planning(session: Session, run_id: str) -> Planning:
    """What is known of planning a run."""
    run = find_run(session, DAG, run_id)
    assert run is not None
    return planning_of(session, run)


def test_runs_are_listed_as_they_began_whether_they_were_planned_or_not(session: Session, filling: Filling) -> None:
    for run_id, state, after, started in (
        ("old", "success", 3, 1),
        ("new", "failed", 1, 3),
        ("queued", "queued", 2, None),
        ("other", "success", 4, 4),
    ):
        filling.run(run_id, state, after, started)
        filling.task(run_id, "plan", "PlanRunOperator" if run_id != "other" else "PythonOperator", state)
    listed, more = recent_runs(session, {DAG}, 0, 2)
    assert ([run.run.run_id for run in listed], more) == (["queued", "new"], True)
    listed, more = recent_runs(session, {DAG}, 2, 2)
    assert ([run.run.run_id for run in listed], more) == (["old"], False)
    assert recent_runs(session, {"another"}, 0, 2) == ([], False)


def test_why_a_run_was_not_planned_is_known(session: Session, filling: Filling) -> None:
    filling.run("r", "failed", 0, 0)
    assert planning(session, "r") == Planning("plan", "waiting")
    filling.task("r", "plan", "PlanRunOperator", "failed")
    assert planning(session, "r") == Planning("plan", "failed")
    filling.xcom("r", "plan", "error", "no such file")
    assert planning(session, "r") == Planning("plan", "failed", "no such file")
    filling.xcom("r", "plan", "refused", "no such device")
    assert planning(session, "r") == Planning("plan", "failed", "no such device", refused=True)


def test_a_dataset_that_never_came_is_the_reason(session: Session, filling: Filling) -> None:
    filling.run("r", "success", 0, 0)
    filling.task("r", "plan", "PlanRunOperator", "skipped")
    filling.task("r", "wait", "WaitForDatasetSensor", "skipped")
    filling.xcom("r", "wait", "missing", "waited 1:00:00 for d.csv")
    assert planning(session, "r") == Planning("wait", "skipped", "waited 1:00:00 for d.csv")


def test_batches_that_wait_say_when_they_are_tried_again(
    session: Session, filling: Filling, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = DagSerialization.from_dict(
        DagSerialization.to_dict(ocr_dag(DAG, default_args={"retry_delay": timedelta(seconds=100)}))
    )
    monkeypatch.setattr(SerializedDagModel, "get_dag", lambda dag_id, session: read)
    filling.run("r", "running", 0, 0)
    for index, state in enumerate(("success", "up_for_retry")):
        filling.task("r", "read_batch", "ReadBatchOperator", state, index)
    session.execute(update(TaskInstance).values(end_date=NOON))
    run = find_run(session, DAG, "r")
    assert run is not None
    states = batch_states(session, run)
    assert states[0] == TaskState("success", 1)
    when = states[1].next_try
    assert when is not None
    assert NOON + timedelta(seconds=100) <= when <= NOON + timedelta(seconds=200)
