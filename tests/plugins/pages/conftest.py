"""The pages of a run without an Airflow around them: who asks may do everything, tests say what its tasks do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from starlette.testclient import TestClient

from ocr_airflow.pages import results, routes
from ocr_airflow.pages.app import build_app
from ocr_airflow.pages.database import AirflowRun, Database, TaskState
from ocr_airflow.pages.rights import Person, may_look, may_read_run
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.planning.planning import plan_run
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import RunSettings
from tests.conftest import WriteCsv
from tests.viewing.runs import Readings, stage

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MakeRun = Callable[..., RunFolder]


@dataclass
class Pages:
    """The pages of a run: its folder, the states that Airflow gives it and its batches, what the merge said."""

    client: TestClient
    folder: RunFolder | None = None
    state: str = "success"
    tasks: dict[int, TaskState] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    @property
    def run(self) -> AirflowRun:
        """The run as Airflow has it."""
        return AirflowRun("ocr_images", "shown", self.state, STARTED, STARTED + timedelta(minutes=1), ours=True)

    def get(self, path: str = "") -> str:
        """What a page of the run says."""
        answer = self.client.get(f"/dags/ocr_images/runs/shown{path}")
        assert answer.status_code == 200, answer.text
        return answer.text

    def json(self, path: str) -> Any:
        """What a program is told."""
        return self.client.get(f"/dags/ocr_images/runs/shown{path}").json()


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    """Those of a run that a test chooses."""
    app = build_app()
    pages = Pages(TestClient(app, root_path="/ocr", follow_redirects=False))
    for guard in (may_look, may_read_run, *(get_args(given)[1].dependency for given in (Person, Database))):
        app.dependency_overrides[guard] = lambda: None
    app.dependency_overrides[results._found_run] = lambda: pages.run
    app.dependency_overrides[results._run_folder] = lambda: pages.folder
    monkeypatch.setattr(routes, "may_retry", lambda dag_id, person: True)
    monkeypatch.setattr(routes, "batch_states", lambda session, run: pages.tasks)
    monkeypatch.setattr(routes, "reasons_of", lambda session, run, task: pages.said)
    return pages


@pytest.fixture
def make_run(tmp_path: Path, allowances: Allowances, write_csv: WriteCsv) -> MakeRun:
    """A run of links with their readings, in batches of two; ``leave_out`` names those that are not staged."""

    def make(
        readings: Readings,
        leave_out: tuple[int, ...] = (),
        *,
        run_id: str = "shown",
        merge: bool = True,
        **settings: Any,
    ) -> RunFolder:
        output = str(tmp_path / "output")
        values = {"dataset": str(write_csv(enumerate(readings))), "output": output, "batch_size": 2, **settings}
        run = RunFolder.of(output, run_id, allowances)
        plan = plan_run(RunSettings.parse(values), run, allowances, max_batches=100)
        stage(run, plan, readings, leave_out)
        if merge:
            merge_run(run)
        return run

    return make
