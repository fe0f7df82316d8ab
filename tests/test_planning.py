from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_pipeline.errors import PlanError
from ocr_pipeline.planning import Plan, batch_images, first_occurrences, planned_rows
from ocr_pipeline.records import ImageRef


def test_rows_are_cut_into_batches_that_read_each_link_once(write_csv, make_plan) -> None:
    links = ["a", "b", "a", "", "c", "b", "", "d"]
    run, plan = make_plan(write_csv(enumerate(links)), batch_size=3)
    assert [(b.index, b.first_row, b.rows, b.images) for b in plan.batches] == [
        (0, 0, 3, 2),
        (1, 3, 3, 2),
        (2, 6, 2, 1),
    ]
    assert (plan.rows, plan.images, plan.image_column) == (8, 5, "image")
    images = [image for batch in plan.batches for image in batch_images(run, batch, plan)]
    assert images == [ImageRef(0, "a"), ImageRef(1, "b"), ImageRef(3, ""), ImageRef(4, "c"), ImageRef(7, "d")]


def test_batches_grow_to_stay_below_the_limit_of_their_number(write_csv, make_plan) -> None:
    _, plan = make_plan(write_csv(enumerate("abcdefghij")), batch_size=1, max_batches=4)
    assert plan.batch_size == 3
    assert [batch.rows for batch in plan.batches] == [3, 3, 3, 1]


def test_rows_are_spread_evenly_over_the_batches(write_csv, make_plan) -> None:
    _, plan = make_plan(write_csv(enumerate("abcdefghij")), batch_size=9)
    assert [batch.rows for batch in plan.batches] == [5, 5]


def test_a_dataset_without_rows_is_one_empty_batch(write_csv, make_plan) -> None:
    run, plan = make_plan(write_csv([]))
    assert [(b.first_row, b.rows, b.images) for b in plan.batches] == [(0, 0, 0)]
    assert batch_images(run, plan.batches[0], plan) == []


def test_a_plan_is_read_back_as_it_was_made(write_csv, make_plan) -> None:
    run, plan = make_plan(write_csv(enumerate("abc")), batch_size=2, languages=["en"])
    assert Plan.load(run) == plan


def test_planning_again_finds_the_same_plan_and_refuses_another(write_csv, make_plan) -> None:
    dataset = write_csv(enumerate("abc"))
    _, plan = make_plan(dataset)
    assert make_plan(dataset)[1] == plan
    with pytest.raises(PlanError, match=r"batch_size was 1000 and is now 5"):
        make_plan(dataset, batch_size=5)
    write_csv(enumerate("abd"))
    with pytest.raises(PlanError, match=r"links have changed"):
        make_plan(dataset)


def test_an_absent_or_damaged_plan_says_what_to_do(write_csv, make_plan) -> None:
    run, _ = make_plan(write_csv(enumerate("abc")))
    run.plan.write_bytes(run.plan.read_bytes()[:-20])
    with pytest.raises(PlanError, match="damaged"):
        Plan.load(run)
    run.plan.delete()
    with pytest.raises(PlanError, match="clear the plan task"):
        Plan.load(run)


def test_carried_columns_keep_types_and_order(tmp_path: Path, make_plan) -> None:
    table = pa.table({"n": pa.array([3, None, 1], pa.int32()), "url": ["a", "b", "a"], "tags": [["x"], None, []]})
    pa.parquet.write_table(table, tmp_path / "d.parquet")
    run, plan = make_plan(tmp_path / "d.parquet", batch_size=2)
    parts = [planned_rows(run, batch) for batch in plan.batches]
    assert pa.concat_tables(parts).select(table.column_names) == table
    assert pa.concat_tables(parts)["ocr_read_row"].to_pylist() == [0, 1, 0]


@given(st.lists(st.integers(0, 5), max_size=60), st.booleans())
def test_first_occurrences_agree_with_a_plain_search(values: list[int], collide: bool) -> None:
    # The first digest may be the same for every link: the second then tells them apart.
    first = np.array([0 if collide else v for v in values], dtype=np.uint64)
    second = np.array(values, dtype=np.uint64)
    assert first_occurrences(first, second).tolist() == [values.index(v) for v in values]


def test_first_occurrences_are_found_share_by_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocr_pipeline.planning._SHARE_ROWS", 3)
    values = [2**64 - 1, 0, 2**63, 2**62, 2**62, 2**64 - 1, 0, 9, 2**62 - 1, 2**63]
    digests = np.array(values, dtype=np.uint64)
    assert first_occurrences(digests, digests).tolist() == [values.index(v) for v in values]
