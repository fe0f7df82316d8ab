"""Memory that batches of one container set aside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ocr_pipeline.reading.claims import claim_units

CLAIM = """
import sys, time
from pathlib import Path
from ocr_pipeline.reading.claims import claim_units
units, claim = claim_units(3, 10, 100, Path(sys.argv[1]))
print(units, flush=True)
time.sleep(600)
"""


def test_a_claim_holds_until_it_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "claims"
    units, first = claim_units(4, 10, 100, folder)
    assert units == 4
    with first:
        units, second = claim_units(100, 10, 105, folder)
        assert units == 6
        with second:
            units, third = claim_units(4, 10, 100, folder)
            assert units == 1, "one at least"
            third.__exit__(None, None, None)
    assert not list(folder.iterdir())


def test_claims_of_batches_that_begin_together_or_are_killed(tmp_path: Path) -> None:
    folder = tmp_path / "claims"
    batches = [
        subprocess.Popen([sys.executable, "-c", CLAIM, str(folder)], stdout=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    try:
        claimed = [int(batch.stdout.readline()) for batch in batches if batch.stdout]
        assert sorted(claimed) == [1, 1, 3, 3, 3]  # the last finds nothing left, and takes what it needs at least
        assert claim_units(100, 10, 200, folder)[0] == 9
    finally:
        for batch in batches:
            batch.kill()
            batch.communicate()
    assert claim_units(100, 10, 100, folder)[0] == 10


def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    theirs, link, file = tmp_path / "theirs", tmp_path / "link", tmp_path / "file"
    theirs.mkdir()
    theirs.chmod(0o777)
    link.symlink_to(tmp_path)
    file.touch()
    for folder in (theirs, link, file, tmp_path / "no" / "parent"):
        assert [claim_units(4, 10, 50, folder)[0] for _ in range(2)] == [4, 4]
    assert not list(theirs.iterdir())


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_is_claimed_than_is_wanted(most: int, tmp_path: Path) -> None:
    assert claim_units(most, 10, 1000, tmp_path / "claims")[0] == most
