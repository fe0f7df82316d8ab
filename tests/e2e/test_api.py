"""The commands of docs/api.md, run as they stand there."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import requests

from ocr_local.airflow import DAG_ID
from ocr_local.home import CHECKOUT, Home
from tests.e2e.conftest import LocalAirflow
from tests.e2e.test_runs import draw_word

COMMANDS = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_commands_of_the_documentation(airflow: LocalAirflow, tmp_path: Path) -> None:
    draw_word(tmp_path / "HELLO.png", "HELLO")
    draw_word(tmp_path / "WORLD.png", "WORLD")
    dataset = tmp_path / "d.csv"
    dataset.write_text("image\nHELLO.png\nWORLD.png\nnone.png\n")
    airflow.allow(str(tmp_path))
    home = Home(airflow.home)
    given = {
        "AIRFLOW": airflow.api.url,
        "LOGIN": "admin",
        "PASSWORD": home.secrets().password,
        "DATASET": str(dataset),
        "NO_PROXY": "127.0.0.1",
    }
    blocks = COMMANDS.findall((CHECKOUT / "docs" / "api.md").read_text())
    assert len(blocks) == 5
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join(blocks)],
        cwd=tmp_path,
        env=os.environ | given,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    triggered, *progress, summary, row, cleared = _documents(done.stdout)
    assert triggered["state"] == "queued"
    assert progress[-1] | {"seconds_left": 0, "images_per_second": 0} == {
        "state": "success", "images": 3, "done": 3, "failed": 1, "images_per_second": 0, "seconds_left": 0,
    }  # fmt: skip
    assert summary == {"complete": True, "statuses": {"ok": 2, "fetch_failed": 1}, "errors": {"not_found": 1}}
    assert row == {"ocr_status": "ok", "ocr_text": "HELLO"}
    assert sorted(cleared) == ["merge", "read_batch"]
    with (tmp_path / "results.csv").open(newline="") as lines:
        assert [row["ocr_text"] for row in csv.DictReader(lines)] == ["HELLO", "WORLD", ""]
    assert pyarrow.parquet.read_table(tmp_path / "results.parquet").num_rows == 3
    assert len((tmp_path / "failures.csv").read_text().splitlines()) == 2
    assert "<html" in (tmp_path / "report.html").read_text()
    assert airflow.wait(triggered["dag_run_id"]) == "success"


@pytest.mark.parametrize("path", ["progress", "files/results.csv", "rows/0/pages/0/record", "rows/0/pages/0/picture"])
def test_no_page_is_taken_for_numbers_or_a_file(airflow: LocalAirflow, path: str, tmp_path: Path) -> None:
    # A run that could not be planned, whose page says so.
    if not airflow.api.has_run(DAG_ID, "never-planned"):
        airflow.trigger("never-planned", tmp_path / "none.csv")
        assert airflow.wait("never-planned") == "failed"
    login = {"username": "admin", "password": Home(airflow.home).secrets().password}
    token = requests.post(f"{airflow.api.url}/auth/token", json=login, timeout=60).json()["access_token"]
    page = f"{airflow.api.url}/ocr/dags/{DAG_ID}/runs/never-planned"
    answers = [
        requests.get(address, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        for address in (page, f"{page}/{path}")
    ]
    assert [answer.status_code for answer in answers] == [200, 404]
    assert all("could not be planned" in answer.text for answer in answers)


def _documents(text: str) -> list[Any]:
    """The JSON values that stand one after the other in ``text``."""
    found, decoder = [], json.JSONDecoder()
    text = text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return found
