"""The files of a dataset: what is in them and how they are compressed, told from their content and names."""

from __future__ import annotations

import codecs
import gzip
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import pyarrow as pa

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
_PARQUET = b"PAR1"
_START_BYTES = 512
_TAB = 9
_OTHERS = {
    b"PK\x03\x04": "an Excel workbook or another ZIP archive: save the sheet as CSV (UTF-8), or unpack the archive",
    b"\xd0\xcf\x11\xe0": "a workbook of an old Excel: save the sheet as CSV (UTF-8)",
    b"SQLite format 3\0": "an SQLite database: read it with a query, sql:CONNECTION",
    b"ORC": "an ORC file: write it as Parquet",
    b"ARROW1": "an Arrow file: write it as Parquet",
    b"Obj\x01": "an Avro file: write it as Parquet",
    b"%PDF-": "a PDF, not a list of links to some: name the folder it lies in, or a file that lists it",
    b"\x89PNG": "an image, not a list of links to some: name the folder it lies in, or a file that lists it",
    b"\xff\xd8\xff": "an image, not a list of links to some: name the folder it lies in, or a file that lists it",
    b"GIF8": "an image, not a list of links to some: name the folder it lies in, or a file that lists it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
}
"""How files begin that are often taken for a dataset, and what they are."""

_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html|head|\?xml)", re.IGNORECASE)


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
                with gzip.GzipFile(fileobj=raw) as unpacked:
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
            start = stream.read(_START_BYTES)
        if start.startswith(_PARQUET) and wanted == "auto":
            return "parquet"
        self._check_start(start, encoding)
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
        return FORMATS[suffixes[-1]]

    def _check_start(self, start: bytes, encoding: str) -> None:
        """Refuse what is no dataset by how it begins.

        :raises DatasetError: saying what it is, and what to do.
        """
        for magic, what in _OTHERS.items():
            # A column may be called as a magic number is: such files have bytes that no text has.
            if start.startswith(magic) and (not magic.isalnum() or min(start) < _TAB):
                raise DatasetError(f"dataset {self.name} is {what}")
        if _PAGE.match(start):
            raise DatasetError(
                f"dataset {self.name} is a web page or XML, not a table: perhaps one to log in on; open the address "
                "in a browser, and give the address of the file itself"
            )
        if codecs.lookup(encoding).name != "utf-8" or start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return
        for order, zeros in (("le", start[1::2]), ("be", start[::2])):
            if len(zeros) > 4 and zeros.count(0) > 0.9 * len(zeros) and start.count(0) < 0.6 * len(start):
                raise DatasetError(f"dataset {self.name} is UTF-16 text: set encoding to utf-16-{order}")

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


def _compression(raw: BinaryIO) -> str | None:
    """How a file is compressed that has just been opened."""
    start = raw.read(4)
    raw.seek(0)
    return next((name for magic, name in _COMPRESSIONS.items() if start.startswith(magic)), None)
