"""What is asked for at which address."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from ocr_airflow.dags import READ_TASK
from ocr_airflow.pages.database import Database, recent_runs
from ocr_airflow.pages.links import Links
from ocr_airflow.pages.notices import Notice
from ocr_airflow.pages.rendering import render, static_files
from ocr_airflow.pages.results import Run
from ocr_airflow.pages.rights import Person, may_read_run, readable_dags

RUNS_ON_A_PAGE = 25


def _links(request: Request) -> Links:
    return Links.below(request.scope["root_path"])


Addresses = Annotated[Links, Depends(_links)]

router = APIRouter()
run_router = APIRouter(prefix="/dags/{dag_id}/runs/{run_id}", dependencies=[Depends(may_read_run)])


@router.get("/static/{name}")
def static_file(name: str) -> Response:
    """A style sheet or a script of the pages' own."""
    if name not in static_files():
        raise Notice("There is no such file", "The pages have no such style sheet or script.", 404)
    content, kind = static_files()[name]
    return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=31536000, immutable"})


@router.get("/")
def list_runs(
    links: Addresses, session: Database, person: Person, page: Annotated[int, Query(ge=0, le=10_000)] = 0
) -> HTMLResponse:
    """The runs of all DAGs that the person may read, the latest first."""
    runs, more = recent_runs(session, readable_dags(person), page * RUNS_ON_A_PAGE, RUNS_ON_A_PAGE)
    going_on = any(listed.run.going_on for listed in runs)
    return HTMLResponse(render("runs.html", links=links, runs=runs, page=page, more=more, going_on=going_on))


@run_router.get("/tasks/{task_id}/{map_index}")
def show_task(links: Addresses, run: Run, task_id: str, map_index: str) -> RedirectResponse:
    """The rows of the batch that a task reads; of any other task, the whole run."""
    batch = int(map_index) if task_id == READ_TASK and map_index.isascii() and map_index.isdigit() else None
    return RedirectResponse(links.run(run.dag_id, run.run_id, {"batch": batch}), 303)


router.include_router(run_router)
