"""Reading parts of large files, on a disk or in a bucket, by DuckDB and by Arrow.

What is read of a file in a bucket is kept, in blocks: a page that asks again does not fetch again, and a question that
needs one column of one row group fetches no more than that. The blocks lie on the local disk, in one file without a
name, so that nothing is left when the process ends; their number is limited, and an object that was replaced is
another one.
"""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple, Protocol

import duckdb
import pyarrow as pa
from fsspec import AbstractFileSystem

from ocr_pipeline.storage.disk import LocalFile
from ocr_pipeline.storage.folders import FileVersion, StoredFile, naming

BLOCK_BYTES = 2 << 20
_AHEAD = 4
"""Blocks that are fetched together, the first of which is asked for."""

_REQUESTS = 8
"""Blocks that are fetched at the same time."""

_KEPT_BYTES = 1 << 30

_SCHEME = "ocr"


class ReadableFile(Protocol):
    """A file that is open: it stays as it was, also when another one takes its place."""

    @property
    def name(self) -> str:
        """What a database calls it."""

    @property
    def size(self) -> int:
        """Its size in bytes."""

    def show(self, database: duckdb.DuckDBPyConnection) -> None:
        """Let ``database`` read it by its name."""

    def stream(self) -> IO[bytes]:
        """Its bytes, for Arrow."""

    def native(self) -> pa.NativeFile:
        """Its bytes, for Arrow, which reads a disk by itself."""


@contextmanager
def opened(file: StoredFile) -> Iterator[ReadableFile]:
    """Open ``file`` for the time of a ``with`` block.

    :raises FileNotFoundError: when it is not there.
    :raises StorageError: when it cannot be read.
    """
    if not isinstance(file, LocalFile):
        yield _RemoteFile(file, file.version())
        return
    with opened_path(file.path) as local:
        yield local


@contextmanager
def opened_path(path: Path) -> Iterator[ReadableFile]:
    """Open the file at ``path`` for the time of a ``with`` block.

    :raises FileNotFoundError: when it is not there.
    :raises StorageError: when it cannot be read.
    """
    with naming(f"read {path}", passing=FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY)
    try:
        yield _LocalFile(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _LocalFile:
    """A file on a disk, by its descriptor."""

    descriptor: int

    @property
    def name(self) -> str:
        return f"/dev/fd/{self.descriptor}"

    @property
    def size(self) -> int:
        return os.fstat(self.descriptor).st_size

    def show(self, database: duckdb.DuckDBPyConnection) -> None:
        """It can."""

    def stream(self) -> IO[bytes]:
        return open(self.name, "rb")

    def native(self) -> pa.NativeFile:
        # Not mapped into memory: on a network's disk, a file that another machine replaces would end the process.
        return pa.OSFile(self.name)


@dataclass(frozen=True, slots=True)
class _RemoteFile:
    """A file in a bucket."""

    file: StoredFile
    version: FileVersion

    @property
    def name(self) -> str:
        return f"{_SCHEME}://{self.file.name}"

    @property
    def size(self) -> int:
        return self.version.size

    def show(self, database: duckdb.DuckDBPyConnection) -> None:
        database.register_filesystem(_OneFile(self))

    def stream(self) -> IO[bytes]:
        return io.BufferedReader(_Stream(self), 1 << 16)

    def native(self) -> pa.NativeFile:
        return pa.PythonFile(_Stream(self))

    def read_into(self, buffer: memoryview, start: int) -> None:
        """Its bytes from ``start`` on, as many as ``buffer`` has room for."""
        _BLOCKS.read_into(buffer, self.file, self.version, start)


class _Stream(io.RawIOBase):
    """The bytes of a file in a bucket. Threads may share it: each has a position of its own, as DuckDB's need."""

    def __init__(self, file: _RemoteFile) -> None:
        super().__init__()
        self._file = file
        self._at = threading.local()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return getattr(self._at, "position", 0)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._file.version.size}[whence]
        self._at.position = start + offset
        return start + offset

    def readinto(self, buffer: Any) -> int:
        start = self.tell()
        end = max(start, min(start + len(buffer), self._file.version.size))
        self._file.read_into(memoryview(buffer).cast("B")[: end - start], start)
        self._at.position = end
        return end - start

    def read_buffer(self, size: int) -> pa.Buffer:
        """What Arrow reads by, if there is one: as :meth:`read`, with nothing copied, in memory that it has already."""
        content = pa.allocate_buffer(size)
        return content.slice(0, self.readinto(content))


class _Block(NamedTuple):
    """A block of a version of a file: the file's name, the mark of the version, and which block it is."""

    file: str
    mark: str
    number: int


class _OneFile(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A file in a bucket as the one file of a file system, as DuckDB takes it."""

    protocol: ClassVar[str] = _SCHEME
    cachable: ClassVar[bool] = False

    def __init__(self, file: _RemoteFile) -> None:
        super().__init__()
        self._file = file

    def exists(self, path: str, **options: Any) -> bool:
        return True

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        return {"name": path, "size": self._file.version.size, "type": "file"}

    def modified(self, path: str) -> datetime:
        return datetime.fromtimestamp(0, UTC)  # what is open does not change

    def _open(self, path: str, mode: str = "rb", **options: Any) -> _Stream:
        return _Stream(self._file)


class _Blocks:
    """Blocks of files in buckets, those used last; each is fetched once, however many ask. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._free = list(range(size // BLOCK_BYTES))
        self._used: OrderedDict[_Block, int] = OrderedDict()
        self._under_way: dict[_Block, Future[bytes]] = {}
        self._lock = threading.Lock()
        self._kept: IO[bytes] | None = None
        self._fetching = ThreadPoolExecutor(_REQUESTS, thread_name_prefix="blocks")

    def read_into(self, buffer: memoryview, file: StoredFile, version: FileVersion, start: int) -> None:
        """The bytes of ``file`` from ``start`` on, as many as ``buffer`` has room for, which lie in it."""
        end = start + len(buffer)
        numbers = range(start // BLOCK_BYTES, -(-end // BLOCK_BYTES)) if buffer else range(0)
        blocks = [_Block(str(file), version.mark, number) for number in numbers]
        coming = self._fetch_missing(file, version, blocks)
        for block in blocks:
            begins = block.number * BLOCK_BYTES
            first, last = max(start, begins), min(end, begins + BLOCK_BYTES)
            into = buffer[first - start : last - start]
            if block in coming or not self._look(block, first - begins, into):
                whole = coming[block].result() if block in coming else _fetch(file, version, block.number)
                into[:] = whole[first - begins : last - begins]

    def _fetch_missing(
        self, file: StoredFile, version: FileVersion, blocks: Sequence[_Block]
    ) -> dict[_Block, Future[bytes]]:
        """Have what is missing of ``blocks`` fetched, and some that follow; gives those that are under way."""
        with self._lock:
            missing = [block for block in blocks if block not in self._used]
            if missing:
                end = min(missing[0].number + _AHEAD, -(-version.size // BLOCK_BYTES))
                ahead = [missing[0]._replace(number=number) for number in range(missing[0].number, end)]
                for block in dict.fromkeys([*missing, *ahead]):
                    if block not in self._used and block not in self._under_way:
                        self._under_way[block] = self._fetching.submit(self._fetch_and_keep, file, version, block)
            return {block: self._under_way[block] for block in missing}

    def _fetch_and_keep(self, file: StoredFile, version: FileVersion, block: _Block) -> bytes:
        try:
            content = _fetch(file, version, block.number)
            self._keep(block, content)
            return content
        finally:
            with self._lock:
                del self._under_way[block]

    def _look(self, block: _Block, start: int, into: memoryview) -> bool:
        """Copy what a block has from ``start`` on; says whether it is kept."""
        with self._lock:
            slot = self._used.get(block)
            if slot is None or self._kept is None:
                return False
            self._used.move_to_end(block)
            return os.preadv(self._kept.fileno(), [into], slot * BLOCK_BYTES + start) == len(into)

    def _keep(self, block: _Block, content: bytes) -> None:
        """Keep a block; where the disk has no room for it, it will be fetched again."""
        with self._lock:
            slot = self._free.pop() if self._free else self._used.popitem(last=False)[1]
            written = 0
            with suppress(OSError):
                self._kept = self._kept or tempfile.TemporaryFile()  # noqa: SIM115 (it ends with the process)
                written = os.pwrite(self._kept.fileno(), content, slot * BLOCK_BYTES)
            if written == len(content):
                self._used[block] = slot
            else:
                self._free.append(slot)


def _fetch(file: StoredFile, version: FileVersion, number: int) -> bytes:
    return file.read_part(number * BLOCK_BYTES, (number + 1) * BLOCK_BYTES, version)


_BLOCKS = _Blocks(_KEPT_BYTES)
