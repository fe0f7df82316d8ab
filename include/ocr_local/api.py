"""The part of Airflow's REST API that the local commands use."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import requests


class ApiError(Exception):
    """Airflow refused a request; the message is its own."""


class AirflowApi:
    """Airflow's stable REST API at ``url``, as one user.

    :raises ApiError: from every method, when Airflow refuses.
    :raises requests.RequestException: from every method, when Airflow does not answer.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._user = user
        self._password = password
        self._session = requests.Session()
        # Loopback is never reached through a proxy.
        self._session.trust_env = False

    def is_up(self) -> bool:
        """Whether the API answers, to tasks as well, and the scheduler and the DAG processor report being healthy."""
        try:
            health = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
            # The API of tasks is put together when it is first asked, which takes seconds that a task would wait.
            tasks_are_served = self._session.get(f"{self.url}/execution/health", timeout=60).ok
        except (requests.RequestException, ValueError):
            return False
        return tasks_are_served and all(health[part]["status"] == "healthy" for part in ("scheduler", "dag_processor"))

    def has_dag(self, dag_id: str) -> bool:
        """Whether the DAG has been parsed."""
        try:
            self.request("GET", f"dags/{dag_id}")
        except ApiError:
            return False
        return True

    def import_errors(self) -> list[str]:
        """What is wrong with DAG files that cannot be loaded."""
        errors = self.request("GET", "importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in errors]

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> None:
        """Start a run of ``dag_id`` with ``conf`` as its params."""
        body = {"dag_run_id": run_id, "conf": dict(conf), "logical_date": None}
        self.request("POST", f"dags/{dag_id}/dagRuns", body)

    def run_state(self, dag_id: str, run_id: str) -> str:
        """The state of a run: ``queued``, ``running``, ``success`` or ``failed``."""
        return str(self.request("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def unfinished_runs(self, dag_id: str) -> list[str]:
        """Identifiers of the runs that are queued or running."""
        runs = self.request("GET", f"dags/{dag_id}/dagRuns?state=running&state=queued&limit=100")["dag_runs"]
        return [str(run["dag_run_id"]) for run in runs]

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run failed, which ends its running tasks."""
        self.request("PATCH", f"dags/{dag_id}/dagRuns/{run_id}", {"state": "failed"})

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run, mapped ones included."""
        instances: list[dict[str, Any]] = []
        while True:
            # Airflow gives at most a page, of a size that its configuration limits.
            path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=1000&offset={len(instances)}"
            page = self.request("GET", path)
            instances.extend(page["task_instances"])
            if not page["task_instances"] or len(instances) >= page["total_entries"]:
                return instances

    def recent_runs(self, dag_id: str, count: int) -> list[tuple[str, str]]:
        """Identifiers and states of the latest runs, the newest first."""
        runs = self.request("GET", f"dags/{dag_id}/dagRuns?order_by=-run_after&limit={count}")["dag_runs"]
        return [(str(run["dag_run_id"]), str(run["state"])) for run in runs]

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str) -> str | None:
        """A text that a task of a run published; None when it did not."""
        try:
            path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
            return str(self.request("GET", path)["value"])
        except ApiError:
            return None

    def clear(self, dag_id: str, run_id: str, task_id: str, *map_indexes: int) -> list[dict[str, Any]]:
        """Clear a task and what follows it; returns the task instances that will run again.

        :param map_indexes: which of a mapped task; without any, the whole task.
        """
        which: list[Any] = [[task_id, index] for index in map_indexes] or [task_id]
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": which,
            "include_downstream": True,
            "only_failed": False,
            "reset_dag_runs": True,
        }
        cleared: list[dict[str, Any]] = self.request("POST", f"dags/{dag_id}/clearTaskInstances", body)[
            "task_instances"
        ]
        return cleared

    def task_log(self, dag_id: str, run_id: str, task: Mapping[str, Any]) -> list[str]:
        """The log lines of the latest try of a task instance, as :meth:`tasks` gives it."""
        path = (
            f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
            f"?map_index={task['map_index']}"
        )
        content = self.request("GET", path)["content"]
        lines: list[str] = []
        for event in content:
            lines.append(str(event.get("event", "")))
            for error in event.get("error_detail") or []:
                lines.append(f"{error['exc_type']}: {error['exc_value']}")
        return lines

    def variable(self, key: str) -> str:
        """The value of an Airflow variable; empty when there is none."""
        try:
            return str(self.request("GET", f"variables/{key}")["value"])
        except ApiError:
            return ""

    def set_variable(self, key: str, value: str) -> None:
        """Make or change an Airflow variable."""
        body = {"key": key, "value": value}
        try:
            self.request("POST", "variables", body)
        except ApiError:
            self.request("PATCH", f"variables/{key}", body)

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One request below ``/api/v2/``; logs in when needed; reads are tried again for a few seconds."""
        tries = 5 if method == "GET" else 1
        for attempt in range(1, tries + 1):
            try:
                if "Authorization" not in self._session.headers:
                    self._log_in()
                response = self._session.request(method, f"{self.url}/api/v2/{path}", json=body, timeout=30)
            except requests.ConnectionError:
                if attempt == tries:
                    raise
                time.sleep(1)
                continue
            if response.status_code == 401 and attempt < tries:
                del self._session.headers["Authorization"]
                continue
            if not response.ok:
                raise ApiError(f"{method} {path}: {response.status_code} {_detail(response)}")
            return response.json() if response.content else None
        raise ApiError(f"{method} {path}: not authorised as {self._user}")

    def _log_in(self) -> None:
        body = {"username": self._user, "password": self._password}
        response = self._session.post(f"{self.url}/auth/token", json=body, timeout=30)
        if not response.ok:
            raise ApiError(f"cannot log in as {self._user}: {response.status_code} {_detail(response)}")
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"


def _detail(response: requests.Response) -> str:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return response.text[:500]
    return detail if isinstance(detail, str) else str(detail)
