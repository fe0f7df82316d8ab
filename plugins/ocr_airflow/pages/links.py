"""The addresses of the pages, and of the pages of Airflow that they lead to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlencode

from ocr_airflow.pages import PREFIX

Query = Mapping[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses below where Airflow is served.

    :param airflow: path of Airflow, without a slash at its end; empty at the root of its server.
    :param pages: path of the pages, likewise.
    """

    airflow: str
    pages: str

    @classmethod
    def below(cls, root_path: str) -> Self:
        """For pages that are served at this path, as ASGI's ``root_path`` has it."""
        pages = root_path.rstrip("/")
        return cls(airflow=pages.removesuffix(PREFIX), pages=pages)

    def static(self, name: str, version: str) -> str:
        """A file of the pages' own; another version has another address."""
        return f"{self.pages}/static/{name}?v={version}"

    def runs(self, page: int = 0) -> str:
        """The list of runs."""
        return f"{self.pages}/{_query({'page': page or None})}"

    def run(self, dag_id: str, run_id: str, query: Query | None = None) -> str:
        """The results of a run; ``query`` chooses rows."""
        return f"{self.pages}/dags/{_part(dag_id)}/runs/{_part(run_id)}{_query(query or {})}"

    def progress(self, dag_id: str, run_id: str) -> str:
        """How far a run is, as JSON."""
        return f"{self.run(dag_id, run_id)}/progress"

    def image(self, dag_id: str, run_id: str, row: int, page: int = 0, query: Query | None = None) -> str:
        """The page of an image; ``query`` is that of the list that it is looked at from."""
        return f"{self.run(dag_id, run_id)}/rows/{row}/pages/{page}{_query(query or {})}"

    def preview(self, dag_id: str, run_id: str, row: int, page: int) -> str:
        """Its picture."""
        return f"{self.image(dag_id, run_id, row, page)}/picture"

    def record(self, dag_id: str, run_id: str, row: int, page: int) -> str:
        """Its row of the results, as JSON."""
        return f"{self.image(dag_id, run_id, row, page)}/record"

    def file(self, dag_id: str, run_id: str, name: str) -> str:
        """A file of the run's folder."""
        return f"{self.run(dag_id, run_id)}/files/{_part(name)}"

    def airflow_dag(self, dag_id: str) -> str:
        """Airflow's page of a DAG."""
        return f"{self.airflow}/dags/{_part(dag_id)}"

    def airflow_run(self, dag_id: str, run_id: str) -> str:
        """Airflow's page of a run."""
        return f"{self.airflow_dag(dag_id)}/runs/{_part(run_id)}"

    def airflow_task(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
        """Airflow's page of a task, with its log."""
        task = f"{self.airflow_run(dag_id, run_id)}/tasks/{_part(task_id)}"
        return task if map_index < 0 else f"{task}/mapped/{map_index}"

    def clear(self, dag_id: str) -> str:
        """Airflow's own interface for trying tasks again."""
        return f"{self.airflow}/api/v2/dags/{_part(dag_id)}/clearTaskInstances"


def _part(text: str) -> str:
    return quote(text, safe="")


def _query(query: Query) -> str:
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"?{urlencode(given)}" if given else ""
