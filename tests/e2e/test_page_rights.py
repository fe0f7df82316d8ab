"""Who may see the pages on a real Airflow: its own login, its own roles, and what the deployment allows."""

from __future__ import annotations

from typing import Any

import jwt
import pytest
import requests

from ocr_airflow.pages.app import build_app
from ocr_local.airflow import DAG_ID
from ocr_local.home import Home
from tests.e2e.conftest import LocalAirflow, wait_for
from tests.e2e.test_runs import draw_word
from tests.plugins.pages.test_guards import EXAMPLES

RUN = "seen"


@pytest.fixture(scope="module")
def seen(airflow: LocalAirflow, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of an image that is there and one that is not."""
    folder = tmp_path_factory.mktemp("seen")
    draw_word(folder / "WORD.png", "WORD")
    (folder / "d.csv").write_text("image\nWORD.png\nmissing.png\n")
    airflow.allow(str(folder))
    airflow.trigger(RUN, folder / "d.csv")
    assert airflow.wait(RUN) == "success"
    return RUN


def token_of(airflow: LocalAirflow, role: str | None) -> str:
    """A token as Airflow gives it to somebody who has ``role``, by the key of this Airflow."""
    secrets = Home(airflow.home).secrets()
    login = {"username": "admin", "password": secrets.password}
    given = requests.post(f"{airflow.api.url}/auth/token", json=login, timeout=30).json()["access_token"]
    header, claims = jwt.get_unverified_header(given), jwt.decode(given, options={"verify_signature": False})
    return jwt.encode(claims | {"sub": "somebody", "role": role}, secrets.jwt, header["alg"], {"kid": header["kid"]})


def ask(airflow: LocalAirflow, path: str, role: str | None, **options: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token_of(airflow, role)}"}
    return requests.get(f"{airflow.api.url}/ocr{path}", headers=headers, timeout=30, allow_redirects=False, **options)


@pytest.mark.parametrize("path", [route.path for route in build_app().routes])  # type: ignore[attr-defined]
def test_who_has_no_role_sees_nothing_and_who_may_look_does(airflow: LocalAirflow, seen: str, path: str) -> None:
    name = "pages.css" if "static" in path else "results.csv"
    path = path.format(**EXAMPLES | {"dag_id": DAG_ID, "run_id": seen, "name": name})
    assert requests.get(f"{airflow.api.url}/ocr{path}", timeout=30).status_code == 401
    assert ask(airflow, path, None).status_code == 403
    assert ask(airflow, path, "VIEWER").status_code in (200, 303)


def test_only_who_may_clear_tasks_is_offered_to_retry(airflow: LocalAirflow, seen: str) -> None:
    path = f"/dags/{DAG_ID}/runs/{seen}"
    assert "data-retry" not in ask(airflow, path, "VIEWER").text
    assert "data-retry" in ask(airflow, path, "USER").text


def test_a_folder_that_is_not_allowed_is_not_opened_whatever_an_xcom_says(airflow: LocalAirflow, seen: str) -> None:
    entry = f"dags/{DAG_ID}/dagRuns/{seen}/taskInstances/plan/xcomEntries/run"
    own = airflow.api.request("GET", entry)["value"]
    try:
        for told in ("/etc", f"{own}/../../../../etc", "s3://bucket/key", "relative", 7, None, ["/etc"]):
            airflow.api.request("PATCH", entry, {"value": told})
            for path in ("", "/rows/0/pages/0", "/files/results.csv"):
                answer = ask(airflow, f"/dags/{DAG_ID}/runs/{seen}{path}", "ADMIN")
                assert answer.status_code in ((404, 503) if "files" in path else (200, 503)), told
                assert "WORD" not in answer.text
                assert "root:" not in answer.text
    finally:
        airflow.api.request("PATCH", entry, {"value": own})


@pytest.mark.parametrize(
    "name", ["plan.json", "../seen/plan.json", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "batches", ".csv"]
)
def test_only_the_files_for_people_are_given(airflow: LocalAirflow, seen: str, name: str) -> None:
    assert ask(airflow, f"/dags/{DAG_ID}/runs/{seen}/files/{name}", "ADMIN").status_code == 404


def test_only_runs_that_read_images_are_listed(airflow: LocalAirflow, seen: str) -> None:
    airflow.api.request("PATCH", "dags/another_project", {"is_paused": False})
    airflow.api.trigger("another_project", "unlisted", {})
    ended = ("success", "failed")
    wait_for(lambda: airflow.api.run_state("another_project", "unlisted") in ended)
    assert seen in ask(airflow, "/", "VIEWER").text
    assert "another_project" not in ask(airflow, "/", "VIEWER").text
