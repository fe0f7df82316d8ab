"""Folders of files that appear whole or not at all: what they are anywhere, and on a disk."""

from __future__ import annotations

import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from errno import ENOENT
from pathlib import Path
from typing import TypeVar

from ocr_pipeline.errors import StorageError

_TEMPORARY = ".tmp-"

Item = TypeVar("Item")
Result = TypeVar("Result")


class StoredFile(ABC):
    """A file of a :class:`Folder`, there or not. As a string it is its full path or URI, for messages."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of its name."""

    @abstractmethod
    def read_bytes(self) -> bytes:
        """Its content.

        :raises FileNotFoundError: when it is not there.
        :raises StorageError: when it cannot be read.
        """

    @abstractmethod
    def write_bytes(self, content: bytes) -> None:
        """Replace it by ``content``, whole or not at all.

        :raises StorageError: when it cannot be written.
        """

    @abstractmethod
    def exists(self) -> bool:
        """Whether it is there.

        :raises StorageError: when that cannot be found out.
        """

    @abstractmethod
    def delete(self) -> None:
        """Remove it; nothing happens when it is not there.

        :raises StorageError: when it cannot be removed.
        """

    @abstractmethod
    def reading(self) -> AbstractContextManager[Path]:
        """Give its content as a file on a local disk, for the time of a ``with`` block.

        :raises FileNotFoundError: when it is not there.
        :raises StorageError: when it cannot be read.
        """

    @abstractmethod
    def writing(self) -> AbstractContextManager[Path]:
        """Give a path on a local disk to write to; on leaving the ``with`` block, what is there becomes the file.

        If the block raises, nothing changes. For content too large for memory.

        :raises StorageError: when it cannot be written.
        """

    def sweep(self) -> None:  # noqa: B027 (where files are written whole, nothing is ever left)
        """Remove what killed processes left behind of their writing to it; a write under way fails.

        :raises StorageError: when something is left.
        """


class Folder(ABC):
    """A folder of files. Names are relative to it, their parts separated by ``/``. Thread-safe."""

    @property
    @abstractmethod
    def uri(self) -> str:
        """What :func:`ocr_pipeline.storage.open_folder` opens it by: an absolute path, or a URI without credentials."""

    @property
    @abstractmethod
    def parallel(self) -> int:
        """How many of its files are worth reading or writing at the same time."""

    @abstractmethod
    def create(self) -> None:
        """Make it, if it is not there. Files can only be written into a folder that is.

        :raises StorageError: when it cannot be made.
        """

    @abstractmethod
    def file(self, name: str) -> StoredFile:
        """The file ``name``, which need not be there."""

    @abstractmethod
    def folder(self, name: str) -> Folder:
        """The folder ``name`` in this one; it comes and goes with its files and needs no making."""

    @abstractmethod
    def files(self) -> list[StoredFile]:
        """The files that are directly in it, sorted by name; none when it is not there.

        :raises StorageError: when that cannot be found out.
        """

    @abstractmethod
    def clear(self) -> None:
        """Remove every file in it, and it.

        :raises StorageError: when something is left.
        """

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """``function`` of every item, in order; up to :attr:`parallel` calls run at the same time, in threads.

        So many calls run ahead of the result that is taken, and so many items are held. An error comes in
        its turn; nothing new is begun after it.
        """
        if self.parallel == 1:
            yield from map(function, items)
            return
        pool = ThreadPoolExecutor(self.parallel, thread_name_prefix="storage")
        under_way: deque[Future[Result]] = deque()
        try:
            for item in items:
                under_way.append(pool.submit(function, item))
                if len(under_way) == self.parallel:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class LocalFile(StoredFile):
    """A file on a disk. ``root`` is the folder that must be there for it to be written."""

    path: Path
    root: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The last part of its name."""
        return self.path.name

    def read_bytes(self) -> bytes:
        """Its content."""
        with naming(f"read {self}", passing=FileNotFoundError):
            return self.path.read_bytes()

    def write_bytes(self, content: bytes) -> None:
        """Replace it by ``content``."""
        with self.writing() as path:
            path.write_bytes(content)

    def exists(self) -> bool:
        """Whether it is there."""
        with naming(f"look for {self}"):
            return self.path.exists()

    def delete(self) -> None:
        """Remove it."""
        with naming(f"remove {self}"):
            self.path.unlink(missing_ok=True)

    @contextmanager
    def reading(self) -> Iterator[Path]:
        """Give its own path."""
        with naming(f"read {self}", passing=FileNotFoundError):
            self.path.stat()
        yield self.path

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """Give a path beside its own, renamed to it in the end.

        The content is on the disk before the name is, so a crash leaves either the old file or the new one.
        """
        temporary = self.path.with_name(f"{self._temporary}{secrets.token_hex(4)}")
        with naming(f"write {self}"):
            try:
                self._make_parent()
                yield temporary
                with open(temporary, "rb+") as file:
                    os.fsync(file.fileno())
                os.replace(temporary, self.path)
                _sync_folder(self.path.parent)
            finally:
                with suppress(OSError):
                    temporary.unlink()

    def sweep(self) -> None:
        """Remove the leftovers of writes that never finished."""
        with naming(f"remove what is left of {self}"), suppress(FileNotFoundError):
            for entry in list(os.scandir(self.path.parent)):
                if entry.name.startswith(self._temporary):
                    Path(entry).unlink(missing_ok=True)

    def open_log(self) -> int:
        """Open it, which is there, for notes to be appended to it as they come; returns the descriptor.

        :raises StorageError: when it cannot be written.
        """
        with naming(f"write {self}"):
            return os.open(self.path, os.O_WRONLY | os.O_APPEND)

    @property
    def _temporary(self) -> str:
        """How the names of files begin that are to become this one."""
        return f"{_TEMPORARY}{self.name}-"

    def _make_parent(self) -> None:
        """Make the folder it lies in, but not the root: one that is gone was perhaps unmounted.

        :raises OSError: when that fails.
        """
        if not self.root.is_dir():
            raise FileNotFoundError(ENOENT, f"folder {self.root} is gone")
        self.path.parent.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True, slots=True)
class LocalFolder(Folder):
    """A folder on a disk; ``root`` is the one that :meth:`create` makes, itself or the one it lies in."""

    path: Path
    root: Path | None = None

    @property
    def uri(self) -> str:
        """Its path."""
        return str(self.path)

    @property
    def parallel(self) -> int:
        """A disk has no latency worth hiding."""
        return 1

    def create(self) -> None:
        """Make it and the folders above it."""
        with naming(f"make folder {self.path}"):
            self.path.mkdir(parents=True, exist_ok=True)

    def file(self, name: str) -> LocalFile:
        """The file ``name``."""
        return LocalFile(self.path / name, self.root or self.path)

    def folder(self, name: str) -> LocalFolder:
        """The folder ``name`` in this one."""
        return LocalFolder(self.path / name, self.root or self.path)

    def files(self) -> list[StoredFile]:
        """The files in it; leftovers of writes that never finished are none."""
        with naming(f"list {self.path}"):
            try:
                names = sorted(entry.name for entry in os.scandir(self.path) if entry.is_file())
            except (FileNotFoundError, NotADirectoryError):
                return []
            return [self.file(name) for name in names if not name.startswith(_TEMPORARY)]

    def clear(self) -> None:
        """Remove it with everything in it."""
        with naming(f"remove {self.path}"), suppress(FileNotFoundError):
            shutil.rmtree(self.path)


@contextmanager
def naming(what: str, passing: type[OSError] | tuple[()] = ()) -> Iterator[None]:
    """Say what could not be done when the file system refuses.

    :param passing: errors to be raised as they are.
    :raises StorageError: instead of any other OSError.
    """
    try:
        yield
    except passing:
        raise
    except OSError as error:
        raise StorageError(f"cannot {what}: {error.strerror or error}; free or fix it, then retry") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
