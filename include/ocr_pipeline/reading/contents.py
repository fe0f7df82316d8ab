"""Images whose bytes are the same are read once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ocr_pipeline.reading.previews import PreviewWriter
from ocr_pipeline.records import FetchedImage, ResultRow, known_content_row
from ocr_pipeline.run.batch_store import BatchStore
from ocr_pipeline.run.catalog import KnownContents
from ocr_pipeline.run.readings import Place

ReadImage = Callable[[FetchedImage], Awaitable[list[ResultRow]]]
"""Reads the pages of an image; gives the rows of them."""


class ContentReader:
    """Reads each content once, and not at all where an earlier run has; what was read goes into the batch's store.

    :param read: reads an image whose bytes are new.
    :param known: the contents that earlier runs have read.
    :param previews: where the pictures of the pages that are read go.
    """

    def __init__(self, read: ReadImage, known: KnownContents, store: BatchStore, previews: PreviewWriter) -> None:
        self._read = read
        self._known = known
        self._store = store
        self._previews = previews
        self._begun: dict[bytes, asyncio.Future[Place]] = {}  # by the digest of the bytes
        self._read_at: dict[bytes, Place] = {}

    async def read(self, image: FetchedImage) -> list[ResultRow]:
        """Have ``image`` read and its rows stored; gives them, one a page."""
        if image.sha256 in self._known:
            rows = [known_content_row(image)]
            self._store.add(rows)
            return rows
        content = bytes.fromhex(image.sha256)
        while True:
            if place := self._read_at.get(content):
                before = self._store.rows(place)
                rows = _rows_for(before, image)
                if self._previews.repeat(before, rows):
                    self._store.add(rows)
                    return rows
                # Nobody wanted a picture of what this row is to have one of: it is read once more for it.
            if content not in self._begun:
                break
            # Shielded, as whoever else waits for it must not be cancelled with this task.
            await asyncio.shield(self._begun[content])
        self._begun[content] = asyncio.get_running_loop().create_future()
        rows = await self._read(image)
        self._read_at[content] = place = self._store.add(rows)
        self._begun.pop(content).set_result(place)
        return rows


def _rows_for(rows: list[ResultRow], image: FetchedImage) -> list[ResultRow]:
    """``rows``, read from the same bytes as ``image`` has, as its own: what it cost to fetch differs."""
    return [
        replace(
            row,
            row=image.ref.row,
            http_status=image.http_status,
            attempts=image.attempts,
            fetch_seconds=image.seconds,
            read_seconds=0.0,
        )
        for row in rows
    ]
