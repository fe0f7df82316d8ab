"""Every route is behind Airflow's own rights, and where Airflow's modules are not what they were, nothing is served."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from ocr_airflow.pages.app import build_app, build_pages
from ocr_airflow.pages.lazy import LazyApp
from ocr_airflow.pages.rights import may_look, may_read_run
from ocr_airflow.pages.security import CONTENT_SECURITY_POLICY

PLUGIN = Path(__file__).parents[3] / "plugins" / "ocr_results_plugin.py"
EXAMPLES = {
    "dag_id": "ocr_images",
    "run_id": "run",
    "task_id": "read_batch",
    "map_index": "0",
    "row": "0",
    "page": "0",
    "name": "results.csv",
}


def guards(dependant: Dependant) -> Iterator[object]:
    """Everything that is called before a route is."""
    for inner in dependant.dependencies:
        yield inner.call
        yield from guards(inner)


def unguarded(app: FastAPI) -> list[str]:
    """The routes that anybody, or anybody who is logged in, may ask."""
    found = []
    for route in app.routes:
        called = list(guards(route.dependant)) if isinstance(route, APIRoute) else []
        path = getattr(route, "path", "")
        if may_look not in called or ("{dag_id}" in path and may_read_run not in called):
            found.append(path)
    return found


def addresses() -> list[str]:
    """An address of every route."""
    return [route.path.format(**EXAMPLES) for route in build_app().routes if isinstance(route, APIRoute)]


def test_every_route_asks_airflow_first() -> None:
    app = build_app()
    assert len(app.routes) >= 8
    assert unguarded(app) == []


def test_a_route_that_asks_nobody_is_found() -> None:
    app = build_app()
    app.add_api_route("/dags/{dag_id}/all", lambda: "")
    app.router.routes.append(FastAPI().routes[0])  # the description of itself that FastAPI would give
    assert unguarded(app) == ["/dags/{dag_id}/all", "/openapi.json"]


@pytest.mark.parametrize("address", addresses())
def test_without_a_login_there_is_nothing(address: str) -> None:
    answer = TestClient(build_pages(), root_path="/ocr").get(address, follow_redirects=False)
    assert answer.status_code == 401
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "run" not in answer.text.replace("OCR runs", "").split("<main>")[1]


@pytest.mark.parametrize("address", ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"])
def test_the_application_does_not_describe_itself(address: str) -> None:
    assert TestClient(build_pages(), root_path="/ocr").get(address).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("address", addresses())
def test_nothing_is_changed_through_the_pages(method: str, address: str) -> None:
    answer = TestClient(build_pages(), root_path="/ocr").request(method, address)
    assert answer.status_code == 405
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_where_the_pages_cannot_be_built_everything_is_refused() -> None:
    tried = []

    def build() -> None:
        tried.append(1)
        raise ImportError("cannot import name 'requires_access_dag'")

    client = TestClient(LazyApp(build))  # type: ignore[arg-type]
    for address in addresses():
        answer = client.get(address)
        assert (answer.status_code, "requires_access_dag" in answer.text) == (503, False)
    assert len(tried) == 1


def test_loading_the_plugin_loads_nothing_of_the_pages() -> None:
    # In a process of its own, as a worker has it: what Airflow loads for itself is not counted.
    script = (
        "import sys, airflow.plugins_manager\n"
        "before = set(sys.modules)\n"
        "import ocr_results_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    loaded = {name for name in done.stdout.split() if not name.startswith("ocr_airflow.pages.lazy")}
    assert loaded - set(sys.stdlib_module_names) == {"ocr_airflow", "ocr_airflow.pages", "ocr_results_plugin"}
