"""What earlier runs have read: one Parquet file a run, written whole, so that any number of runs share a catalog.

A file holds the digest of every link whose image was read, in two halves, the beginning of the image's own digest,
and in its metadata the model and the version of all this. A second one beside it holds the digests of the links that
failed. Links are never held in memory all at once, nor is the catalog.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from ocr_pipeline.errors import CatalogError
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.models import MODELS
from ocr_pipeline.settings.run import RunSettings
from ocr_pipeline.storage.folders import Folder, StoredFile

Digests = npt.NDArray[np.uint64]

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|[/~]")
_ROWS_AT_ONCE = 1 << 20
_MODEL = b"ocr_model"
_VERSION = b"ocr_catalog"
_DIGESTS = b"blake2b-128"
_SHA256_BYTES = 16
_CONTENT = np.dtype(f"S{_SHA256_BYTES}")
_LINKS = pa.schema([("link1", pa.uint64()), ("link2", pa.uint64())])
_SCHEMA = _LINKS.append(pa.field("sha256", pa.binary(_SHA256_BYTES)))
_READ, _FAILED = ".parquet", ".failed"
"""The kinds of files, by how their names end; versions that know the first alone pass over the second."""


def link_digests(links: Iterable[str]) -> tuple[Digests, Digests]:
    """The digest of each link, BLAKE2b (RFC 7693) of its UTF-8 in 128 bits, as its first and its second half.

    It is the same with every release and on every machine, and nobody can make two links whose digests agree.

    :return: uint64 of shape (links,), twice.
    """
    digest = hashlib.blake2b
    whole = b"".join([digest(link.encode(errors="surrogatepass"), digest_size=16).digest() for link in links])
    halves = np.frombuffer(whole, dtype="<u8").reshape(-1, 2).astype(np.uint64)
    return halves[:, 0].copy(), halves[:, 1].copy()


def absolute_digests(links: Iterable[str | None], base: str) -> tuple[Digests, Digests]:
    """:func:`link_digests` of links of different datasets: those that are relative are taken from ``base``."""
    return link_digests(link if link and _ABSOLUTE.match(link) else f"{base}/{link or ''}" for link in links)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The catalog that a run uses: reads what the other runs have noted, and writes its own file.

    ``model`` is the run's. With ``same_model``, what other models have read does not count.
    """

    folder: Folder
    run: str
    model: str
    same_model: bool

    @classmethod
    def of(cls, run: RunFolder, settings: RunSettings, allowances: Allowances) -> Catalog | None:
        """The catalog that ``settings`` name; None when they name none.

        :raises SettingsError: when its folder is not allowed.
        """
        if settings.catalog is None:
            return None
        folder = run.catalog(settings.catalog, allowances)
        return cls(folder, run.name, MODELS[settings.model].name, settings.reread_with_new_model)

    def find(self, first: Digests, second: Digests) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
        """Which other run has read each link.

        :param first: uint64 of shape (links,), as :func:`absolute_digests` makes them.
        :param second: likewise.
        :return: int64 of shape (links,), indices of the names that follow, or -1 where none has; names of runs.
        :raises CatalogError: when a file of the catalog is damaged.
        :raises StorageError: when the catalog cannot be read.
        """
        found = np.full(len(first), -1, dtype=np.int64)
        runs: list[str] = []
        for name, rows in self._hits_of_others(_READ, first, second):
            if len(rows):
                found[rows] = len(runs)
                runs.append(name)
        # A run whose every link a later one has read as well is not among the answers.
        used = np.unique(found[found >= 0])
        places = np.full(len(runs) + 1, -1, dtype=np.int64)
        places[used] = np.arange(len(used))
        return places[found], tuple(runs[index] for index in used)

    def failed(self, first: Digests, second: Digests) -> npt.NDArray[np.bool_]:
        """Whether each link failed in another run; arguments and errors are those of :meth:`find`."""
        found = np.zeros(len(first), dtype=bool)
        for _, rows in self._hits_of_others(_FAILED, first, second):
            found[rows] = True
        return found

    def _hits_of_others(
        self, kind: str, first: Digests, second: Digests
    ) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
        """The other runs, and which of the links their files of this kind hold, as indices."""
        if not len(first):
            return
        order = np.argsort(first)
        ranked = first[order]
        for name, file in self._others(kind):
            links = ((b.column(0).to_numpy(), b.column(1).to_numpy()) for b in self._read(file, ["link1", "link2"]))
            hits = [_hits(ranked, order, second, *digests) for digests in links]
            yield name, np.concatenate([np.empty(0, dtype=np.int64), *hits])

    def write_contents(self, target: Path, scratch: Path) -> None:
        """Write what image files other runs have read, for :func:`known_contents`: their digests, sorted, each once.

        They may be more than fit into memory, so they are parted by their first byte and each part is sorted.

        :param scratch: an existing folder for the parts.
        :raises CatalogError: when a file of the catalog is damaged.
        :raises StorageError: when the catalog cannot be read.
        """
        with ExitStack() as files:
            parts = [files.enter_context(open(scratch / f"contents-{byte:02x}", "w+b")) for byte in range(256)]
            for _, file in self._others(_READ):
                for batch in self._read(file, ["sha256"]):
                    column = batch.column(0)
                    contents = np.frombuffer(column.buffers()[1], dtype=_CONTENT)[column.offset :][: len(column)]
                    first_bytes = contents.view(np.uint8).reshape(-1, _SHA256_BYTES)[:, 0]
                    order = np.argsort(first_bytes, kind="stable")
                    bounds = np.searchsorted(first_bytes[order], np.arange(257))
                    for part, start, end in zip(parts, bounds[:-1], bounds[1:], strict=True):
                        part.write(contents[order[start:end]].tobytes())
            with open(target, "wb") as whole:
                for part in parts:
                    part.seek(0)
                    whole.write(np.unique(np.frombuffer(part.read(), dtype=_CONTENT)).tobytes())

    def _others(self, kind: str) -> Iterator[tuple[str, StoredFile]]:
        """The other runs' files of a kind: planned again, a run must not find what it has read itself."""
        for file in self.folder.files():
            name = file.name.removesuffix(kind)
            if name not in (self.run, file.name):
                yield name, file

    def _read(self, file: StoredFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
        try:
            with file.reading() as path, pa.parquet.ParquetFile(path) as content:
                metadata = content.schema_arrow.metadata or {}
                if metadata.get(_VERSION) != _DIGESTS:
                    raise CatalogError(
                        f"{file} was written by another version: delete it to have what it lists read again"
                    )
                model = metadata[_MODEL].decode()
                if self.same_model and model != self.model:
                    return
                yield from content.iter_batches(_ROWS_AT_ONCE, columns=columns)
        except FileNotFoundError:
            return  # removed since the folder was listed
        except (pa.ArrowException, KeyError, ValueError, OSError) as error:
            raise CatalogError(f"{file} is damaged ({error}): delete it to have what it lists read again") from error

    @contextmanager
    def recording(self) -> Iterator[CatalogWriter]:
        """Write the run's own files; they appear, or replace earlier ones, when the ``with`` block ends well.

        :raises StorageError: when they cannot be written.
        """
        self.folder.create()
        with self._writing(_READ, _SCHEMA) as read, self._writing(_FAILED, _LINKS) as failed:
            yield CatalogWriter(read, failed)

    @contextmanager
    def _writing(self, kind: str, schema: pa.Schema) -> Iterator[_Writer]:
        """Write one of them."""
        file = self.folder.file(f"{self.run}{kind}")
        file.sweep()
        schema = schema.with_metadata({_MODEL: self.model, _VERSION: _DIGESTS})
        with file.writing() as path, pa.parquet.ParquetWriter(path, schema, use_dictionary=False) as parquet:
            writer = _Writer(parquet, schema)
            yield writer
            writer.flush()


class KnownContents:
    """The image files that earlier runs have read. Most of it stays on the disk."""

    def __init__(self, contents: npt.NDArray[np.bytes_]) -> None:
        self._contents = contents

    def __contains__(self, sha256: str) -> bool:
        """Whether an image file with this digest, in hexadecimal, was read."""
        if not len(self._contents):
            return False
        content = np.array(bytes.fromhex(sha256)[:_SHA256_BYTES], dtype=_CONTENT)
        place = int(np.searchsorted(self._contents, content))
        return place < len(self._contents) and bool(self._contents[place] == content)


@contextmanager
def known_contents(run: RunFolder) -> Iterator[KnownContents]:
    """What the plan of ``run`` knows of image files read by earlier runs, for the time of a ``with`` block.

    :raises StorageError: when it cannot be read.
    """
    with ExitStack() as files:
        contents = np.empty(0, dtype=_CONTENT)
        try:
            path = files.enter_context(run.known_contents.reading())
        except FileNotFoundError:
            pass  # the run goes by links, or has no catalog
        else:
            if path.stat().st_size:
                contents = np.memmap(path, dtype=_CONTENT, mode="r")
        yield KnownContents(contents)


class CatalogWriter:
    """Takes what a run has read, and what failed in it."""

    def __init__(self, read: _Writer, failed: _Writer) -> None:
        self._read = read
        self._failed = failed

    def add(self, links: Sequence[str | None], base: str, sha256: Iterable[str]) -> None:
        """Note images as read.

        :param links: as they stand in the dataset.
        :param base: what relative ones start from.
        :param sha256: of each image's file, in hexadecimal.
        """
        first, second = absolute_digests(links, base)
        contents = pa.array([bytes.fromhex(digest)[:_SHA256_BYTES] for digest in sha256], pa.binary(_SHA256_BYTES))
        self._read.add([pa.array(first), pa.array(second), contents])

    def add_failed(self, links: Sequence[str | None], base: str) -> None:
        """Note images as failed; the arguments are those of :meth:`add`."""
        self._failed.add([*map(pa.array, absolute_digests(links, base))])


class _Writer:
    """Writes one file of a run, whose columns begin with the digests of links."""

    def __init__(self, writer: pa.parquet.ParquetWriter, schema: pa.Schema) -> None:
        self._writer = writer
        self._schema = schema
        self._held: list[pa.Table] = []
        self._rows = 0

    def add(self, columns: list[pa.Array]) -> None:
        """Take in rows."""
        self._held.append(pa.Table.from_arrays(columns, schema=self._schema))
        self._rows += len(columns[0])
        if self._rows >= _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what was added so far, sorted, as looking up many digests is faster in their order."""
        if self._held:
            self._writer.write_table(pa.concat_tables(self._held).sort_by("link1"), row_group_size=_ROWS_AT_ONCE)
        self._held, self._rows = [], 0


def _hits(
    ranked: Digests, order: npt.NDArray[np.int64], second: Digests, other_first: Digests, other_second: Digests
) -> npt.NDArray[np.int64]:
    """Where the pairs ``(other_first, other_second)`` are among ours.

    :param ranked: our first digests, sorted.
    :param order: where each of them comes from.
    :param second: our second digests, unsorted.
    :return: int64, indices into ``second``. Of ours that share a first digest, which in practice none do, one is
        looked at: the others are read again.
    """
    # In order, as they mostly are already, they are found several times as fast.
    ascending = np.argsort(other_first, kind="stable")
    other_first, other_second = other_first[ascending], other_second[ascending]
    places = np.minimum(np.searchsorted(ranked, other_first), len(ranked) - 1)
    rows = order[places]
    hits: npt.NDArray[np.int64] = rows[(ranked[places] == other_first) & (second[rows] == other_second)]
    return hits
