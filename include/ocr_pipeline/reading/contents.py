"""Images whose bytes are the same are read once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ocr_pipeline.records import FetchedImage, ResultRow, known_content_row
from ocr_pipeline.run.catalog import KnownContents

ReadImage = Callable[[FetchedImage], Awaitable[list[ResultRow]]]
"""Reads the pages of an image; gives the rows of them."""


class ContentReader:
    """Reads each content once, and not at all where an earlier run has.

    :param read: reads an image whose bytes are new.
    :param known: the contents that earlier runs have read.
    """

    def __init__(self, read: ReadImage, known: KnownContents) -> None:
        self._read = read
        self._known = known
        self._begun: dict[str, asyncio.Future[list[ResultRow]]] = {}  # by the digest of the bytes

    async def rows(self, image: FetchedImage) -> list[ResultRow]:
        """The rows of ``image``, one a page."""
        if image.sha256 in self._known:
            return [known_content_row(image)]
        if same := self._begun.get(image.sha256):
            # Shielded, as whoever else waits for it must not be cancelled with this task.
            return _rows_for(await asyncio.shield(same), image)
        begun = self._begun[image.sha256] = asyncio.ensure_future(self._read(image))
        return await begun


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
