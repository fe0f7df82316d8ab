"""Reading only what is new: what one run notes, the next leaves out."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_pipeline.errors import CatalogError
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.run.catalog import Catalog, absolute_digests, known_contents, link_digests
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import Plan, batch_images
from ocr_pipeline.run.summary import MergedRun
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.storage.disk import LocalFolder
from tests.conftest import DrawImage, MakePlan, WidthEngine, WriteCsv, reading_with, stage_batch
from tests.merging.test_merge import pages_of


@pytest.fixture
def do_run(
    write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances, tmp_path: Path
) -> Callable[..., list[str]]:
    """Runs a dataset of links from plan to merge; returns the links that were read.

    Links say of themselves what they hold, as for :func:`tests.merging.test_merge.pages_of`.
    """

    def execute(run_id: str, links: list[str], *, folder: str = "", **settings: Any) -> list[str]:
        (tmp_path / folder).mkdir(exist_ok=True)
        dataset = write_csv(enumerate(links), name=f"{folder}/{run_id}.csv".lstrip("/"))
        run, plan = make_plan(dataset, run_id=run_id, **{"catalog": "daily", "batch_size": 2, **settings})
        read = []
        for batch in plan.batches:
            images = batch_images(run, batch, plan)
            assert len(images) == batch.images
            read += [image.link for image in images]
            stage_batch(run, plan, batch, {i.row: pages_of(i) for i in images})
        assert merge(run, plan, allowances).complete
        return read

    return execute


def merge(run: RunFolder, plan: Plan, allowances: Allowances) -> MergedRun:
    return merge_run(run, Catalog.of(run, plan.settings, allowances))


def results(run_folder: Path) -> list[tuple[str, str]]:
    with (run_folder / "results.csv").open(newline="", encoding="utf-8") as file:
        return [(row["image"], row["ocr_status"]) for row in csv.DictReader(file)]


def test_what_one_run_has_read_the_next_leaves_out(do_run: Callable[..., list[str]], tmp_path: Path) -> None:
    assert do_run("mon", ["1a", "2b", "1a"]) == ["1a", "2b"]
    assert do_run("tue", ["1c", "2b", "1a", "1c", "2b", "1d"]) == ["1c", "1d"]
    assert do_run("wed", ["1d", "1a"]) == []
    assert results(tmp_path / "output" / "tue") == [
        ("1c", "ok"),
        ("2b", "known"),
        ("1a", "known"),
        ("1c", "ok"),
        ("2b", "known"),
        ("1d", "ok"),
    ]
    assert b"read by the run tue" in (tmp_path / "output" / "wed" / "results.csv").read_bytes()
    assert (tmp_path / "output" / "wed" / "failures.csv").read_bytes().count(b"\n") == 1


def test_what_failed_is_tried_by_the_next_run(do_run: Callable[..., list[str]]) -> None:
    assert do_run("mon", ["0gone", "1a"]) == ["0gone", "1a"]
    assert do_run("tue", ["0gone", "1a"]) == ["0gone"]


def judge(run_id: str, tmp_path: Path, allowances: Allowances) -> MergedRun:
    merged = MergedRun.load(RunFolder.of(str(tmp_path / "output"), run_id, allowances))
    assert merged is not None
    return merged


def test_a_dead_link_fails_no_run_that_has_nothing_else_to_read(
    do_run: Callable[..., list[str]], tmp_path: Path, allowances: Allowances
) -> None:
    links = ["1a", "1b", "1c", "0gone"]
    do_run("mon", links)
    for day in ("tue", "wed"):
        assert do_run(day, links) == ["0gone"]
        merged = judge(day, tmp_path, allowances)
        assert (merged.succeeded, merged.failed_images, merged.failed_before) == (True, 1, 1)
        assert (merged.new_images, merged.new_failures) == (0, 0)
    # Judged by links, whatever their rows: a failure of another link is news.
    do_run("thu", ["0other", *links])
    assert judge("thu", tmp_path, allowances).problem.startswith("1 of 1 new images failed (100 %), more than")
    do_run("fri", ["0other", *links])
    assert judge("fri", tmp_path, allowances).succeeded


def test_known_images_hide_no_failures_of_new_ones(
    do_run: Callable[..., list[str]], tmp_path: Path, allowances: Allowances
) -> None:
    known = [f"1{n}" for n in range(30)]
    do_run("mon", ["0gone", *known])
    do_run("tue", ["0gone", *known, "1new", *(f"0{n}" for n in range(3))])
    assert "3 of 4 new images failed (75 %)" in judge("tue", tmp_path, allowances).problem
    do_run("wed", ["0gone", *known, "1newer", "1newest", "0news"])
    assert judge("wed", tmp_path, allowances).succeeded


def test_a_run_without_the_text_of_any_image_is_no_success_because_the_one_before_had_none(
    do_run: Callable[..., list[str]], tmp_path: Path, allowances: Allowances
) -> None:
    links = ["1a", "0b", "0c", "0d"]
    for day in ("mon", "tue"):
        do_run(day, links)
        assert judge(day, tmp_path, allowances).problem.startswith("3 of 4 images failed (75 %), more than")


def test_with_a_new_model_failures_count_again_where_that_is_asked_for(
    do_run: Callable[..., list[str]], tmp_path: Path, allowances: Allowances
) -> None:
    links = ["1a", "1b", "0gone"]
    do_run("mon", links)
    do_run("tue", links, model="medium", reread_with_new_model=True)
    assert judge("tue", tmp_path, allowances).failed_before == 0


def test_runs_of_other_catalogs_and_without_one_do_not_count(do_run: Callable[..., list[str]]) -> None:
    do_run("mon", ["1a"], catalog="other")
    do_run("tue", ["1b"], catalog=None)
    assert do_run("wed", ["1a", "1b"]) == ["1a", "1b"]


def test_relative_links_of_different_folders_are_different_images(do_run: Callable[..., list[str]]) -> None:
    do_run("mon", ["1a"], folder="one")
    assert do_run("tue", ["1a"], folder="two") == ["1a"]
    assert do_run("wed", ["1a"], folder="one") == []


def test_a_run_that_is_planned_again_does_not_find_what_it_has_read_itself(
    do_run: Callable[..., list[str]], tmp_path: Path
) -> None:
    do_run("mon", ["1a", "1b"])
    assert do_run("mon", ["1a", "1b"]) == ["1a", "1b"]
    (tmp_path / "output" / "mon" / "plan.json").unlink()
    assert do_run("mon", ["1a", "1b"]) == ["1a", "1b"]


def test_a_new_model_reads_all_again_where_that_is_asked_for(do_run: Callable[..., list[str]]) -> None:
    do_run("mon", ["1a"])
    assert do_run("tue", ["1a"], model="medium") == []
    assert do_run("wed", ["1a"], model="medium", reread_with_new_model=True) == ["1a"]
    assert do_run("thu", ["1a"], model="medium", reread_with_new_model=True) == []


def test_days_that_run_at_the_same_time_note_both_what_they_read(
    write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances, do_run: Callable[..., list[str]]
) -> None:
    planned = []
    for day in "xy":
        dataset = write_csv(enumerate(["1a", f"1{day}"]), name=f"{day}.csv")
        planned.append(make_plan(dataset, run_id=day, catalog="daily"))
    for run, plan in planned:
        (batch,) = plan.batches
        images = batch_images(run, batch, plan)
        assert len(images) == 2
        stage_batch(run, plan, batch, {i.row: pages_of(i) for i in images})
        merge(run, plan, allowances)
    assert do_run("later", ["1x", "1y", "1a", "1z"]) == ["1z"]


def test_a_damaged_file_is_named(do_run: Callable[..., list[str]], tmp_path: Path) -> None:
    do_run("mon", ["1a"])
    (tmp_path / "output" / ".catalog" / "daily" / "mon.parquet").write_bytes(b"PAR1")
    with pytest.raises(CatalogError, match=r"daily/mon\.parquet is damaged .* delete it"):
        do_run("tue", ["1a"])


def test_a_file_with_digests_of_another_version_is_named(do_run: Callable[..., list[str]], tmp_path: Path) -> None:
    do_run("mon", ["1a"])
    path = tmp_path / "output" / ".catalog" / "daily" / "mon.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({b"ocr_model": b"PP-OCRv6_small"}), path)
    with pytest.raises(CatalogError, match=r"daily/mon\.parquet was written by another version: delete it"):
        do_run("tue", ["1a"])


def test_digests_stay_what_they_are() -> None:
    # From the command b2sum -l 128, and in its order of bytes.
    first, second = link_digests(["http://h/1", "ü"])
    assert [a.tobytes().hex() + b.tobytes().hex() for a, b in zip(first, second, strict=True)] == [
        "a912f11b45aaf3f1675d37030b8ec235",
        "ccea9926cd506ef041d05adbd5a2dfb7",
    ]


def test_known_by_their_content_images_are_fetched_and_those_with_new_bytes_read(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances, tmp_path: Path
) -> None:
    def read(run_id: str, links: list[str], **settings: Any) -> tuple[int, list[tuple[str, str]]]:
        run, plan = make_plan(write_csv(enumerate(links)), run_id=run_id, catalog="daily", **settings)
        engine = WidthEngine()
        Batch(plan.batches[0], allowances, reading_with(engine)).run()
        merge(run, plan, allowances)
        return engine.pages, results(tmp_path / "output" / run_id)

    one, two, broken = draw_image(30), draw_image(40), draw_image(13)
    assert read("mon", [one, broken])[0] == 2
    (tmp_path / "copy.png").write_bytes((tmp_path / one).read_bytes())
    links = ["copy.png", one, two, broken]
    assert read("tue", links, known_by="content") == (
        2,
        [("copy.png", "known"), (one, "known"), (two, "ok"), (broken, "read_failed")],
    )
    (tmp_path / two).write_bytes((tmp_path / draw_image(50)).read_bytes())
    assert read("wed", [one, two], known_by="content") == (1, [(one, "known"), (two, "ok")])


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 30)), max_size=5), st.sets(st.integers(0, 30)))
def test_every_link_is_found_in_a_run_that_has_read_it(
    tmp_path_factory: pytest.TempPathFactory, read: list[set[int]], asked: set[int]
) -> None:
    folder = LocalFolder(tmp_path_factory.mktemp("catalog"))
    for number, links in enumerate(read):
        with Catalog(folder, f"run{number}", "m", False).recording() as record:
            record.add([f"http://h/{link}" for link in links], "", ["00" * 32] * len(links))
    wanted = sorted(asked)
    found, runs = Catalog(folder, "now", "m", False).find(*absolute_digests([f"http://h/{n}" for n in wanted], ""))
    assert set(found[found >= 0]) == set(range(len(runs)))
    for link, index in zip(wanted, np.asarray(found), strict=True):
        assert (index >= 0) == any(link in links for links in read)
        assert index < 0 or link in read[int(runs[index].removeprefix("run"))]


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.lists(st.binary(min_size=32, max_size=32), max_size=20), max_size=4), st.binary(min_size=32))
def test_every_content_is_found_that_was_read(
    tmp_path_factory: pytest.TempPathFactory, read: list[list[bytes]], other: bytes
) -> None:
    folder = LocalFolder(tmp_path_factory.mktemp("catalog"))
    for number, contents in enumerate(read):
        with Catalog(folder, f"run{number}", "m", False).recording() as record:
            record.add(["http://h/1"] * len(contents), "", [content.hex() for content in contents])
    run = RunFolder(LocalFolder(tmp_path_factory.mktemp("run")))
    with run.known_contents.writing() as path:
        Catalog(folder, "now", "m", False).write_contents(path, tmp_path_factory.mktemp("scratch"))
    known = {content[:16] for contents in read for content in contents}
    with known_contents(run) as found:
        assert all(content.hex() in found for contents in read for content in contents)
        assert (other.hex() in found) == (other[:16] in known)
