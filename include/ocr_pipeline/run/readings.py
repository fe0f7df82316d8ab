"""What has been read of a batch's images, by dataset row: on the local disk, so that memory does not grow with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ocr_pipeline.errors import ErrorCategory, Status
from ocr_pipeline.records import ResultRow
from ocr_pipeline.run.rows import decode_rows, encode_rows
from ocr_pipeline.storage.folders import naming, scratch_file


class Place(NamedTuple):
    """Where the lines of an image are: offset and size in bytes."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of an image without looking at its rows.

    ``read`` counts the pages that were read, ``failed`` says whether one was not, ``final`` whether trying again cannot
    help, ``warned`` whether something may be wrong with a page, and ``known`` whether an earlier run has read it.
    """

    place: Place
    read: int
    failed: bool
    final: bool
    warned: bool
    known: bool


class Readings:
    """Rows of images, in a file without a name, so that nothing is left of it when the process is killed.

    Rows are added by one thread; any thread may look at them.
    """

    def __init__(self) -> None:
        self._file = scratch_file()
        self._end = 0
        self._images: dict[int, Reading] = {}

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def __contains__(self, image: int) -> bool:
        return image in self._images

    def __getitem__(self, image: int) -> Reading:
        return self._images[image]

    def __iter__(self) -> Iterator[int]:
        return iter(self._images)

    def add(self, pages: list[ResultRow]) -> Place:
        """Keep the rows of an image, in place of those it had, unless that would lose pages that have been read.

        :return: where these are, in either case.
        :raises StorageError: when the local disk is full.
        """
        lines = encode_rows(pages)
        with naming("write what was read on the local disk"):
            written = os.pwrite(self._file.fileno(), lines, self._end)
            while written < len(lines):
                written += os.pwrite(self._file.fileno(), lines[written:], self._end + written)
        place = Place(self._end, len(lines))
        self._end += len(lines)
        read = sum(not page.status.failed for page in pages)
        newer = Reading(
            place,
            read,
            failed=read < len(pages),
            final=all(map(_is_final, pages)),
            warned=any(page.warning for page in pages),
            known=pages[0].status is Status.KNOWN,
        )
        before = self._images.get(pages[0].row)
        if before is None or not before.read or read > before.read or not newer.failed:
            self._images[pages[0].row] = newer
        return place

    def lines(self, place: Place) -> bytes:
        """The lines there."""
        return os.pread(self._file.fileno(), place.size, place.offset)

    def rows(self, place: Place) -> list[ResultRow]:
        """The rows there, pages in order."""
        return decode_rows(self.lines(place))


def _is_final(row: ResultRow) -> bool:
    return row.error is None or not ErrorCategory(row.error).retryable
