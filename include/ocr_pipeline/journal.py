"""Which images were being read when a process died: how an image that crashes the reader is found.

A crash or a hang inside a native library ends the whole process, and nothing of that attempt can say which
image it was. So the reader notes every image before it starts on it and after it is done. The next attempt
reads the images that were under way then (the suspects) one at a time, and the image that was read alone when
an attempt died (the culprit) is not read again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ocr_pipeline.folders import LocalFile, StoredFile

_START, _ALONE, _END, _CULPRIT = "+", "!", "-", "x"


@dataclass(frozen=True, slots=True)
class DeathNote:
    """What an attempt that died left behind, as dataset rows: suspects, and images known to have been fatal."""

    suspects: frozenset[int] = frozenset()
    culprits: frozenset[int] = frozenset()

    def forgiven(self) -> DeathNote:
        """The same with every culprit a suspect, to be read alone once more."""
        return DeathNote(self.suspects | self.culprits)


class Journal:
    """The notes of one attempt, in a file that every attempt of the batch goes on with.

    Each note is one small write. It need not reach the disk: it is the process that may die, and what it has
    written outlives it. Use it as a context manager; leaving it says that the process did not die.

    :param forgive: give images that were fatal before one more chance.
    """

    def __init__(self, file: StoredFile, *, forgive: bool = False) -> None:
        assert isinstance(file, LocalFile)
        self._location = file
        self.before = _read(file).forgiven() if forgive else _read(file)

    def __enter__(self) -> Self:
        self._file = self._location.open_log()
        for row in self.before.culprits:
            self._note(_CULPRIT, row)
        # Still suspects, should this attempt die before it gets to them.
        for row in self.before.suspects:
            self._note(_START, row)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.blame(())
        os.close(self._file)

    @contextmanager
    def reading(self, row: int, *, alone: bool = False) -> Iterator[None]:
        """Note that the image of ``row`` is read within the block; ``alone``: and no other meanwhile."""
        self._note(_ALONE if alone else _START, row)
        try:
            yield
        finally:
            self._note(_END, row)

    def blame(self, rows: Iterable[int]) -> None:
        """Note that these images, and no others, are why this process is about to end."""
        os.ftruncate(self._file, 0)
        for row in {*self.before.culprits, *rows}:
            self._note(_CULPRIT, row)

    def _note(self, kind: str, row: int) -> None:
        os.write(self._file, f"{kind}{row}\n".encode())


def _read(file: LocalFile) -> DeathNote:
    under_way: dict[int, str] = {}
    culprits: set[int] = set()
    try:
        lines = file.read_bytes().decode("ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return DeathNote()
    for line in lines:
        kind, number = line[:1], line[1:]
        if not number.isdigit():
            continue
        if kind == _CULPRIT:
            culprits.add(int(number))
        elif kind == _END:
            under_way.pop(int(number), None)
        elif kind in (_START, _ALONE):
            under_way[int(number)] = kind
    alone = {row for row, kind in under_way.items() if kind == _ALONE}
    # Suspects noted anew at the start of an attempt that then died over one read alone are not at fault.
    return DeathNote(frozenset(under_way.keys() - alone - culprits), frozenset(culprits | alone))
