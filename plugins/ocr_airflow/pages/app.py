"""The pages as an application: every route behind Airflow's own login and rights, every answer with its headers."""

from __future__ import annotations

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from ocr_airflow.pages.links import Links
from ocr_airflow.pages.notices import Notice, unreadable
from ocr_airflow.pages.rendering import render
from ocr_airflow.pages.rights import may_look
from ocr_airflow.pages.routes import DATA, router
from ocr_airflow.pages.security import SecurityHeaders
from ocr_pipeline.errors import OcrPipelineError

_REFUSALS = {
    401: ("You are not logged in", "Log in to Airflow, then open this page again."),
    403: ("You may not see this", "Airflow does not let you read results here: ask whoever administers it."),
    404: ("There is no such page", "The address leads nowhere."),
}


def build_pages() -> ASGIApp:
    """The application as it is served."""
    return SecurityHeaders(build_app())


def build_app() -> FastAPI:
    """The application without its headers. What FastAPI would say of it to anybody is closed."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(may_look)])
    app.include_router(router)
    app.add_exception_handler(Notice, _show_notice)
    app.add_exception_handler(OcrPipelineError, _show_unreadable)
    app.add_exception_handler(HTTPException, _show_refusal)
    app.add_exception_handler(RequestValidationError, _show_no_page)
    return app


def _show_notice(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, Notice)
    links = Links.below(request.scope["root_path"])
    page = render("notice.html", links=links, notice=error)
    # Who asked for a file or for numbers must not take this page for them.
    no_page = DATA in getattr(request.scope.get("route"), "tags", ())
    return HTMLResponse(page, 404 if no_page and error.status == 200 else error.status)


def _show_unreadable(request: Request, error: Exception) -> HTMLResponse:
    return _show_notice(request, unreadable(error))


def _show_refusal(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, HTTPException)
    title, text = _REFUSALS.get(error.status_code, ("This cannot be shown", f"{error.detail}"))
    return _show_notice(request, Notice(title, text, error.status_code))


def _show_no_page(request: Request, _: Exception) -> HTMLResponse:
    return _show_notice(request, Notice(*_REFUSALS[404], 404))
