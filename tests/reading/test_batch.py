"""One batch with real files and a stand-in for the engine, which is not the point here."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import obstore
import pytest
from PIL import Image

from ocr_pipeline.errors import (
    BatchCancelledError,
    DeadlineError,
    EngineError,
    ErrorCategory,
    OutageError,
    PlanError,
    StalledError,
    StorageError,
    WarningCategory,
)
from ocr_pipeline.merging.merge import merge_run
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.reading.progress import OUTAGE_START
from ocr_pipeline.reading.reader import ReaderProcess
from ocr_pipeline.reading.watchdog import reading_seconds, stall_seconds
from ocr_pipeline.records import BatchRef, FetchedImage, Page, PageText, PageWarning, ResultRow
from ocr_pipeline.run.catalog import Catalog
from ocr_pipeline.settings.deployment import Allowances, Connection
from ocr_pipeline.settings.run import FetchSettings
from ocr_pipeline.storage.buckets import find_store, open_bucket
from tests.conftest import DrawImage, MakePlan, ThreadReader, WidthEngine, WriteCsv, reading_with, staged_rows
from tests.images.samples import encode
from tests.misbehaving_server import MisbehavingServer


def test_images_are_read_and_staged_in_order(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    links = [draw_image(width) for width in (30, 20, 1, 30, 40)]
    run, plan = make_plan(write_csv(enumerate(links)))
    engine = WidthEngine()
    statistics = Batch(plan.batches[0], allowances, reading_with(engine)).run()
    rows = staged_rows(run, plan)
    assert [(row.row, row.status, row.text) for row in rows] == [
        (0, "ok", "width 30"), (1, "ok", "width 20"), (2, "no_text", ""), (4, "ok", "width 40"),
    ]  # fmt: skip
    assert (statistics.images, statistics.models, engine.pages) == (4, ["test/width"], 4)
    assert {row.model for row in rows} == {"test/width"}
    assert all(row.sha256 and row.bytes and row.attempts == 1 for row in rows)


class DoubtfulEngine(WidthEngine):
    """Doubts what it reads on every page that is 30 pixels wide, for two reasons of which one is named twice."""

    def read(self, page: Page) -> PageText:
        """Read a page."""
        categories = (WarningCategory.FONTS_MISSING, WarningCategory.UNKNOWN_SCRIPT, WarningCategory.FONTS_MISSING)
        doubts = tuple(PageWarning(category, f"Look at {category}.") for category in categories)
        return replace(super().read(page), warnings=doubts if page.width == 30 else doubts[:0])


def test_what_may_be_wrong_with_a_page_is_in_its_row_and_counted(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    run, plan = make_plan(write_csv(enumerate([draw_image(30), draw_image(20)])))
    statistics = Batch(plan.batches[0], allowances, reading_with(DoubtfulEngine())).run()
    doubtful, sure = staged_rows(run, plan)
    assert (doubtful.status, doubtful.text) == ("ok", "width 30")
    assert doubtful.warnings == ["fonts_missing", "unknown_script"]
    assert doubtful.warning_detail == "Look at fonts_missing. Look at unknown_script. Look at fonts_missing."
    assert (sure.warnings, sure.warning, sure.warning_detail) == ([], None, None)
    assert statistics.warnings == {"fonts_missing": 1, "unknown_script": 1}
    assert merge_run(run).warnings == statistics.warnings


def test_every_failure_is_a_row(
    tmp_path: Path, draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    (tmp_path / "page.jpg").write_text("<!doctype html><html></html>")
    (tmp_path / "empty.png").touch()
    links = [
        "",
        "gone.png",
        "page.jpg",
        "empty.png",
        "/etc/passwd",
        "ftp://x/y",
        draw_image(13),
        draw_image(14),
        draw_image(15),
        "a\0b",
    ]
    run, plan = make_plan(write_csv([*enumerate(links), (10, draw_image(50))]))
    Batch(plan.batches[0], allowances, reading_with()).run()
    rows = staged_rows(run, plan)
    assert [(row.status.value, row.error) for row in rows] == [
        ("fetch_failed", "missing_link"),
        ("fetch_failed", "not_found"),
        ("decode_failed", "not_an_image"),
        ("decode_failed", "empty_body"),
        ("fetch_failed", "forbidden_path"),
        ("fetch_failed", "invalid_link"),
        ("read_failed", "engine_error"),
        ("read_failed", "engine_error"),
        ("read_failed", "engine_error"),
        ("fetch_failed", "invalid_link"),
        ("ok", None),
    ]
    assert all(row.error_detail for row in rows[:-1])
    assert "unlucky width" in (rows[6].error_detail or "")


def test_images_in_a_bucket_are_read_like_any_other(
    tmp_path: Path,
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    bucket: str,
    s3_connection: Connection,
) -> None:
    both = Allowances.parse([str(tmp_path), f"s3://minio@{bucket}/photos"], lambda _: s3_connection)
    store, _ = find_store(f"s3://{bucket}/photos", both)
    opened = open_bucket(store, retries=0, timeout=10)
    links: list[str] = []
    for width in (30, 20, 30):
        key = f"photos/{len(links)} {width}.png"
        obstore.put(opened, key, (tmp_path / draw_image(width)).read_bytes())
        links.append(f"s3://{bucket}/{key}")
    links += [f"s3://{bucket}/private/a.png", f"s3://{bucket}/photos/none.png", draw_image(40), links[1]]
    run, plan = make_plan(write_csv(enumerate(links)))
    engine = WidthEngine()
    Batch(plan.batches[0], both, reading_with(engine)).run()
    rows = staged_rows(run, plan)
    assert [(row.row, row.error or row.text) for row in rows] == [
        (0, "width 30"), (1, "width 20"), (2, "width 30"), (3, "forbidden_store"), (4, "not_found"), (5, "width 40"),
    ]  # fmt: skip
    assert engine.pages == 3


def test_the_same_bytes_under_several_links_are_read_once(
    tmp_path: Path, draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    image = tmp_path / draw_image(30)
    spoiled = tmp_path / "spoiled-0.png"
    spoiled.write_bytes(image.read_bytes()[:40])
    links = [draw_image(40)]
    for source in (image, spoiled):
        for n in range(1, 6):
            copy = tmp_path / f"{source.stem}-{n}.png"
            copy.write_bytes(source.read_bytes())
            links.append(copy.name)
    run, plan = make_plan(write_csv(enumerate(links)))
    engine = WidthEngine()
    Batch(plan.batches[0], allowances, reading_with(engine)).run()
    rows = staged_rows(run, plan)
    assert engine.pages == 2
    assert [row.row for row in rows] == list(range(11))
    assert [row.text for row in rows] == ["width 40"] + ["width 30"] * 5 + [""] * 5
    assert [row.error for row in rows] == [None] * 6 + ["truncated"] * 5
    assert [row.read_seconds > 0 for row in rows[1:6]].count(True) == 1
    assert len({row.fetch_seconds for row in rows}) > 1


def test_pages_of_a_document_are_rows_of_their_own(
    tmp_path: Path, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    pages = [np.full((8, width, 3), 200, np.uint8) for width in (30, 40, 13, 50)]
    cv2.imwritemulti(str(tmp_path / "scan.tiff"), pages)
    run, plan = make_plan(write_csv([(0, "scan.tiff")]), max_failures=1)
    Batch(plan.batches[0], allowances, reading_with()).run()
    rows = staged_rows(run, plan)
    assert [(row.page, row.status.value) for row in rows] == [(0, "ok"), (1, "ok"), (2, "read_failed"), (3, "ok")]


def test_pages_of_a_pdf_have_the_resolution_of_the_setting(
    tmp_path: Path, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    (tmp_path / "letter.pdf").write_bytes(encode(Image.new("L", (200, 100), 255), "PDF", resolution=100.0))
    dataset = write_csv([(0, "letter.pdf")])
    sizes = []
    for dpi in (None, 72, 300):
        run, plan = make_plan(dataset, run_id=f"dpi-{dpi}", **({"pdf_dpi": dpi} if dpi else {}))
        Batch(plan.batches[0], allowances, reading_with()).run()
        sizes += [(row.width, row.height) for row in staged_rows(run, plan)]
    assert sizes == [(400, 200), (144, 72), (600, 300)]


def test_a_second_attempt_reads_only_what_is_left(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    links = [draw_image(width) for width in range(20, 60)]
    run, plan = make_plan(write_csv(enumerate(links)))

    class StoppingEngine(WidthEngine):
        def read(self, page: Page) -> PageText:
            text = super().read(page)
            time.sleep(0.01)
            if self.pages >= 20:
                first.stop()
            return text

    stopping, rest = StoppingEngine(), WidthEngine()
    first = Batch(plan.batches[0], allowances, reading_with(stopping), checkpoint_seconds=0.05)
    with pytest.raises(BatchCancelledError, match="goes on from here"):
        first.run()
    assert not run.marker(0).exists()
    statistics = Batch(plan.batches[0], allowances, reading_with(rest)).run()
    assert statistics.resumed >= 10
    assert rest.pages == 40 - statistics.resumed
    assert [row.text for row in staged_rows(run, plan)] == [f"width {width}" for width in range(20, 60)]


def test_a_batch_stopped_before_it_runs_ends_at_once(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    _, plan = make_plan(write_csv([(0, draw_image(30))]))
    batch = Batch(plan.batches[0], allowances, reading_with())
    batch.stop()
    with pytest.raises(BatchCancelledError):
        batch.run()


def test_running_a_staged_batch_again_tries_only_the_failures(
    tmp_path: Path, draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    links = [draw_image(30), "late.png"]
    run, plan = make_plan(write_csv(enumerate(links)))
    Batch(plan.batches[0], allowances, reading_with()).run()
    before = staged_rows(run, plan)
    (tmp_path / draw_image(44)).rename(tmp_path / "late.png")
    engine = WidthEngine()
    Batch(plan.batches[0], allowances, reading_with(engine)).run()
    after = staged_rows(run, plan)
    assert engine.pages == 1
    assert after[0] == before[0]
    assert (before[1].error, after[1].text) == ("not_found", "width 44")


def test_a_deadline_ends_the_batch_and_a_retry_goes_on(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    run, plan = make_plan(write_csv(enumerate(draw_image(width) for width in range(20, 60))))

    class SlowEngine(WidthEngine):
        def read(self, page: Page) -> PageText:
            time.sleep(0.05)
            return super().read(page)

    with pytest.raises(DeadlineError, match="a retry goes on from here") as caught:
        Batch(plan.batches[0], allowances, reading_with(SlowEngine()), seconds=0.5).run()
    assert caught.value.retryable
    rest = WidthEngine()
    statistics = Batch(plan.batches[0], allowances, reading_with(rest)).run()
    assert 0 < statistics.resumed == 40 - rest.pages
    assert [row.text for row in staged_rows(run, plan)] == [f"width {width}" for width in range(20, 60)]


def test_a_batch_leaves_its_task_time_to_end() -> None:
    assert reading_seconds(6 * 3600) == 6 * 3600 - 60
    assert 0 < reading_seconds(20) <= 15


def test_what_may_be_mended_is_tried_first(tmp_path: Path, write_csv: WriteCsv, make_plan: MakePlan) -> None:
    with MisbehavingServer() as server:
        links = [server.url("status", code=code, id=n) for n, code in enumerate((404, 503, 404))]
        _, plan = make_plan(write_csv(enumerate(links)), concurrency=1)
        allowed = Allowances.parse([str(tmp_path), server.address])
        Batch(plan.batches[0], allowed, reading_with()).run()
        server.requests.clear()
        Batch(plan.batches[0], allowed, reading_with()).run()
        asked = [next(n for n, link in enumerate(links) if link.endswith(r.target)) for r in server.requests]
    assert asked == [1, 0, 2]


def test_an_outage_fails_the_task_and_keeps_what_was_read(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    dead = [f"http://127.0.0.1:9/{n}.png" for n in range(20)]
    run, plan = make_plan(write_csv(enumerate([draw_image(30), *dead])))
    networks = Allowances((*allowances.folders,), Allowances.parse("127.0.0.1:9").networks)
    with pytest.raises(OutageError, match=r"20 of 21 images failed for transient reasons \(95.2 %\)") as outage:
        Batch(plan.batches[0], networks, reading_with()).run()
    for said in ("max_failures (0.5)", "20 of 20 at 127.0.0.1:9", "connect_failed", "What to do", "clear it"):
        assert said in str(outage.value)
    assert not run.marker(0).exists()
    engine = WidthEngine()
    with pytest.raises(OutageError):
        Batch(plan.batches[0], networks, reading_with(engine)).run()
    assert engine.pages == 0


def test_nothing_getting_through_ends_a_batch_early(
    write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    links = [f"http://127.0.0.1:9/{n}.png" for n in range(OUTAGE_START + 50)]
    _, plan = make_plan(write_csv(enumerate(links)), max_failures=0.99)
    networks = Allowances((*allowances.folders,), Allowances.parse("127.0.0.1:9").networks)
    with pytest.raises(OutageError, match=f"all of the first {OUTAGE_START} images failed"):
        Batch(plan.batches[0], networks, reading_with()).run()
    _, plan = make_plan(write_csv(enumerate(links)), run_id="whatever fails", max_failures=1)
    assert Batch(plan.batches[0], networks, reading_with()).run().failed == len(links)


@pytest.mark.parametrize(("failing", "read"), [(1, 0), (2, 1), (7, 1)])
def test_a_small_batch_that_mostly_fails_is_tried_again_while_somebody_tries(
    tmp_path: Path, write_csv: WriteCsv, make_plan: MakePlan, draw_image: DrawImage, failing: int, read: int
) -> None:
    with MisbehavingServer() as server:
        links = [server.url("status", code=503, id=n) for n in range(failing)] + [draw_image(30)] * read
        run, plan = make_plan(write_csv(enumerate(links)))
        allowed = Allowances.parse([str(tmp_path), server.address])
        with pytest.raises(OutageError, match=f"{failing} of {failing + read} images failed .* HTTP 503") as outage:
            Batch(plan.batches[0], allowed, reading_with()).run()
        assert outage.value.retryable
        assert not run.marker(0).exists()
        last = Batch(plan.batches[0], allowed, reading_with(), last_try=True)
        assert last.run().failed == failing
        assert last.progress.outcome == f"{read} read, {failing} failed"


def test_images_that_were_read_before_hide_no_outage(
    tmp_path: Path, draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan
) -> None:
    allowed = Allowances.parse([str(tmp_path), "127.0.0.1:9"])
    images = [draw_image(width) for width in range(20, 24)]
    read, plan = make_plan(write_csv(enumerate(images)), run_id="before", catalog="c")
    Batch(plan.batches[0], allowed, reading_with()).run()
    merge_run(read, Catalog.of(read, plan.settings, allowed))
    new = [f"http://127.0.0.1:9/{n}" for n in range(3)]
    run, plan = make_plan(write_csv(enumerate(images + new)), catalog="c", known_by="content")
    with pytest.raises(OutageError, match=r"3 of 3 images failed for transient reasons \(100 %\)"):
        Batch(plan.batches[0], allowed, reading_with()).run()
    last = Batch(plan.batches[0], allowed, reading_with(), last_try=True)
    last.run()
    assert last.progress.outcome == "0 read, 3 failed, 4 known"
    assert not merge_run(run).succeeded


def test_hosts_that_were_dead_in_an_earlier_run_are_no_outage(
    tmp_path: Path, draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = Allowances.parse([str(tmp_path), "127.0.0.1:9"])
    links = [*(f"http://127.0.0.1:9/{n}" for n in range(12)), *(draw_image(width) for width in range(20, 33))]
    for day in ("mon", "tue"):
        run, plan = make_plan(write_csv(enumerate(links)), run_id=day, catalog="c")
        Batch(plan.batches[0], allowed, reading_with()).run()
        assert merge_run(run, Catalog.of(run, plan.settings, allowed)).succeeded
        monkeypatch.setattr("ocr_pipeline.reading.progress.OUTAGE_START", 12)
    assert plan.batches[0].images == 12
    new = [f"http://127.0.0.1:9/new-{n}" for n in range(3)]
    _, plan = make_plan(write_csv(enumerate(links + new)), run_id="wed", catalog="c")
    with pytest.raises(OutageError, match="3 of 3 images failed for transient reasons"):
        Batch(plan.batches[0], allowed, reading_with()).run()


def test_the_log_names_what_failed_and_what_may_be_wrong(
    tmp_path: Path,
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    allowances: Allowances,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    links = ["/data/b.jpg?id=1", "/data/c.jpg", "", draw_image(30), draw_image(40)]
    _, plan = make_plan(write_csv(enumerate(links)))
    for _ in range(2):  # what an earlier attempt has finished as well
        caplog.clear()
        Batch(plan.batches[0], allowances, reading_with(DoubtfulEngine())).run()
        lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert [line.partition(": ")[2].partition(":")[0] for line in lines] == [
            "2 forbidden_path, such as row 1, /data/b.jpg",
            "1 missing_link, such as row 3",
            f"1 fonts_missing, such as row 4, {links[3]}",
            f"1 unknown_script, such as row 4, {links[3]}",
        ]
        assert f"What to do: {ErrorCategory.FORBIDDEN_PATH.remedy}" in lines[0]
        assert all("What to do: " in line for line in lines)
    assert "batch 0 (rows 1 to 5): staged, " in caplog.text


def test_failures_below_the_allowed_share_are_staged(
    write_csv: WriteCsv, make_plan: MakePlan, draw_image: DrawImage
) -> None:
    links = [*(draw_image(width) for width in range(20, 45)), *(f"http://127.0.0.1:9/{n}" for n in range(12))]
    run, plan = make_plan(write_csv(enumerate(links)))
    allowed = Allowances.parse(f"{Path(plan.base)},127.0.0.1:9")
    assert Batch(plan.batches[0], allowed, reading_with()).run().failed == 12
    assert len(staged_rows(run, plan)) == 37


def test_a_slow_reader_stalls_the_fetching(tmp_path: Path, write_csv: WriteCsv, make_plan: MakePlan) -> None:
    size, limit, ahead = 100_000, 1_000_000, []

    class SlowReader(ThreadReader):
        done = 0

        def _read(self, image: FetchedImage) -> list[ResultRow]:
            ahead.append(len(server.requests) - SlowReader.done)
            time.sleep(0.02)
            rows = super()._read(image)
            SlowReader.done += 1
            return rows

    with MisbehavingServer() as server:
        sizes = [size] * 40 + [2 * limit]
        links = [server.url("image", bytes=bytes_, id=n) for n, bytes_ in enumerate(sizes)]
        run, plan = make_plan(write_csv(enumerate(links)))
        allowed = Allowances.parse([str(tmp_path), server.address])
        Batch(plan.batches[0], allowed, partial(SlowReader, WidthEngine()), held_bytes=limit).run()
        assert len(server.requests) == len(links)
    assert [row.bytes for row in staged_rows(run, plan)] == sizes
    # Some more than fit, as the first are asked for before it is known how large they are.
    assert limit / size / 2 < max(ahead) <= limit / size + 6


def test_a_fetch_that_never_ends_ends_the_batch(
    tmp_path: Path, draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan
) -> None:
    with MisbehavingServer() as server:
        links = [draw_image(30), server.url("silent")]
        run, plan = make_plan(write_csv(enumerate(links)), read_timeout=50)
        allowed = Allowances.parse([str(tmp_path), server.address])
        with pytest.raises(
            StalledError, match=r"1 images being fetched \(first rows: 2\), none waiting to be read"
        ) as caught:
            Batch(plan.batches[0], allowed, reading_with(), idle_seconds=1.0).run()
    assert caught.value.retryable
    assert not run.marker(0).exists()
    dead = Batch(plan.batches[0], allowed, reading_with(), idle_seconds=1.0).run()
    assert (dead.resumed, dead.errors) == (1, {"connect_failed": 1})


def test_patience_grows_with_the_deadlines() -> None:
    assert stall_seconds(FetchSettings()) >= 3 * FetchSettings().total_timeout
    assert stall_seconds(FetchSettings(host_rate=0.001)) > 2 * 1000


def test_errors_of_the_run_end_it(
    tmp_path: Path, draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    _, plan = make_plan(write_csv([(0, draw_image(30))]))
    broken = partial(ReaderProcess, engine="tests.reading.engines:NoEngine")
    with pytest.raises(EngineError, match="gpu:7"):
        Batch(plan.batches[0], allowances, broken).run()
    with pytest.raises(PlanError, match="clear the plan task"):
        Batch(BatchRef(str(tmp_path / "none"), 0, 0, 1, 1), allowances, reading_with()).run()


def test_a_disk_that_refuses_ends_the_batch(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, allowances: Allowances
) -> None:
    run, plan = make_plan(write_csv(enumerate(draw_image(width) for width in range(20, 40))))
    # A file where the folder of checkpoints should be: nothing can be written there, not even by root.
    run.folder.file("checkpoints").write_bytes(b"in the way")
    with pytest.raises(StorageError, match="Not a directory"):
        Batch(plan.batches[0], allowances, reading_with(), checkpoint_seconds=0.01).run()
    run.folder.file("checkpoints").delete()
    Batch(plan.batches[0], allowances, reading_with()).run()
    assert len(staged_rows(run, plan)) == 20
