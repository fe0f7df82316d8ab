"""What is asked for at which address."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from ocr_airflow.dags import MERGE_TASK, READ_TASK
from ocr_airflow.pages.batches import Batches, progress_facts
from ocr_airflow.pages.charts import charts_of
from ocr_airflow.pages.database import AirflowRun, Database, batch_states, reasons_of, recent_runs
from ocr_airflow.pages.downloads import OFFERED, give, give_offered
from ocr_airflow.pages.filters import ORDERS, RowFilter
from ocr_airflow.pages.images import ImagePage, values_of
from ocr_airflow.pages.leafing import Leaves, Place
from ocr_airflow.pages.links import Links
from ocr_airflow.pages.notices import Notice, no_such_row
from ocr_airflow.pages.rendering import render, static_files
from ocr_airflow.pages.results import Folder, Results, Run
from ocr_airflow.pages.rights import Person, may_read_run, may_retry, readable_dags
from ocr_pipeline.viewing.answers import Record
from ocr_pipeline.viewing.results import RunResults

RUNS_ON_A_PAGE = 25


def _links(request: Request) -> Links:
    return Links.below(request.scope["root_path"])


Addresses = Annotated[Links, Depends(_links)]
Number = Annotated[int, Path(ge=0, le=1_000_000_000_000)]

router = APIRouter()
DATA = "data"
"""Tag of the routes whose answers are no pages: files, pictures, numbers."""

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


@run_router.get("")
def show_run(
    request: Request,
    links: Addresses,
    session: Database,
    person: Person,
    run: Run,
    results: Results,
    only: Literal["live", "rows"] | None = None,
) -> HTMLResponse:
    """A run: its counts, its batches, its charts, and rows of its results; or ``only`` a part of it, to be renewed."""
    overview = results.overview()
    chosen = RowFilter.parse(request.query_params)
    values: dict[str, Any] = {"overview": overview, "batch": results.batch(chosen.batch)}
    if only != "rows":
        batches = results.batches()
        values |= {
            "duration": _duration(run),
            "merge_task": MERGE_TASK,
            "merge_reason": "" if overview.merged else next(iter(reasons_of(session, run, MERGE_TASK).values()), ""),
            "offered": OFFERED,
            "charts": charts_of(results, overview, batches),
            "batches": Batches.of(batches, batch_states(session, run)),
            "retry_address": links.clear(run.dag_id)
            if not overview.trimmed_at and may_retry(run.dag_id, person)
            else None,
        }
    if only != "live":
        values |= {"filter": chosen, "orders": ORDERS, "found": results.rows(chosen.asked(), chosen.seconds)}
    return HTMLResponse(render("run.html", links=links, run=run, only=only, **values))


@run_router.get("/progress", tags=[DATA])
def give_progress(session: Database, run: Run, results: Results) -> JSONResponse:
    """How far a run and its batches are, as JSON."""
    batches = Batches.of(results.batches(), batch_states(session, run))
    return JSONResponse(progress_facts(run, results.overview(), batches))


@run_router.get("/tasks/{task_id}/{map_index}")
def show_task(links: Addresses, run: Run, task_id: str, map_index: str) -> RedirectResponse:
    """The rows of the batch that a task reads; of any other task, the whole run."""
    batch = int(map_index) if task_id == READ_TASK and map_index.isascii() and map_index.isdigit() else None
    # Straight to the rows: above them is the run, which whoever looks at one of its batches has not asked for.
    return RedirectResponse(
        links.run(run.dag_id, run.run_id, {"batch": batch}) + ("" if batch is None else "#rows"), 303
    )


@run_router.get("/rows/{row}/pages/{page}")
def show_image(
    request: Request, links: Addresses, run: Run, results: Results, row: Number, page: Number
) -> HTMLResponse:
    """A page of an image beside its text; the address knows the list that it is looked at from."""
    record = _record(results, row, page)
    image = ImagePage(record, record.preview.exists())
    place = Place.parse(request.query_params)
    values = {"image": image, "values": values_of(record), "place": place, "leaves": Leaves.around(results, row, place)}
    return HTMLResponse(render("image.html", links=links, run=run, **values))


@run_router.get("/rows/{row}/pages/{page}/record", tags=[DATA])
def give_record(results: Results, row: Number, page: Number) -> Response:
    """The row of the results as JSON."""
    text = json.dumps(values_of(_record(results, row, page)), ensure_ascii=False, default=str)
    return Response(text, media_type="application/json")


@run_router.get("/rows/{row}/pages/{page}/picture", tags=[DATA])
def give_picture(results: Results, row: Number, page: Number) -> Response:
    """The picture of a page as the run has kept it."""
    return give(_record(results, row, page).preview, "image/webp", {"Cache-Control": "private, max-age=60"})


@run_router.get("/files/{name}", tags=[DATA])
def give_file(folder: Folder, name: str) -> Response:
    """A file of the run's folder, to be saved; the report is shown, where it can do nothing."""
    return give_offered(folder, name)


def _record(results: RunResults, row: int, page: int) -> Record:
    found = results.record(row, page)
    if found is None:
        raise no_such_row(row, page)
    return found


def _duration(run: AirflowRun) -> float | None:
    if run.started is None:
        return None
    return ((run.ended or datetime.now(UTC)) - run.started).total_seconds()


router.include_router(run_router)
