"""Pictures of pages: which are kept, and that they never harm a batch."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocr_pipeline.errors import Status, StorageError
from ocr_pipeline.images.preview import PREVIEW_SIDE, encode_preview
from ocr_pipeline.reading.batch import Batch
from ocr_pipeline.reading.choosing import SAMPLE_ROWS, wants_preview
from ocr_pipeline.reading.previews import PreviewWriter
from ocr_pipeline.reading.reader import ReaderProcess
from ocr_pipeline.records import FetchedImage, ImageRef, Page, PageText, ResultRow, TextLine, read_row
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.run.plan import batch_images
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import Previews, PreviewSettings, ReadSettings
from ocr_pipeline.storage.disk import LocalFolder
from tests.conftest import DrawImage, MakePlan, ThreadReader, WidthEngine, WriteCsv, local_path, staged_rows

CORNERS = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


class PicturingReader(ThreadReader):
    """Gives each page that wants one the same picture."""

    def __init__(self, engine: WidthEngine, settings: ReadSettings, previews: PreviewWriter) -> None:
        super().__init__(engine, settings)
        self._previews = previews

    async def read(self, image: FetchedImage) -> list[ResultRow]:
        rows = await super().read(image)
        for row in rows:
            if wants_preview(self._previews.previews, row):
                self._previews.add(row, b"picture")
        return rows


reading = partial(ReaderProcess, engine="tests.conftest:WidthEngine")


def row(number: int, page: int = 0, confidence: float = 0.99) -> ResultRow:
    image = FetchedImage(ImageRef(number, ""), b"", f"{number:064x}", None, 1, 0.0)
    text = PageText((TextLine("word", confidence, CORNERS),))
    return read_row(image, Page(page, np.zeros((2, 2, 3), np.uint8)), text, 0.0, "test")


@pytest.mark.parametrize(
    ("read", "kept"),
    [
        (row(0), {"sample", "all"}),
        (row(SAMPLE_ROWS), {"all"}),
        (row(0, page=10), {"all"}),
        (row(SAMPLE_ROWS, confidence=0.5), {"problems", "sample", "all"}),
        (replace(row(SAMPLE_ROWS), status=Status.NO_TEXT, confidence=None), {"problems", "sample", "all"}),
        (replace(row(SAMPLE_ROWS), warning="fonts_missing"), {"problems", "sample", "all"}),
        (replace(row(SAMPLE_ROWS), status=Status.READ_FAILED), {"problems", "sample", "all"}),
    ],
)
def test_which_pictures_are_kept(read: ResultRow, kept: set[Previews]) -> None:
    choices: tuple[Previews, ...] = ("none", "problems", "sample", "all")
    assert {choice for choice in choices if wants_preview(choice, read)} == kept


@pytest.mark.parametrize(("height", "width"), [(50, 80), (4000, 3000), (1, 9000), (1601, 1)])
def test_a_picture_is_the_page_and_not_too_large(height: int, width: int) -> None:
    page = np.full((height, width, 3), (200, 120, 40), np.uint8)
    picture = cv2.imdecode(np.frombuffer(encode_preview(page), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    scale = min(1, PREVIEW_SIDE / max(height, width))
    assert picture.shape[:2] == (max(1, round(height * scale)), max(1, round(width * scale)))
    assert np.abs(picture.mean(axis=(0, 1)) - (200, 120, 40)).max() < 8


@pytest.mark.parametrize(("previews", "count"), [("all", 2), ("none", 0)])
def test_a_batch_keeps_pictures_of_what_it_reads(
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    allowances: Allowances,
    previews: Previews,
    count: int,
) -> None:
    links = [draw_image(30), draw_image(20), "gone.png"]
    run, plan = make_plan(write_csv(enumerate(links)), previews=previews)
    Batch(plan.batches[0], allowances, reading).run()
    for read in staged_rows(run, plan)[:2]:
        picture = cv2.imread(str(local_path(run.preview(read.row, 0))))
        assert (picture is not None) is (count > 0)
        assert picture is None or picture.shape[1] == read.width
    assert len(list((local_path(run.folder) / "previews").glob("*"))) == count


@pytest.mark.parametrize("first", [0, 2])
def test_images_with_the_same_bytes_have_each_a_picture(
    tmp_path: Path,
    draw_image: DrawImage,
    write_csv: WriteCsv,
    make_plan: MakePlan,
    allowances: Allowances,
    monkeypatch: pytest.MonkeyPatch,
    first: int,
) -> None:
    # Also where the first that was read is beyond the rows that have one.
    monkeypatch.setattr("ocr_pipeline.reading.choosing.SAMPLE_ROWS", 2)
    original = draw_image(20)
    links = [f"copy-{number}.png" for number in range(4)]
    for link in links:
        (tmp_path / link).write_bytes((tmp_path / original).read_bytes())
    run, plan = make_plan(write_csv(enumerate(links)), previews="sample", concurrency=1)
    images = batch_images(run, plan.batches[0], plan)
    order = [*images[first:], *images[:first]]
    monkeypatch.setattr("ocr_pipeline.reading.batch.batch_images", lambda *_: order)
    engine = WidthEngine()
    Batch(plan.batches[0], allowances, partial(PicturingReader, engine)).run()
    assert sorted(path.name for path in (local_path(run.folder) / "previews").iterdir()) == [
        "000000000000-0000.webp", "000000000001-0000.webp",
    ]  # fmt: skip
    assert {path.read_bytes() for path in (local_path(run.folder) / "previews").iterdir()} == {b"picture"}
    assert engine.pages == (1 if first == 0 else 2)


def test_there_is_an_end_to_the_bytes(tmp_path: Path) -> None:
    run = RunFolder(LocalFolder(tmp_path))
    with PreviewWriter(run, PreviewSettings(previews="all", preview_bytes=100), 0.5) as writer:
        for number in range(10):
            writer.add(row(number), bytes(20))
    assert len(list((tmp_path / "previews").iterdir())) == 2


def test_what_cannot_be_written_is_left_out_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "previews").write_text("in the way")
    with PreviewWriter(RunFolder(LocalFolder(tmp_path)), PreviewSettings(), 1) as writer:
        for number in range(10):
            writer.add(row(number), bytes(20))
    assert caplog.text.count("pictures of pages are missing") == 1


def test_a_batch_that_fails_waits_for_no_picture(tmp_path: Path) -> None:
    writer = PreviewWriter(RunFolder(LocalFolder(tmp_path)), PreviewSettings(), 1)
    with suppress(StorageError), writer:
        for number in range(100):
            writer.add(row(number), bytes(20))
        raise StorageError("over")
    assert len(list((tmp_path / "previews").iterdir())) < 100
