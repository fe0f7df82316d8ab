"""What Airflow's database knows of the runs: their states, those of their tasks, and where their results lie."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.state import TaskInstanceState
from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from ocr_airflow.dags import MERGE_TASK, PLAN_TASK, READ_TASK, WAIT_TASK
from ocr_airflow.failing import ERROR_KEY, REFUSED_KEY
from ocr_airflow.operators import RUN_KEY, PlanRunOperator, ReadBatchOperator
from ocr_airflow.waiting import MISSING_KEY

Database = SessionDep
"""A session of the database, as a parameter of a route."""

_RETURN_KEY = "return_value"
_MOST_NEXT_TRIES = 200
ENDED = frozenset({"success", "failed"})
"""States of a run in which nothing goes on."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """The latest try of a task, or of one of its batches; ``next_try``: when Airflow tries it again, where it waits."""

    state: str
    tries: int
    next_try: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether it is neither running nor waiting to."""
        return self.state in ("success", "failed", "upstream_failed", "skipped", "removed")


@dataclass(frozen=True, slots=True)
class Planning:
    """What has become of planning a run: the task on which it hangs, its state, and why it failed, if it says.

    ``refused``: whether the run was told what cannot be, so that clearing the task cannot help.
    """

    task_id: str
    state: str
    reason: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True)
class AirflowRun:
    """A run as Airflow has it. ``ours``: whether its DAG reads images."""

    dag_id: str
    run_id: str
    state: str
    started: datetime | None
    ended: datetime | None
    ours: bool

    @property
    def going_on(self) -> bool:
        """Whether it may still change."""
        return self.state not in ENDED


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run in the list of all: how its batches stand, and the counts of its results once it has them."""

    run: AirflowRun
    batches: Mapping[str, int] = field(default_factory=dict)
    statuses: Mapping[str, int] = field(default_factory=dict)


def find_run(session: Session, dag_id: str, run_id: str) -> AirflowRun | None:
    """The run; None when there is none."""
    found = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    if found is None:
        return None
    reads = select(TaskInstance.task_id).where(
        TaskInstance.dag_id == dag_id,
        TaskInstance.run_id == run_id,
        TaskInstance.task_id == READ_TASK,
        TaskInstance.operator == ReadBatchOperator.__name__,
    )
    return _airflow_run(found, ours=session.scalar(reads.limit(1)) is not None)


def folder_uri(session: Session, run: AirflowRun) -> str | None:
    """Where the plan task says that the results are; None when it says nothing. People can change what it says."""
    query = XComModel.get_many(run_id=run.run_id, key=RUN_KEY, dag_ids=run.dag_id, task_ids=PLAN_TASK, limit=1)
    found = session.execute(query.with_only_columns(XComModel.value)).first()
    value = XComModel.deserialize_value(found) if found else None
    return value if isinstance(value, str) else None


def planning_of(session: Session, run: AirflowRun) -> Planning:
    """What has become of planning a run that has no plan."""
    states = {task_id: _states(session, run, task_id).get(-1) for task_id in (WAIT_TASK, PLAN_TASK)}
    waits = states[WAIT_TASK]
    task_id = PLAN_TASK if waits is None or waits.state == "success" else WAIT_TASK
    state = states[task_id]
    said = reasons_of(session, run, task_id)
    reason = next((said[key] for key in (REFUSED_KEY, ERROR_KEY, MISSING_KEY) if key in said), "")
    return Planning(task_id, state.state if state else "waiting", reason, REFUSED_KEY in said)


def reasons_of(session: Session, run: AirflowRun, task_id: str) -> dict[str, str]:
    """Why a task that is not mapped failed or was skipped, by the key under which it says so; people can change it."""
    query = select(XComModel.key, XComModel.value).where(
        XComModel.dag_id == run.dag_id,
        XComModel.run_id == run.run_id,
        XComModel.task_id == task_id,
        XComModel.key.in_((ERROR_KEY, REFUSED_KEY, MISSING_KEY)),
    )
    return {row.key: str(XComModel.deserialize_value(row)) for row in session.execute(query)}


def batch_states(session: Session, run: AirflowRun) -> dict[int, TaskState]:
    """The state of each batch, by its number."""
    states = _states(session, run, READ_TASK)
    states.pop(-1, None)  # stands for all while they are not planned
    if any(state.state == TaskInstanceState.UP_FOR_RETRY for state in states.values()):
        for index, when in _next_tries(session, run).items():
            states[index] = replace(states[index], next_try=when)
    return states


def _next_tries(session: Session, run: AirflowRun) -> dict[int, datetime]:
    """When batches that wait for it are tried again, by their numbers: as the scheduler reckons it."""
    dag = SerializedDagModel.get_dag(run.dag_id, session=session)
    if dag is None or not dag.has_task(READ_TASK):
        return {}
    query = select(TaskInstance).where(
        TaskInstance.dag_id == run.dag_id,
        TaskInstance.run_id == run.run_id,
        TaskInstance.task_id == READ_TASK,
        TaskInstance.state == TaskInstanceState.UP_FOR_RETRY,
        TaskInstance.end_date.is_not(None),
    )
    found = {}
    for instance in session.scalars(query.order_by(TaskInstance.end_date).limit(_MOST_NEXT_TRIES)):
        instance.task = dag.get_task(READ_TASK)
        found[instance.map_index] = instance.next_retry_datetime()  # type: ignore[no-untyped-call]  # Airflow's own
    return found


def recent_runs(session: Session, dag_ids: Collection[str], first: int, most: int) -> tuple[list[ListedRun], bool]:
    """Runs of these DAGs that read images, those first that began last, and whether there are more.

    Runs that have not begun are before all others.

    :param first: so many are passed over.
    """
    plans = (
        select(TaskInstance.id)
        .where(
            TaskInstance.dag_id == DagRun.dag_id,
            TaskInstance.run_id == DagRun.run_id,
            TaskInstance.task_id == PLAN_TASK,
            TaskInstance.operator == PlanRunOperator.__name__,
        )
        .exists()
    )
    query = (
        select(DagRun)
        .where(DagRun.dag_id.in_(dag_ids), plans)
        # Not NULLS FIRST, which MySQL does not know.
        .order_by(DagRun.start_date.is_(None).desc(), DagRun.start_date.desc(), DagRun.id.desc())
    )
    found = session.scalars(query.offset(first).limit(most + 1)).all()
    numbers = [run.id for run in found[:most]]
    batches, statuses = _batch_counts(session, numbers), _merged_statuses(session, numbers)
    listed = [
        ListedRun(_airflow_run(run, ours=True), batches.get(run.id, {}), statuses.get(run.id, {}))
        for run in found[:most]
    ]
    return listed, len(found) > most


def _airflow_run(found: DagRun, *, ours: bool) -> AirflowRun:
    return AirflowRun(found.dag_id, found.run_id, str(found.state), found.start_date, found.end_date, ours)


def _states(session: Session, run: AirflowRun, task_id: str) -> dict[int, TaskState]:
    columns = (TaskInstance.map_index, TaskInstance.state, TaskInstance.try_number)
    query = select(*columns).where(
        TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.run_id, TaskInstance.task_id == task_id
    )
    return {index: TaskState(str(state or "waiting"), tries) for index, state, tries in session.execute(query)}


def _batch_counts(session: Session, run_numbers: Collection[int]) -> dict[int, dict[str, int]]:
    """How many batches are in each state, by the number of the run."""
    query = (
        select(DagRun.id, TaskInstance.state, func.count())
        .join(TaskInstance, and_(TaskInstance.dag_id == DagRun.dag_id, TaskInstance.run_id == DagRun.run_id))
        .where(DagRun.id.in_(run_numbers), TaskInstance.task_id == READ_TASK, TaskInstance.map_index >= 0)
        .group_by(DagRun.id, TaskInstance.state)
    )
    counts: dict[int, dict[str, int]] = {}
    for number, state, count in session.execute(query):
        counts.setdefault(number, {})[str(state or "waiting")] = count
    return counts


def _merged_statuses(session: Session, run_numbers: Collection[int]) -> dict[int, Mapping[str, int]]:
    """What the merges have returned, by the number of the run; people can change what it says."""
    query = select(XComModel.dag_run_id, XComModel.value).where(
        XComModel.dag_run_id.in_(run_numbers), XComModel.key == _RETURN_KEY, XComModel.task_id == MERGE_TASK
    )
    found = {row.dag_run_id: XComModel.deserialize_value(row) for row in session.execute(query)}
    return {number: _counts(value) for number, value in found.items()}


def _counts(value: Any) -> dict[str, int]:
    statuses = value.get("statuses") if isinstance(value, dict) else None
    if not isinstance(statuses, dict):
        return {}
    return {str(name): count for name, count in statuses.items() if isinstance(count, int)}
