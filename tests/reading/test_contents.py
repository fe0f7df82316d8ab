"""Images with the same bytes, which are read once, unless a picture is wanted that nobody made."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from ocr_pipeline.reading.contents import ContentReader
from ocr_pipeline.reading.previews import PreviewWriter
from ocr_pipeline.records import FetchedImage, ImageRef, Page, PageText, ResultRow, TextLine, read_row
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.catalog import known_contents
from tests.conftest import DrawImage, MakePlan, WriteCsv

CORNERS = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def test_all_may_wait_for_one_that_made_no_picture(
    draw_image: DrawImage, write_csv: WriteCsv, make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocr_pipeline.reading.choosing.SAMPLE_ROWS", 3)
    run, plan = make_plan(write_csv(enumerate(draw_image(20 + row) for row in range(4))), previews="sample")
    fetched = FetchedImage(ImageRef(3, ""), b"", f"{1:064x}", None, 1, 0.0)
    images = [replace(fetched, ref=ImageRef(row, "")) for row in (3, 0, 1, 2)]
    read: list[int] = []

    async def read_all() -> list[list[ResultRow]]:
        contents = ContentReader(read_image, known, store, previews)
        return await asyncio.gather(*map(contents.read, images))

    async def read_image(image: FetchedImage) -> list[ResultRow]:
        read.append(image.ref.row)
        await asyncio.sleep(0.01)
        text = PageText((TextLine("word", 0.99, CORNERS),))
        row = read_row(image, Page(0, np.zeros((2, 2, 3), np.uint8)), text, 0.0, "test")
        if image.ref.row < 3:
            previews.add(row, b"picture")
        return [row]

    with (
        BatchStore(run, plan.batches[0], plan.digests[0]) as store,
        PreviewWriter(run, plan.settings, 1.0) as previews,
        known_contents(run) as known,
    ):
        rows = asyncio.run(read_all())
    assert [(row.row, row.text) for (row,) in rows] == [(image.ref.row, "word") for image in images]
    assert read == [3, 0], "once more for a picture, which the others have from there"
    assert all(run.preview(row, 0).read_bytes() == b"picture" for row in range(3))
