"""Files that are often taken for a dataset and are none: told by how they begin."""

from __future__ import annotations

import codecs
import re

_PARQUET = b"PAR1"

_TABLE = "write it as Parquet"
_UNPACK = "unpack it"
_IMAGE = "an image, not a list of links to some: name the folder it lies in, or a file that lists it"
_BEGINNINGS = {
    b"PK\x03\x04": "an Excel workbook or another ZIP archive: save the sheet as CSV (UTF-8), or unpack the archive",
    b"\xd0\xcf\x11\xe0": "a workbook of an old Excel: save the sheet as CSV (UTF-8)",
    b"SQLite format 3\0": "an SQLite database: read it with a query, sql:CONNECTION",
    _PARQUET: "a Parquet file: set format to parquet, or to auto",
    b"ORC": f"an ORC file: {_TABLE}",
    b"ARROW1": f"an Arrow file: {_TABLE}",
    b"\xff\xff\xff\xff": f"an Arrow stream: {_TABLE}",
    b"Obj\x01": f"an Avro file: {_TABLE}",
    b"\x89HDF\r\n": f"an HDF5 file: {_TABLE}",
    b"\x93NUMPY": f"an array of NumPy: {_TABLE}",
    b"\x80\x04\x95": f"a pickle of Python: {_TABLE}",
    b"\x80\x05\x95": f"a pickle of Python: {_TABLE}",
    b"%PDF-": "a PDF, not a list of links to some: name the folder it lies in, or a file that lists it",
    b"\x89PNG": _IMAGE,
    b"\xff\xd8\xff": _IMAGE,
    b"GIF8": _IMAGE,
    b"II*\0": _IMAGE,
    b"MM\0*": _IMAGE,
    b"RIFF": _IMAGE,
    b"BM": _IMAGE,
    b"7z\xbc\xaf\x27\x1c": f"a 7z archive: {_UNPACK}",
    b"Rar!\x1a\x07": f"a RAR archive: {_UNPACK}",
    b"\xfd7zXZ\0": f"packed with xz: {_UNPACK}, or pack it with gzip, zstd or bzip2",
    b"\x04\x22\x4d\x18": f"packed with LZ4: {_UNPACK}, or pack it with gzip, zstd or bzip2",
    b"version https://git-lfs.github.com/": "a pointer of Git LFS, not the file itself: run git lfs pull",
}
_TAR = b"ustar"
_TAR_AT = 257
_TAB = 9
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|\?xml)", re.IGNORECASE | re.DOTALL
)
_JSON = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\{\s*"|\[\s*\{)')
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)

START_BYTES = 4096
"""How much of a file's beginning is looked at."""


def is_parquet(start: bytes) -> bool:
    """Whether a file that begins with ``start`` is Parquet."""
    return _begins(start, _PARQUET)


def other_kind(start: bytes) -> str | None:
    """The rest of a sentence on what a file is that begins with ``start``, and what to do; None for a dataset."""
    for magic, what in _BEGINNINGS.items():
        if _begins(start, magic):
            return what
    if start.startswith(_TAR, _TAR_AT):
        return f"a tar archive: {_UNPACK}"
    if _PAGE.match(start):
        return (
            "a web page or XML, not a table: perhaps one to log in on; open the address in a browser, and give the "
            "address of the file itself"
        )
    return None


def is_json(start: bytes) -> bool:
    """Whether a text file that begins with ``start`` holds JSON objects."""
    return bool(_JSON.match(start))


def unmarked_encoding(start: bytes) -> str | None:
    """The encoding of text that begins with ``start``, has two or four bytes a character and does not say so itself."""
    if start.startswith(_MARKS):
        return None
    start = start[: len(start) // 4 * 4]
    zeros = [start[place::4].count(0) / max(1, len(start) // 4) for place in range(4)]
    # What is not ASCII has other bytes there; a text with a null byte here or there is still UTF-8.
    for encoding, full, empty in (
        ("utf-32-le", (0,), (2, 3)),
        ("utf-32-be", (3,), (0, 1)),
        ("utf-16-le", (0, 2), (1, 3)),
        ("utf-16-be", (1, 3), (0, 2)),
    ):
        if len(start) > 8 and min(zeros[place] for place in empty) > 0.3 and max(zeros[place] for place in full) < 0.1:
            return encoding
    return None


def _begins(start: bytes, magic: bytes) -> bool:
    # A column may be called as a magic number is: files of that kind have bytes that no text has.
    return start.startswith(magic) and (not magic.isalnum() or min(start) < _TAB)
