"""Folders of files that appear whole or not at all: what they are, wherever they lie."""

from __future__ import annotations

import errno
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from ocr_pipeline.errors import StorageError, StorageRefusedError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FileVersion:
    """What tells a file from what was there before: its size in bytes, and a mark that every writing changes."""

    size: int
    mark: str


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
    def version(self) -> FileVersion:
        """What it is now.

        :raises FileNotFoundError: when it is not there.
        :raises StorageError: when that cannot be found out.
        """

    @abstractmethod
    def read_part(self, start: int, end: int, version: FileVersion) -> bytes:
        """Its bytes from ``start`` to ``end``, fewer where it ends before.

        :raises StorageError: when it cannot be read, or is another than ``version``.
        """

    @abstractmethod
    def write_bytes(self, content: bytes) -> None:
        """Replace it by ``content``, whole or not at all.

        :raises StorageError: when it cannot be written.
        """

    @abstractmethod
    def create_bytes(self, content: bytes) -> bool:
        """Write ``content``, whole, if the file is not there yet; says whether it was written.

        Of several that do so at the same time, one does it.

        :raises StorageError: when it cannot be written, or the file system cannot do this.
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
        """What :func:`~ocr_pipeline.storage.opening.open_folder` opens it by: a path, or a URI without credentials."""

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
    def versions(self) -> dict[str, FileVersion]:
        """The files that are directly in it, by name, each as it is now; none when it is not there.

        :raises StorageError: when that cannot be found out.
        """

    @abstractmethod
    def folders(self) -> list[str]:
        """The names of the folders that are directly in it, sorted; none when it is not there.

        :raises StorageError: when that cannot be found out.
        """

    @abstractmethod
    def clear(self) -> None:
        """Remove every file in it, and it.

        :raises StorageError: when something is left.
        """

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
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


_FOR_A_PERSON = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EXDEV}
    | {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
)
"""Errors of a file system that stay until a person changes rights, names or what is mounted."""


@contextmanager
def naming(what: str, passing: type[OSError] | tuple[()] = ()) -> Iterator[None]:
    """Say what could not be done when the file system refuses.

    :param passing: errors to be raised as they are.
    :raises StorageRefusedError: when it will refuse until a person changes something.
    :raises StorageError: instead of any other OSError.
    """
    try:
        yield
    except passing:
        raise
    except OSError as error:
        why = f"cannot {what}: {error.strerror or error}"
        if error.errno in _FOR_A_PERSON:
            raise StorageRefusedError(f"{why}; correct the place or the rights to it, then retry") from error
        raise StorageError(f"{why}; free or fix it, then retry") from error


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """A folder on the local disk for the time of a ``with`` block.

    :param purpose: what its name begins with.
    :raises StorageError: when it cannot be made.
    """
    with naming("make a folder on the local disk (TMPDIR)"):
        folder = Path(tempfile.mkdtemp(prefix=f"ocr-{purpose}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch_file() -> IO[bytes]:
    """A file without a name on the local disk, so that nothing is left of it when the process is killed.

    :raises StorageError: when it cannot be made.
    """
    with naming("make a file on the local disk (TMPDIR)"):
        return tempfile.TemporaryFile()
