"""The part of Airflow's REST API that the local commands use."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import requests

_TRIES = 5
_PAUSE_SECONDS = 1.0
_PASSING = frozenset({None, 429, 500, 502, 503, 504})
# After these nothing was done. The local Airflow's database, SQLite, gives up a transaction that has read what another
# process has written since, and Airflow answers 500.
_UNDONE = frozenset({429, 500, 503})
_HIDDEN = "***"
_EXITED = "Task exited"  # Airflow's own word after the error that a task has logged
_PARTS = ("scheduler", "dag_processor", "triggerer")


class ApiError(Exception):
    """Airflow refused a request, with the HTTP status ``status`` and a message of its own, or did not answer.

    Only 404 says that something is not there.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    @property
    def absent(self) -> bool:
        """Whether what was asked for is not there."""
        return self.status == 404


class AirflowApi:
    """Airflow's stable REST API at ``url``, as one user.

    :raises ApiError: from every method, when Airflow refuses or does not answer.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._user = user
        self._password = password
        self._session = requests.Session()
        # Loopback is never reached through a proxy.
        self._session.trust_env = False

    def is_up(self) -> bool:
        """Whether the API answers, to tasks as well, and all others report being healthy."""
        try:
            health = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
            # The API of tasks is put together when it is first asked, which takes seconds that a task would wait.
            tasks_are_served = self._session.get(f"{self.url}/execution/health", timeout=60).ok
            states = [health[part]["status"] for part in _PARTS]
        except (requests.RequestException, ValueError, KeyError, TypeError):
            return False
        return tasks_are_served and states == ["healthy"] * len(_PARTS)

    def has_dag(self, dag_id: str) -> bool:
        """Whether the DAG has been parsed."""
        return self._has(f"dags/{dag_id}")

    def has_run(self, dag_id: str, run_id: str) -> bool:
        """Whether there is such a run."""
        return self._has(f"dags/{dag_id}/dagRuns/{run_id}")

    def _has(self, path: str) -> bool:
        try:
            self.request("GET", path)
        except ApiError as error:
            if not error.absent:
                raise
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
        except ApiError as error:
            if not error.absent:
                raise
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
        lines: list[str] = []
        for event in self._task_events(dag_id, run_id, task):
            lines.append(str(event.get("event", "")))
            for error in event.get("error_detail") or []:
                lines.append(f"{error['exc_type']}: {error['exc_value']}")
        return lines

    def task_error(self, dag_id: str, run_id: str, task: Mapping[str, Any]) -> str | None:
        """What ended the latest try of a task instance, if its log says: a sentence of our own, or an exception."""
        for event in reversed(self._task_events(dag_id, run_id, task)):
            if detail := event.get("error_detail"):
                # The first is the error itself, those behind it are what led to it.
                return f"{detail[0]['exc_type']}: {detail[0]['exc_value']}"
            if event.get("level") in ("error", "critical") and event.get("event") != _EXITED:
                return str(event["event"])
        return None

    def _task_events(self, dag_id: str, run_id: str, task: Mapping[str, Any]) -> list[dict[str, Any]]:
        path = (
            f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
            f"?map_index={task['map_index']}"
        )
        content: list[dict[str, Any]] = self.request("GET", path)["content"]
        return content

    def variable(self, key: str) -> str:
        """The value of an Airflow variable; empty when there is none.

        :raises ApiError: also when Airflow shows it with a part hidden that it takes for a secret.
        """
        try:
            value = str(self.request("GET", f"variables/{key}")["value"])
        except ApiError as error:
            if not error.absent:
                raise
            return ""
        if _HIDDEN in value:
            raise ApiError(f"Airflow hides a part of the variable {key}, so it can only be changed in the UI: {value}")
        return value

    def set_variable(self, key: str, value: str) -> None:
        """Make or change an Airflow variable; what describes it stays."""
        body = {"key": key, "value": value}
        try:
            self.request("PATCH", f"variables/{key}?update_mask=value", body)
        except ApiError as error:
            if not error.absent:
                raise
            self.request("POST", "variables", body)

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One request below ``/api/v2/``; logs in when needed.

        It is tried again for a few seconds while Airflow has trouble, a ``POST`` only where nothing was done.
        """
        passing = _UNDONE if method == "POST" else _PASSING
        renewed = False
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._ask(method, path, body)
            except ApiError as error:
                if error.status == 401 and not renewed and tries_left:
                    self._session.headers.pop("Authorization", None)  # it has expired
                    renewed = True
                    continue
                if error.status not in passing or not tries_left:
                    raise
            time.sleep(_PAUSE_SECONDS)
        raise AssertionError("the last try returns or raises")

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        if "Authorization" not in self._session.headers:
            login = {"username": self._user, "password": self._password}
            response = self._send("POST", "auth/token", login, f"cannot log in as {self._user}")
            self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
        response = self._send(method, f"api/v2/{path}", body, f"{method} {path}")
        return response.json() if response.content else None

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None, what: str) -> requests.Response:
        try:
            response = self._session.request(method, f"{self.url}/{path}", json=body, timeout=30)
        except requests.RequestException as error:
            raise ApiError(f"{what}: Airflow does not answer at {self.url} ({type(error).__name__})") from None
        if not response.ok:
            raise ApiError(f"{what}: {response.status_code} {_detail(response)}", response.status_code)
        return response


def _detail(response: requests.Response) -> str:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return response.text[:500]
    # Of a param that is refused, the schema and the value follow.
    return detail.partition("\n\n")[0] if isinstance(detail, str) else str(detail)
