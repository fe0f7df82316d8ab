"""Folders on a disk, whose files are written beside their place and then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import ENOENT, ENOTDIR
from pathlib import Path

from ocr_pipeline.errors import StorageError
from ocr_pipeline.storage.folders import FileVersion, Folder, StoredFile, naming

_TEMPORARY = ".tmp-"


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

    def version(self) -> FileVersion:
        """What it is now."""
        with naming(f"look for {self}", passing=FileNotFoundError):
            return _version(self.path.stat())

    def read_part(self, start: int, end: int, version: FileVersion) -> bytes:
        """Its bytes from ``start`` to ``end``."""
        with naming(f"read {self}"), self.path.open("rb") as file:
            if _version(os.fstat(file.fileno())) != version:
                raise StorageError(f"{self} was replaced while it was read: try again")
            file.seek(start)
            return file.read(end - start)

    def write_bytes(self, content: bytes) -> None:
        """Replace it by ``content``."""
        with self.writing() as path:
            path.write_bytes(content)

    def create_bytes(self, content: bytes) -> bool:
        """Write ``content`` if it is not there yet; says whether it was written."""
        temporary = self._new_temporary()
        with naming(f"write {self}"):
            try:
                self._make_parent()
                temporary.write_bytes(content)
                os.link(temporary, self.path)  # unlike a rename, it fails where there is a file
            except FileExistsError:
                return False
            finally:
                with suppress(OSError):
                    temporary.unlink()
        return True

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
        with naming(f"read {self}", passing=FileNotFoundError), self.path.open("rb"):
            pass
        yield self.path

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """Give a path beside its own, renamed to it in the end.

        The content is on the disk before the name is, so a crash leaves either the old file or the new one.
        """
        temporary = self._new_temporary()
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

    def _new_temporary(self) -> Path:
        return self.path.with_name(f"{self._temporary}{secrets.token_hex(4)}")

    @property
    def _temporary(self) -> str:
        """How the names of files begin that are to become this one."""
        return f"{_TEMPORARY}{self.name}-"

    def _make_parent(self) -> None:
        """Make the folder it lies in, but not the root: one that is gone was perhaps unmounted.

        :raises OSError: when that fails.
        """
        if not self.root.is_dir():
            if self.root.exists():
                raise NotADirectoryError(ENOTDIR, f"{self.root} is not a directory")
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
        return [self.file(entry.name) for entry in self._entries() if entry.is_file()]

    def versions(self) -> dict[str, FileVersion]:
        """The files in it, each as it is now."""
        found = {}
        for entry in self._entries():
            with naming(f"look for {entry.path}"), suppress(FileNotFoundError):  # gone since it was listed
                if entry.is_file():
                    found[entry.name] = _version(entry.stat())
        return found

    def folders(self) -> list[str]:
        """The names of the folders in it."""
        return [entry.name for entry in self._entries() if entry.is_dir()]

    def _entries(self) -> list[os.DirEntry[str]]:
        with naming(f"list {self.path}"):
            try:
                entries = sorted(os.scandir(self.path), key=lambda entry: entry.name)
            except (FileNotFoundError, NotADirectoryError):
                return []
        return [entry for entry in entries if not entry.name.startswith(_TEMPORARY)]

    def clear(self) -> None:
        """Remove it with everything in it."""
        with naming(f"remove {self.path}"), suppress(FileNotFoundError):
            shutil.rmtree(self.path)


def _version(state: os.stat_result) -> FileVersion:
    return FileVersion(state.st_size, f"{state.st_ino}-{state.st_mtime_ns}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
