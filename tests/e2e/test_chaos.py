"""A run survives kills, a vanishing folder and a flaky server, and comes out as if nothing had happened."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocr_local.airflow import DAG_ID
from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.run.plan import Plan
from ocr_pipeline.run.staging import load_staged
from tests.e2e.chaos import Damage, Playground, bucket, config, differences
from tests.e2e.conftest import LocalAirflow, running_airflow

pytestmark = pytest.mark.chaos

WANTED = Damage(kills=4, outages=1, workers=1)
SEED = 20260
"""The same in every run of the tests; `make chaos` draws one of its own, or takes SEED=."""


@pytest.fixture(scope="module")
def fragile_airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    with running_airflow(tmp_path_factory.mktemp("chaos"), config()) as running:
        yield running


def test_a_disturbed_run_ends_like_one_that_nothing_disturbed(fragile_airflow: LocalAirflow, tmp_path: Path) -> None:
    playground = Playground(fragile_airflow, tmp_path, images=40)
    print(f"seed {SEED}")  # shown when it fails
    with playground.server:
        expected = playground.run("undisturbed")
        survived = playground.run_disturbed("disturbed", random.Random(SEED), WANTED)
        assert playground.server.failures >= 10
    assert {row["ocr_status"] for row in expected} == {"ok", "fetch_failed"}
    assert survived.damage.kills >= 2
    assert survived.damage.workers == 1
    assert differences(expected, survived.rows) == []


def test_a_bucket_that_is_away_for_a_while_costs_no_attempt(fragile_airflow: LocalAirflow, tmp_path: Path) -> None:
    with bucket(fragile_airflow, longest=8) as place:
        playground = Playground(fragile_airflow, tmp_path, images=40, place=place)
        with playground.server:
            expected = playground.run("undisturbed-bucket")
            wanted = Damage(kills=0, outages=2)
            survived = playground.run_disturbed("disturbed-bucket", random.Random(SEED), wanted)
    assert survived.damage.outages >= 1
    assert (survived.lost, survived.cleared) == (0, 0)
    assert differences(expected, survived.rows) == []


def test_airflow_retries_what_is_transient_and_a_person_what_failed_for_good(
    fragile_airflow: LocalAirflow, tmp_path: Path
) -> None:
    playground = Playground(fragile_airflow, tmp_path, images=40)
    gone = [n for n in range(40) if n % 7 == 3]
    flaky = [n for n in range(40) if n % 7 in (1, 5)]
    with playground.server as server:
        # Every flaky image fails once, which is taken for an outage: the task fails and Airflow retries it.
        run = playground.start("outage", attempts=1, max_failures=0.2)
        assert fragile_airflow.wait("outage") == "success"
        assert fragile_airflow.task("outage", "read_batch", 0)["try_number"] == 2
        assert [server.asked[n] for n in range(40)] == [1 + (n in flaky) for n in range(40)]
        plan = Plan.load(run)
        rows = load_staged(run, plan.batches[0], plan.digests[0])
        assert [row.row for row in rows if row.error == ErrorCategory.NOT_FOUND] == gone
        assert [row.row for row in rows if row.error] == gone
        fragile_airflow.api.clear(DAG_ID, "outage", "read_batch", 0)
        assert fragile_airflow.wait("outage") == "success"
        assert [server.asked[n] for n in range(40)] == [1 + (n in flaky or n in gone) for n in range(40)]
