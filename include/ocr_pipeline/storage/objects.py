"""Folders in an object store, whose objects are written whole, by one request or one multipart upload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError

from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.storage.buckets import find_store, open_bucket
from ocr_pipeline.storage.folders import FileVersion, Folder, Result, StoredFile, naming, scratch_folder
from ocr_pipeline.storage.outages import PatientBucket
from ocr_pipeline.storage.patience import PATIENCE, Patience
from ocr_pipeline.storage.store_errors import explain

if TYPE_CHECKING:
    from ocr_pipeline.storage.buckets import Bucket

PART_BYTES = 8 << 20
"""What is larger is read and written in parts of at least this size, so that no request takes long."""

_MAX_PARTS = 10_000  # of a multipart upload to S3
_PARTS_AT_ONCE = 4

_ASSEMBLED = 50e6
_LONGEST_ASSEMBLING = 600.0
"""Bytes a second in which a store puts the parts of an upload together, and seconds that this takes at most. Amazon
speaks of several minutes (CompleteMultipartUpload); others copy the whole object, at the speed of their disks."""

_PARALLEL = 8
_PAGE = 1000  # what a store gives in one answer

_RETRIES = 3
"""How often the client itself repeats a request, at once: so a part that fails does not cost the whole upload."""


@dataclass(frozen=True, slots=True)
class ObjectFile(StoredFile):
    """An object. ``uri`` names it, ``key`` is its whole key in the bucket."""

    bucket: PatientBucket = field(compare=False, repr=False)
    uri: str
    key: str

    def __str__(self) -> str:
        return self.uri

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self.key.rpartition("/")[2]

    def read_bytes(self) -> bytes:
        """Its content."""
        return b"".join(self._parts())

    def version(self) -> FileVersion:
        """What it is now."""
        found = self._ask("look for", lambda bucket: obstore.head(bucket, self.key), passing=True)
        return FileVersion(found["size"], found["e_tag"] or "")

    def read_part(self, start: int, end: int, version: FileVersion) -> bytes:
        """Its bytes from ``start`` to ``end``, in one request."""
        end = min(end, version.size)
        return self._ask("read", partial(self._part, start, end, version.mark or None)) if start < end else b""

    def write_bytes(self, content: bytes) -> None:
        """Replace it by ``content``, whole or not at all."""
        self._ask("write", partial(self._put, content, len(content)))

    def create_bytes(self, content: bytes) -> bool:
        """Write ``content`` if it is not there yet; says whether it was written.

        It may have been although this says no, when the store's first answer was lost.
        """
        return self._ask("write", partial(self._create, content))

    def exists(self) -> bool:
        """Whether it is there."""
        try:
            self._ask("look for", lambda bucket: obstore.head(bucket, self.key), passing=True)
        except FileNotFoundError:
            return False
        return True

    def delete(self) -> None:
        """Remove it."""
        self._ask("remove", partial(_delete, [self.key]))

    @contextmanager
    def reading(self) -> Iterator[Path]:
        """Give a copy on the local disk."""
        with self._scratch() as path:
            with naming(f"copy {self} to the local disk", passing=FileNotFoundError), path.open("wb") as file:
                for part in self._parts():
                    file.write(part)
            yield path

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """Give a path on the local disk, whose content is uploaded in the end."""
        with self._scratch() as path, naming(f"write {self} on the local disk first"):
            yield path
            size = path.stat().st_size
            self._ask("write", partial(self._put, path, size), working=_assembling_seconds(size))

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        with scratch_folder("object") as scratch:
            yield scratch / self.name

    def _put(self, content: bytes | Path, size: int, bucket: Bucket) -> None:
        part = max(PART_BYTES, -(-size // _MAX_PARTS))
        obstore.put(
            bucket,
            self.key,
            content,
            use_multipart=size > part,
            chunk_size=part,
            max_concurrency=_PARTS_AT_ONCE,
        )

    def _create(self, content: bytes, bucket: Bucket) -> bool:
        try:
            obstore.put(bucket, self.key, content, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        return True

    def _parts(self) -> Iterator[bytes]:
        """Its content, in parts of at most :data:`PART_BYTES`, all of the same version of it."""
        first, size, version = self._ask("read", self._first_part, passing=True)
        yield first
        for start in range(len(first), size, PART_BYTES):
            yield self._ask("read", partial(self._part, start, start + PART_BYTES, version))

    def _first_part(self, bucket: Bucket) -> tuple[bytes, int, str | None]:
        """The content if it is small, else none of it; its size and its version."""
        found = obstore.get(bucket, self.key)
        size = found.meta["size"]
        return bytes(found.bytes()) if size <= PART_BYTES else b"", size, found.meta["e_tag"]

    def _part(self, start: int, end: int, version: str | None, bucket: Bucket) -> bytes:
        return bytes(obstore.get(bucket, self.key, options={"range": (start, end), "if_match": version}).bytes())

    def _ask(
        self, what: str, request: Callable[[Bucket], Result], *, passing: bool = False, working: float = 0.0
    ) -> Result:
        return self.bucket.ask(f"{what} {self}", request, passing=passing, working=working)


@dataclass(frozen=True, slots=True)
class ObjectFolder(Folder):
    """The objects whose keys begin with ``key`` and a slash; without a key, all of the bucket."""

    bucket: PatientBucket = field(compare=False, repr=False)
    address: str
    key: str

    @classmethod
    def open(cls, uri: str, allowances: Allowances, patience: Patience = PATIENCE) -> ObjectFolder:
        """The folder at ``uri``, such as ``s3://bucket/prefix`` or ``gs://CONNECTION@bucket``.

        :param patience: with its store.
        :raises SettingsError: when it is not allowed, or its connection cannot be used.
        """
        store, address = find_store(uri, allowances)

        def opening(seconds: float) -> Bucket:
            return open_bucket(store, retries=_RETRIES, timeout=seconds)

        return cls(PatientBucket(opening, patience), str(address), address.key)

    @property
    def uri(self) -> str:
        """Its URI."""
        return self.address

    @property
    def parallel(self) -> int:
        """Requests mostly wait."""
        return _PARALLEL

    def create(self) -> None:
        """Nothing needs to be made."""

    def file(self, name: str) -> ObjectFile:
        """The file ``name``."""
        return ObjectFile(self.bucket, f"{self.address}/{name}", self._prefix + name)

    def folder(self, name: str) -> ObjectFolder:
        """The folder ``name`` in this one."""
        return ObjectFolder(self.bucket, f"{self.address}/{name}", self._prefix + name)

    def files(self) -> list[StoredFile]:
        """The files in it."""
        found = self._list(lambda bucket: obstore.list_with_delimiter(bucket, self.key or None))
        keys = sorted(item["path"] for item in found["objects"])
        return [self.file(key.removeprefix(self._prefix)) for key in keys]

    def versions(self) -> dict[str, FileVersion]:
        """The files in it, each as it is now."""
        found = self._list(lambda bucket: obstore.list_with_delimiter(bucket, self.key or None))
        return {
            item["path"].removeprefix(self._prefix): FileVersion(item["size"], item["e_tag"] or "")
            for item in sorted(found["objects"], key=lambda item: item["path"])
        }

    def folders(self) -> list[str]:
        """The names of the folders in it."""
        found = self._list(lambda bucket: obstore.list_with_delimiter(bucket, self.key or None))
        return sorted(path.rstrip("/").removeprefix(self._prefix) for path in found["common_prefixes"])

    def walk(self) -> Iterator[str]:
        """The names of all files in it and in its folders, in the order of the store."""
        last: str | None = None
        while True:
            # Each page is a request of its own, which can be repeated.
            page = self._list(partial(self._page_after, last))
            if not page:
                return
            for key in page:
                if not key.endswith("/"):
                    yield key.removeprefix(self._prefix)
            last = page[-1]

    def _page_after(self, key: str | None, bucket: Bucket) -> list[str]:
        found = obstore.list(bucket, self.key or None, offset=key, chunk_size=_PAGE)
        return [item["path"] for item in next(found, [])]

    def clear(self) -> None:
        """Remove every object in it."""
        found = self._list(lambda bucket: obstore.list(bucket, self.key or None).collect())
        keys = [item["path"] for item in found]
        if keys:
            self.bucket.ask(f"remove {self.address}", partial(_delete, keys))

    def _list(self, request: Callable[[Bucket], Result]) -> Result:
        return self.bucket.ask(f"list {self.address}", request)

    @property
    def _prefix(self) -> str:
        return f"{self.key}/" if self.key else ""


def _assembling_seconds(size: int) -> float:
    """How long a store may need, after the last part of an object of ``size`` bytes has come, for the whole."""
    return min(size / _ASSEMBLED, _LONGEST_ASSEMBLING) if size > PART_BYTES else 0.0


def _delete(keys: list[str], bucket: Bucket) -> None:
    try:
        obstore.delete(bucket, keys)
    except FileNotFoundError as error:
        # Google's store says so of an object that is gone, Amazon's only of a bucket.
        if explain(error).no_bucket:
            raise
