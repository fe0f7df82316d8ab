"""The files of a dataset: what is in them and how they are compressed, told from their content and names."""

from __future__ import annotations

import codecs
import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from ocr_pipeline.dataset.kinds import START_BYTES, is_json, is_parquet, other_kind, unmarked_encoding
from ocr_pipeline.errors import DatasetError
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.storage.allowed_files import open_allowed

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


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file on a local disk; ``name`` is the path or URI that a person knows it by.

    One that a person has named must lie in a folder that ``allowances`` name, whenever it is opened; copies have none.
    """

    path: Path
    name: str
    allowances: Allowances | None = None

    def raw(self) -> BinaryIO:
        """The file as it lies there, opened for reading.

        :raises OSError: when it cannot be, or may not.
        """
        return open_allowed(self.path, self.allowances) if self.allowances is not None else self.path.open("rb")

    @contextmanager
    def open(self) -> Iterator[pa.NativeFile]:
        """Its content, decompressed, as a stream.

        :raises OSError: also from reading, when it is damaged.
        """
        with self.raw() as raw:
            compression = _compression(raw)
            if compression is None:
                yield pa.PythonFile(raw, "r")
            elif compression == "gzip":
                # Arrow's stops at zeros behind a member, with which tapes and some tools pad files.
                with gzip.GzipFile(fileobj=raw) as unpacked, _naming_damage():
                    yield pa.PythonFile(unpacked, "r")
            else:
                with pa.CompressedInputStream(raw, compression) as stream:
                    yield stream

    def blocks(self) -> Iterator[bytes]:
        """Its content, decompressed, block by block."""
        with self.open() as stream:
            while block := stream.read(BLOCK_BYTES):
                yield block

    def format(self, wanted: str, encoding: str) -> str:
        """What is in it: ``wanted``, or with ``auto`` what its content or else its name says.

        :param encoding: of text, by the settings.
        :raises DatasetError: when neither tells, or it is no dataset.
        :raises OSError: when it cannot be read.
        """
        with self.open() as stream:
            start = stream.read(START_BYTES)
        if is_parquet(start) and wanted in ("auto", "parquet"):
            return "parquet"
        if kind := other_kind(start):
            raise DatasetError(f"dataset {self.name} is {kind}")
        if codecs.lookup(encoding).name == "utf-8" and (unmarked := unmarked_encoding(start)):
            raise DatasetError(f"dataset {self.name} is {unmarked[:6].upper()} text: set encoding to {unmarked}")
        if wanted != "auto":
            return wanted
        path = unquote(urlsplit(self.name).path) if "://" in self.name else self.name
        suffixes = [suffix.lower() for suffix in PurePosixPath(path).suffixes]
        if suffixes and suffixes[-1] in _COMPRESSED_NAMES:
            suffixes.pop()
        if not suffixes or suffixes[-1] not in FORMATS:
            raise DatasetError(
                f"dataset {self.name}: its name does not say what it is; it may end in {', '.join(FORMATS)}, "
                "or set format"
            )
        named = FORMATS[suffixes[-1]]
        if named not in ("jsonl", "parquet") and is_json(start):
            raise DatasetError(f"dataset {self.name} holds JSON, and its name says otherwise: set format to jsonl")
        return named

    def uncompressed(self, scratch: Path) -> DataFile:
        """The file itself if it is not compressed, else a copy in ``scratch`` that is not."""
        with self.raw() as raw:
            if _compression(raw) is None:
                return self
        copy = Path(tempfile.mkdtemp(dir=scratch)) / "uncompressed"
        with copy.open("wb") as file:
            for block in self.blocks():
                file.write(block)
        return DataFile(copy, self.name)


@contextmanager
def _naming_damage() -> Iterator[None]:
    """Say what is wrong with a gzip file as an OSError, in words that do not need the format to be known.

    :raises OSError: for what its reader raises.
    """
    try:
        yield
    except EOFError:
        raise OSError("it ends too early; perhaps it was cut off") from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise OSError(f"it is damaged, or something else follows what gzip packed ({error})") from None


def _compression(raw: BinaryIO) -> str | None:
    """How a file is compressed that has just been opened."""
    start = raw.read(4)
    raw.seek(0)
    return next((name for magic, name in _COMPRESSIONS.items() if start.startswith(magic)), None)
