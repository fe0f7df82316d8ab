"""Airflow's own command line on the local Airflow, as people call it."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

from ocr_local.home import CHECKOUT
from tests.e2e.conftest import LocalAirflow, local, local_environment, wait_for
from tests.e2e.test_runs import draw_word

DAG = "past"


def make_airflow(home: Path, arguments: str) -> str:
    """What ``make airflow`` with these ``ARGS`` prints."""
    done = subprocess.run(
        ["make", "-o", ".venv/.installed", "airflow", f"ARGS={arguments}"],
        cwd=CHECKOUT,
        env=local_environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_past_days_are_read_by_a_backfill(airflow: LocalAirflow, tmp_path: Path) -> None:
    draw_word(tmp_path / "ONE.png", "ONE")
    for day in (1, 2):
        (tmp_path / f"2026-01-0{day}.csv").write_text("image\nONE.png\n")
    airflow.allow(str(tmp_path))
    (airflow.datasets / f"{DAG}.yaml").write_text(
        f"source: {tmp_path}/{{{{ day }}}}.csv\nschedule: '@daily'\nstart_date: 2026-01-01\nend_date: 2026-01-02\n"
    )
    wait_for(lambda: airflow.api.has_dag(DAG))
    assert DAG in make_airflow(airflow.home, "dags list --columns 'dag_id'")
    make_airflow(airflow.home, f"backfill create --dag-id {DAG} --from-date 2026-01-01 --to-date '2026-01-02'")
    (found,) = airflow.api.request("GET", f"backfills?dag_id={DAG}")["backfills"]
    assert found["from_date"].startswith("2026-01-01")
    days = {f"2026-01-0{day}" for day in (1, 2)}
    wait_for(lambda: merged_days(airflow) >= days, 240)
    for path in (airflow.output / DAG).glob("*/results.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            assert [row["ocr_status"] for row in csv.DictReader(file)] == ["ok"]


def merged_days(airflow: LocalAirflow) -> set[str]:
    """The days whose results are there."""
    return {path.parent.name[:10] for path in (airflow.output / DAG).glob("*/summary.json")}


def test_airflow_is_given_commands(airflow: LocalAirflow, tmp_path: Path) -> None:
    command = local(airflow.home, "airflow", "--args", "variables set 'a key' \"it's\"")
    printed, _ = command.communicate(timeout=120)
    assert command.returncode == 0, printed
    assert airflow.api.variable("a key") == "it's"
    for home, args, said in (
        (airflow.home, "", 'make airflow ARGS="dags list"'),
        (airflow.home, "dags 'list", "No closing quotation"),
        (tmp_path / "none", "dags list", "make up"),
    ):
        command = local(home, "airflow", "--args", args)
        printed, _ = command.communicate(timeout=120)
        assert command.returncode == 1
        assert said in printed
    assert local(airflow.home, "airflow", "--args", "dags details none").wait(120) != 0
