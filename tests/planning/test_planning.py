import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_pipeline.errors import MissingPlanError, PlanError
from ocr_pipeline.planning.duplicates import LinkDigests
from ocr_pipeline.records import ImageRef
from ocr_pipeline.run.plan import Plan, batch_images, planned_rows
from tests.conftest import MakePlan, WriteCsv


def test_rows_are_cut_into_batches_that_read_each_link_once(write_csv: WriteCsv, make_plan: MakePlan) -> None:
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


def test_batches_grow_to_stay_below_the_limit_of_their_number(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    _, plan = make_plan(write_csv(enumerate("abcdefghij")), batch_size=1, max_batches=4)
    assert plan.batch_size == 3
    assert [batch.rows for batch in plan.batches] == [3, 3, 3, 1]


@pytest.mark.parametrize(("limit", "rows"), [(None, 20), (30, 20), (7, 7)])
def test_a_preview_takes_the_first_rows(write_csv: WriteCsv, make_plan: MakePlan, limit: int | None, rows: int) -> None:
    _, plan = make_plan(write_csv((number, f"{number}.png") for number in range(50)), preview=True, limit=limit)
    assert plan.rows == plan.images == rows


def test_rows_are_spread_evenly_over_the_batches(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    _, plan = make_plan(write_csv(enumerate("abcdefghij")), batch_size=9)
    assert [batch.rows for batch in plan.batches] == [5, 5]


def test_a_dataset_without_rows_is_one_empty_batch(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    run, plan = make_plan(write_csv([]))
    assert [(b.first_row, b.rows, b.images) for b in plan.batches] == [(0, 0, 0)]
    assert batch_images(run, plan.batches[0], plan) == []


def test_a_plan_is_read_back_as_it_was_made(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    run, plan = make_plan(write_csv(enumerate("abc")), batch_size=2, languages=["en"])
    assert Plan.load(run) == plan


def test_planning_again_finds_the_same_plan_and_refuses_another(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    dataset = write_csv(enumerate("abc"))
    _, plan = make_plan(dataset)
    assert make_plan(dataset)[1] == plan
    with pytest.raises(PlanError, match=r"batch_size was 1000 and is now 5"):
        make_plan(dataset, batch_size=5)
    write_csv(enumerate("abd"))
    with pytest.raises(PlanError, match=r"column 'image' of row 3 was 'c' and is now 'd'"):
        make_plan(dataset)
    write_csv(enumerate("ab"))
    with pytest.raises(PlanError, match=r"the dataset had 3 rows and now has 2\."):
        make_plan(dataset)
    write_csv([])
    with pytest.raises(PlanError, match=r"the dataset had 3 rows and now has 0\."):
        make_plan(dataset)


def test_planning_again_refuses_other_columns_and_says_which(tmp_path: Path, make_plan: MakePlan) -> None:
    def write(**columns: object) -> Path:
        values = {"url": ["a", "b", "a"], "price": [1.5, float("nan"), None], "tags": [["x"], None, []], **columns}
        pa.parquet.write_table(pa.table(values), tmp_path / "d.parquet")
        return tmp_path / "d.parquet"

    _, plan = make_plan(write(), batch_size=2)
    assert make_plan(write(), batch_size=2)[1] == plan
    with pytest.raises(PlanError, match=r"column 'tags' of row 3 was \[\] and is now \['y'\]"):
        make_plan(write(tags=[["x"], None, ["y"]]), batch_size=2)
    with pytest.raises(PlanError, match=r"columns were url, price, tags and are now url, price, tags, shop"):
        make_plan(write(shop=["s"] * 3), batch_size=2)


def test_an_absent_or_damaged_plan_says_what_to_do(write_csv: WriteCsv, make_plan: MakePlan) -> None:
    run, _ = make_plan(write_csv(enumerate("abc")))
    run.plan.write_bytes(run.plan.read_bytes()[:-20])
    with pytest.raises(PlanError, match="damaged"):
        Plan.load(run)
    run.plan.delete()
    with pytest.raises(MissingPlanError, match="clear the plan task"):
        Plan.load(run)


def test_rows_that_are_out_of_reach_are_tried_again_and_damaged_ones_are_not(
    write_csv: WriteCsv, make_plan: MakePlan
) -> None:
    run, plan = make_plan(write_csv(enumerate("abc")))
    content = run.plan_batch(0).read_bytes()
    run.plan_batch(0).delete()
    with pytest.raises(MissingPlanError, match="parquet cannot be read now") as missing:
        planned_rows(run, plan.batches[0])
    run.plan_batch(0).write_bytes(content[:-20])
    with pytest.raises(PlanError, match="json and clear the plan task") as damaged:
        planned_rows(run, plan.batches[0])
    assert (missing.value.retryable, damaged.value.retryable) == (True, False)


def test_carried_columns_keep_types_and_order(tmp_path: Path, make_plan: MakePlan) -> None:
    table = pa.table({"n": pa.array([3, None, 1], pa.int32()), "url": ["a", "b", "a"], "tags": [["x"], None, []]})
    pa.parquet.write_table(table, tmp_path / "d.parquet")
    run, plan = make_plan(tmp_path / "d.parquet", batch_size=2)
    parts = [planned_rows(run, batch) for batch in plan.batches]
    assert pa.concat_tables(parts).select(table.column_names) == table
    assert pa.concat_tables(parts)["ocr_read_row"].to_pylist() == [0, 1, 0]


@pytest.mark.slow
@given(
    st.lists(st.lists(st.sampled_from([0, 1, 9, 2**58 - 1, 2**58, 2**62, 2**64 - 1]), max_size=20), max_size=4),
    st.booleans(),
)
def test_first_rows_agree_with_a_plain_search(parts: list[list[int]], collide: bool) -> None:
    with tempfile.TemporaryDirectory() as scratch, LinkDigests(Path(scratch)) as digests:
        for part in parts:
            # The first digest may be the same for every link: the second then tells them apart.
            first = np.array([0 if collide else value for value in part], dtype=np.uint64)
            digests.add(first, np.array(part, dtype=np.uint64))
        values = [value for part in parts for value in part]
        assert digests.first_rows().tolist() == [values.index(value) for value in values]
