"""Finding a run and opening its results, or saying why that cannot be done."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from ocr_airflow.deployment import allowances
from ocr_airflow.pages import notices
from ocr_airflow.pages.database import AirflowRun, Database, find_run, folder_uri, planning_of
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.storage.patience import Patience
from ocr_pipeline.viewing.results import RunResults

_PATIENCE = Patience(request=10, outage=5)
"""With the store of results: somebody waits for the page."""


def _found_run(dag_id: str, run_id: str, session: Database) -> AirflowRun:
    run = find_run(session, dag_id, run_id)
    if run is None:
        raise notices.no_such_run(dag_id, run_id)
    if not run.ours:
        raise notices.not_ours(dag_id)
    return run


Run = Annotated[AirflowRun, Depends(_found_run)]
"""The run in the path, as a parameter of a route."""


def _run_folder(run: Run, session: Database) -> RunFolder:
    uri = folder_uri(session, run)
    if uri is None:
        raise notices.not_planned(run, planning_of(session, run))
    # The address is what an XCom says, which people can change: the deployment says where results may lie.
    return RunFolder.open(uri, allowances(), _PATIENCE)


Folder = Annotated[RunFolder, Depends(_run_folder)]
"""Its folder, as a parameter of a route."""


def _results(folder: Folder) -> RunResults:
    return RunResults.open(folder)


Results = Annotated[RunResults, Depends(_results)]
"""Its results, as a parameter of a route."""
