"""The files of a run's folder as they are given to a browser: by name, in parts, and so that they can do nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from fastapi.responses import StreamingResponse

from ocr_airflow.pages.notices import no_such_file
from ocr_airflow.pages.security import SANDBOX
from ocr_pipeline.run.folder import RunFolder
from ocr_pipeline.storage.disk import LocalFile
from ocr_pipeline.storage.folders import FileVersion, StoredFile


@dataclass(frozen=True, slots=True)
class Offered:
    """A file that is offered: what it holds, and its media type. ``shown``: in the browser, rather than saved."""

    meaning: str
    kind: str
    shown: bool = False


OFFERED: Mapping[str, Offered] = {
    "report.html": Offered("to look at and to pass on", "text/html; charset=utf-8", shown=True),
    "results.csv": Offered("every row", "text/csv; charset=utf-8"),
    "results.parquet": Offered("the same, with types", "application/vnd.apache.parquet"),
    "failures.csv": Offered("what failed, and why", "text/csv; charset=utf-8"),
    "rejected.csv": Offered("rows of the dataset that could not be read", "text/csv; charset=utf-8"),
    "summary.json": Offered("the counts", "application/json"),
}
"""The files of a run that are for people, by name; no other is given."""


def give_offered(run: RunFolder, name: str) -> StreamingResponse:
    """A file of the run.

    :raises Notice: when it is none of those or not there.
    :raises StorageError: when it cannot be read.
    """
    if name not in OFFERED:
        raise no_such_file(name)
    offered = OFFERED[name]
    headers = {"Content-Security-Policy": SANDBOX} if offered.shown else {"Content-Disposition": _saved_as(run, name)}
    return give(run.folder.file(name), offered.kind, headers)


def give(file: StoredFile, kind: str, headers: Mapping[str, str]) -> StreamingResponse:
    """A file of the media type ``kind``, of which no more than a part is held.

    :raises Notice: when it is not there.
    :raises StorageError: when it cannot be read.
    """
    if isinstance(file, LocalFile) and file.path.is_symlink():
        raise no_such_file(file.name)  # runs write files; where a link leads is not what the folder was allowed for
    try:
        version = file.version()
    except FileNotFoundError:
        raise no_such_file(file.name) from None
    first = file.read_part(0, _PART_BYTES, version)  # before the answer begins, which then can only break off
    length = {"Content-Length": str(version.size)}
    return StreamingResponse(_parts(file, version, first), media_type=kind, headers={**headers, **length})


_PART_BYTES = 4 << 20
"""Read at once: of a bucket, one request."""

_SLICE_BYTES = 1 << 18
"""Sent at once: Airflow's server compresses each in one go."""


def _parts(file: StoredFile, version: FileVersion, first: bytes) -> Iterator[bytes]:
    others = (file.read_part(at, at + _PART_BYTES, version) for at in range(_PART_BYTES, version.size, _PART_BYTES))
    for part in chain([first], others):
        for start in range(0, len(part), _SLICE_BYTES):
            yield part[start : start + _SLICE_BYTES]


def _saved_as(run: RunFolder, name: str) -> str:
    """The name to save under: that of the run as well, in characters that mean nothing to any shell or header."""
    stem = re.sub(r"[^A-Za-z0-9._-]", "-", run.name).strip(".-")[:100]
    return f'attachment; filename="{stem}-{name}"' if stem else f'attachment; filename="{name}"'
