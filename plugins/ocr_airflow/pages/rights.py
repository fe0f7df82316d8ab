"""Who may see what: Airflow's own judgement of the person who asks, by bearer token or by the cookie of its UI.

These modules of Airflow are not part of its public interface; a test pins them, and without them nothing is served.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag, requires_access_view
from airflow.models.dag import DagModel

Person = GetUserDep
"""The person who asks, as a parameter of a route."""

may_look: Callable[..., Any] = requires_access_view(AccessView.PLUGINS)
"""Guards every route: 401 without a login, 403 for whom Airflow would not even show that there are such pages."""

may_read_run: Callable[..., Any] = requires_access_dag("GET", DagAccessEntity.XCOM)
"""Guards what belongs to a run, of the DAG ``dag_id`` in the path: its results are what its tasks have published."""


def may_retry(dag_id: str, person: BaseUser) -> bool:
    """Whether Airflow would let the person clear tasks of the DAG."""
    return bool(
        get_auth_manager().is_authorized_dag(
            method="PUT", access_entity=DagAccessEntity.TASK_INSTANCE, details=_details(dag_id), user=person
        )
    )


def readable_dags(person: BaseUser) -> set[str]:
    """The DAGs whose runs and results the person may read."""
    manager = get_auth_manager()
    return {
        dag_id
        for dag_id in manager.get_authorized_dag_ids(user=person, method="GET")
        if all(
            manager.is_authorized_dag(method="GET", access_entity=entity, details=_details(dag_id), user=person)
            for entity in (DagAccessEntity.RUN, DagAccessEntity.XCOM)
        )
    }


def _details(dag_id: str) -> DagDetails:
    return DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
