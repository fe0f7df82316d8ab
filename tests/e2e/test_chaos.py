"""A run survives kills, a vanishing folder and a flaky server, and comes out as if nothing had happened."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import CONFIG, Damage, Playground, differences
from tests.e2e.conftest import LocalAirflow, running_airflow

WANTED = Damage(kills=4, outages=1)


@pytest.fixture
def fragile_airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    with running_airflow(tmp_path_factory.mktemp("chaos"), CONFIG) as running:
        yield running


def test_a_disturbed_run_ends_like_one_that_nothing_disturbed(fragile_airflow: LocalAirflow, tmp_path: Path) -> None:
    playground = Playground(fragile_airflow, tmp_path, images=40)
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # shown when it fails
    with playground.server:
        expected = playground.run("undisturbed")
        found, done = playground.run_disturbed("disturbed", random.Random(seed), WANTED)
        assert playground.server.failures >= 10
    assert {row["ocr_status"] for row in expected} == {"ok", "fetch_failed"}
    assert done.kills >= 2
    assert differences(expected, found) == []
