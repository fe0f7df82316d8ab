"""The files of a dataset: what is in them and how they are compressed, told from their content and names."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from ocr_pipeline.errors import DatasetError

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "list",
    ".lst": "list",
    ".list": "list",
}
"""How the names of the files that can be read end, and what is in them."""

BLOCK_BYTES = 4 << 20

_COMPRESSED_NAMES = (".gz", ".gzip", ".zst", ".zstd", ".bz2")
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
_PARQUET = b"PAR1"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file on a local disk; ``name`` is the path or URI that a person knows it by."""

    path: Path
    name: str

    @contextmanager
    def open(self) -> Iterator[pa.NativeFile]:
        """Its content, decompressed, as a stream.

        :raises OSError: also from reading, when it is damaged.
        """
        compression = self._compression()
        with pa.OSFile(str(self.path), "rb") as raw:
            if compression is None:
                yield raw
            else:
                with pa.CompressedInputStream(raw, compression) as stream:
                    yield stream

    def blocks(self) -> Iterator[bytes]:
        """Its content, decompressed, block by block."""
        with self.open() as stream:
            while block := stream.read(BLOCK_BYTES):
                yield block

    def format(self, wanted: str) -> str:
        """What is in it: ``wanted``, or with ``auto`` what its content or else its name says.

        :raises DatasetError: when neither tells.
        :raises OSError: when it cannot be read.
        """
        if wanted != "auto":
            return wanted
        with self.open() as stream:
            if stream.read(len(_PARQUET)) == _PARQUET:
                return "parquet"
        path = unquote(urlsplit(self.name).path) if "://" in self.name else self.name
        suffixes = [suffix.lower() for suffix in PurePosixPath(path).suffixes]
        if suffixes and suffixes[-1] in _COMPRESSED_NAMES:
            suffixes.pop()
        if not suffixes or suffixes[-1] not in FORMATS:
            raise DatasetError(
                f"dataset {self.name}: its name does not say what it is; it may end in {', '.join(FORMATS)}, "
                "or set format"
            )
        return FORMATS[suffixes[-1]]

    def uncompressed(self, scratch: Path) -> Path:
        """A path where it lies uncompressed: its own, or that of a copy in ``scratch``."""
        if self._compression() is None:
            return self.path
        copy = Path(tempfile.mkdtemp(dir=scratch)) / "uncompressed"
        with copy.open("wb") as file:
            for block in self.blocks():
                file.write(block)
        return copy

    def _compression(self) -> str | None:
        with self.path.open("rb") as file:
            start = file.read(4)
        return next((name for magic, name in _COMPRESSIONS.items() if start.startswith(magic)), None)
