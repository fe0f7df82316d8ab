"""``make retry``: what failed in a run is tried again in place, on a real Airflow."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

from tests.e2e.conftest import LocalAirflow, local, path_of
from tests.e2e.test_runs import draw_word, results

WORDS = [f"WORD{n}" for n in range(9)]
MISSING = 4


def retry(airflow: LocalAirflow, run_id: str) -> tuple[int, str]:
    """Run ``make retry RUN=run_id``; returns its exit code and what it printed."""
    command: subprocess.Popen[str] = local(airflow.home, "retry", "--run", run_id)
    printed, _ = command.communicate(timeout=240)
    return command.returncode, printed


def staged(path: Path) -> dict[str, list[str]]:
    """The rows of a staged batch by their number."""
    with path.open(newline="", encoding="utf-8") as file:
        return {line[0]: line for line in csv.reader(file)}


def test_only_the_failed_images_of_a_run_are_tried_again(airflow: LocalAirflow, tmp_path: Path) -> None:
    for n, word in enumerate(WORDS):
        if n != MISSING:
            draw_word(tmp_path / f"{word}.png", word)
    dataset = tmp_path / "words.csv"
    dataset.write_text("image\n" + "".join(f"{word}.png\n" for word in WORDS))
    airflow.allow(str(tmp_path))
    run = airflow.trigger("holes", dataset, batch_size=3)
    assert airflow.wait("holes") == "success"
    assert [row["ocr_error"] for row in results(path_of(run.results_csv))] == [
        "",
        "",
        "",
        "",
        "not_found",
        "",
        "",
        "",
        "",
    ]
    before = [staged(path_of(run.staged(index))) for index in range(3)]
    times = [path_of(run.staged(index)).stat().st_mtime_ns for index in range(3)]

    draw_word(tmp_path / f"{WORDS[MISSING]}.png", WORDS[MISSING])
    code, printed = retry(airflow, "holes")
    assert code == 0, printed
    assert "trying 1 image again, in 1 of 3 batches" in printed
    assert "\n1 image tried again in" in printed
    assert [row["ocr_status"] for row in results(path_of(run.results_csv))] == ["ok"] * 9
    after = [staged(path_of(run.staged(index))) for index in range(3)]
    changed = [{n for n, row in new.items() if row != old[n]} for new, old in zip(after, before, strict=True)]
    assert changed == [set(), {str(MISSING)}, set()]
    assert [path_of(run.staged(index)).stat().st_mtime_ns == times[index] for index in range(3)] == [True, False, True]
    tries = sorted((t["task_id"], t["map_index"], t["try_number"]) for t in airflow.tasks("holes"))
    reads = [("read_batch", 0, 1), ("read_batch", 1, 2), ("read_batch", 2, 1)]
    assert tries == [("merge", -1, 2), ("plan", -1, 1), *reads]

    code, printed = retry(airflow, "holes")
    assert (code, "Nothing to retry" in printed) == (0, True)


def test_a_run_that_could_not_be_planned_is_planned_again(airflow: LocalAirflow, tmp_path: Path) -> None:
    draw_word(tmp_path / "a.png", "WORD")
    (tmp_path / "d.csv").write_text("image\na.png\n")
    run = airflow.trigger("unplanned", tmp_path / "d.csv")
    assert airflow.wait("unplanned") == "failed"
    code, printed = retry(airflow, "unplanned")
    assert code == 1
    assert f"ALLOW={tmp_path}" in printed
    airflow.allow(str(tmp_path))
    code, printed = retry(airflow, "unplanned")
    assert code == 0, printed
    assert [row["ocr_status"] for row in results(path_of(run.results_csv))] == ["ok"]


def test_a_run_that_is_not_there_is_refused_with_those_that_are(airflow: LocalAirflow, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("image\n")
    airflow.allow(str(tmp_path))
    airflow.trigger("known", tmp_path / "d.csv")
    assert airflow.wait("known") == "success"
    code, printed = retry(airflow, "unknown")
    assert code == 1
    assert "ocr_images has no run unknown. Its latest runs:" in printed
    assert "known  success" in printed
