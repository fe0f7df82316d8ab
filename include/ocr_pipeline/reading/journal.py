"""Which images were being read when a process died: how an image that crashes the reader is found.

A crash or a hang inside a native library ends the whole process, and nothing of that attempt can say which
image it was. So the reader notes every image before it starts on it and after it is done. The next attempt
reads the images that were under way then (the suspects) one at a time, and the image that was read alone when
an attempt died (the culprit) is not read again.

On a disk, each note is a small write. In an object store, where every note would cost a request, the images that
are to be read next are noted ahead, some at a time, in one object: the lease.
"""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Self

from ocr_pipeline.errors import StorageError
from ocr_pipeline.storage.disk import LocalFile
from ocr_pipeline.storage.folders import StoredFile, naming

_START, _ALONE, _END, _CULPRIT = "+", "!", "-", "x"

LEASE = 32
"""How many of the images that are read next a store's journal notes ahead; half of them call for a new lease."""


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

    Use it as a context manager; leaving it says that the process did not die. Thread-safe.

    :param forgive: give images that were fatal before one more chance.
    :raises StorageError: when the notes of earlier attempts cannot be read.
    """

    def __init__(self, file: StoredFile, *, forgive: bool = False) -> None:
        self.before = _read(file).forgiven() if forgive else _read(file)
        self._notes = _Log(file, self.before) if isinstance(file, LocalFile) else _Lease(file, self.before)

    def __enter__(self) -> Self:
        self._notes.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._notes.close(frozenset())

    def expect(self, rows: Iterable[int]) -> None:
        """Say which images will be read next, as far as is known, the first ones first; never waits."""
        self._notes.expect(rows)

    @contextmanager
    def reading(self, row: int, *, alone: bool = False) -> Iterator[None]:
        """Note that the image of ``row`` is read within the block; ``alone``: and no other meanwhile.

        :raises StorageError: when that cannot be noted.
        """
        self._notes.begin(row, alone)
        try:
            yield
        finally:
            self._notes.end(row, alone)

    def blame(self, rows: Iterable[int]) -> None:
        """Note that these images, and no others, are why this process is about to end. Nothing can be noted after.

        :raises StorageError: when that cannot be noted.
        """
        self._notes.close(frozenset(rows))


class _Notes(ABC):
    """Where notes go, and how."""

    def __init__(self, file: StoredFile, before: DeathNote) -> None:
        self._file = file
        self._before = before

    @abstractmethod
    def open(self) -> None:
        """Begin with the notes of before: suspects stay so, should this attempt die before it gets to them."""

    @abstractmethod
    def expect(self, rows: Iterable[int]) -> None:
        """See :meth:`Journal.expect`."""

    @abstractmethod
    def begin(self, row: int, alone: bool) -> None:
        """Return when it is noted that ``row`` is being read."""

    @abstractmethod
    def end(self, row: int, alone: bool) -> None:
        """Note that ``row`` is no longer being read; when it was read alone, return when that is noted."""

    def close(self, blamed: frozenset[int]) -> None:
        """Leave only those notes: culprits, of before and ``blamed``."""
        culprits = self._before.culprits | blamed
        if culprits:
            self._file.write_bytes(_lines(_CULPRIT, culprits))
        else:
            self._file.delete()


def _lines(kind: str, rows: Iterable[int]) -> bytes:
    return "".join(f"{kind}{row}\n" for row in sorted(rows)).encode()


class _Log(_Notes):
    """Notes appended to a file on a disk.

    They need not reach the disk: it is the process that may die, and what it has written outlives it.
    """

    _file: LocalFile

    def open(self) -> None:
        # Put in place whole, as a death in between must not cost what earlier attempts found out.
        self._file.write_bytes(_lines(_CULPRIT, self._before.culprits) + _lines(_START, self._before.suspects))
        self._descriptor = self._file.open_log()

    def expect(self, rows: Iterable[int]) -> None:
        pass

    def begin(self, row: int, alone: bool) -> None:
        self._note(_ALONE if alone else _START, row)

    def end(self, row: int, alone: bool) -> None:
        self._note(_END, row)

    def _note(self, kind: str, row: int) -> None:
        note = _lines(kind, [row])
        with naming(f"write {self._file}"):
            written = os.write(self._descriptor, note)
        if written < len(note):
            raise StorageError(f"cannot write {self._file}: the disk is full; free or fix it, then retry")

    def close(self, blamed: frozenset[int]) -> None:
        os.close(self._descriptor)
        super().close(blamed)


class _Lease(_Notes):
    """Notes in one object, put anew by a thread whenever they no longer hold what is read next.

    A row is in the object before it is read. Those who read wait for that only when they are faster than the
    images come, or when they read alone.
    """

    def __init__(self, file: StoredFile, before: DeathNote) -> None:
        super().__init__(file, before)
        self._changed = threading.Condition()
        self._suspects = set(before.suspects)
        self._reading: set[int] = set()
        self._alone: set[int] = set()
        self._expected: list[int] = []
        self._leased: frozenset[int] = frozenset()
        self._wanted = self._written = 0  # versions of the object
        self._error: Exception | None = None
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="journal", daemon=True)

    def open(self) -> None:
        self._writer.start()
        if self._suspects:
            with self._changed:
                self._renew_and_wait()

    def expect(self, rows: Iterable[int]) -> None:
        with self._changed:
            self._expected = list(islice((row for row in rows if row not in self._reading), LEASE))
            if not self._leased.issuperset(self._expected[: LEASE // 2]):
                self._renew()

    def begin(self, row: int, alone: bool) -> None:
        with self._changed:
            (self._alone if alone else self._reading).add(row)
            if alone or row not in self._leased:
                self._renew_and_wait()

    def end(self, row: int, alone: bool) -> None:
        with self._changed:
            for rows in (self._alone, self._reading, self._suspects):
                rows.discard(row)
            if alone:
                self._renew_and_wait()

    def close(self, blamed: frozenset[int]) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._writer.join()
        super().close(blamed)

    def _renew(self) -> None:
        self._wanted += 1
        self._changed.notify_all()

    def _renew_and_wait(self) -> None:
        self._renew()
        version = self._wanted
        self._changed.wait_for(lambda: self._written >= version or self._error or self._closed)
        if self._error:
            raise self._error

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._written < self._wanted or self._closed)
                if self._closed:
                    return
                version = self._wanted
                rows = frozenset(self._reading | self._suspects).union(self._expected) - self._alone
                content = _lines(_CULPRIT, self._before.culprits) + _lines(_START, rows) + _lines(_ALONE, self._alone)
            try:
                self._file.write_bytes(content)
            except Exception as error:  # whatever it is: those who wait must learn of it
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return
            with self._changed:
                self._leased, self._written = rows, version
                self._changed.notify_all()


def _read(file: StoredFile) -> DeathNote:
    under_way: dict[int, str] = {}
    culprits: set[int] = set()
    try:
        # What follows the last line end is a note that was cut short, perhaps within its number.
        lines = file.read_bytes().decode("ascii", errors="replace").split("\n")[:-1]
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
