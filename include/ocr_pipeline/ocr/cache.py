"""What loading an engine works out anew each time, kept on disk: edited graphs and compiled networks.

Without it an engine is ready after twice the time. A cache that is missing, damaged, cannot be written or has no place
costs that time and nothing else. Any number of processes may use it at once.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "OCR_CACHE"
"""Environment variable of the deployment with the folder for caches, ``~/.cache`` without; ours is one in it."""

OWN_FOLDER = "ocr_pipeline"
"""The folder in it. What else lies there, and what lies in ours and was not written here, is left alone."""

_KEPT = 64
"""How many entries stay: two graphs and up to 15 compiled networks for each combination of settings."""

_DIGEST = hashlib.sha256().digest_size
_SIGNATURE = b"ocr_pipeline cache 1\n"
_PARTIAL = ".partial"
_NAME = re.compile(rf"[0-9a-f]{{64}}(\.[a-z0-9_]{{8}}{re.escape(_PARTIAL)})?")  # as tempfile makes names
_PARTIAL_SECONDS = 3600
"""A file that was begun so long ago is left over from a process that ended."""


_compiling: list[Callable[[], None]] = []


def when_compiling(tell: Callable[[], None]) -> None:
    """Have ``tell`` called before this process first makes what was not kept: it takes seconds, and people wait."""
    _compiling.append(tell)


def cached(key: Sequence[bytes], make: Callable[[], bytes]) -> bytes:
    """What ``make`` returned when it was last called with ``key``, which holds all that the result depends on."""
    folder = _folder(os.environ.get(FOLDER_VARIABLE) or "~/.cache")
    if folder is None:
        return make()
    digest = hashlib.sha256()
    for part in key:
        digest.update(hashlib.sha256(part).digest())
    path = folder / digest.hexdigest()
    content = _load(path)
    if content is None:
        _tell_once(folder)
        content = make()
        with contextlib.suppress(OSError):
            _store(path, content)
    return content


@functools.cache
def _tell_once(folder: Path) -> None:
    log.info("compiling networks, which takes some seconds once a machine; they are kept in %s", folder)
    for tell in _compiling:
        tell()


@functools.cache  # so that it warns once
def _folder(name: str) -> Path | None:
    if "://" in name:
        log.warning("nothing is cached: %s must be a folder, not %r", FOLDER_VARIABLE, name)
        return None
    try:
        return Path(name).expanduser() / OWN_FOLDER
    except RuntimeError as error:  # a user without a home
        log.warning("nothing is cached in %s: %s; %s names another folder", name, error, FOLDER_VARIABLE)
        return None


def _load(path: Path) -> bytes | None:
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    with contextlib.suppress(OSError):  # nobody but the owner may
        os.utime(path)  # so that the oldest file is the one that was not used for longest
    if not stored.startswith(_SIGNATURE):
        return None
    digest, content = stored[len(_SIGNATURE) :][:_DIGEST], stored[len(_SIGNATURE) + _DIGEST :]
    return content if hashlib.sha256(content).digest() == digest else None


def _store(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", suffix=_PARTIAL, delete=False) as file:
        try:
            file.write(_SIGNATURE + hashlib.sha256(content).digest() + content)
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise
    _clear_up(path.parent)


def _clear_up(folder: Path) -> None:
    """Remove the entries of ours that were not used for longest, and what processes that ended have begun."""
    own = list(_own_files(folder))
    begun_before = time.time() - _PARTIAL_SECONDS
    left_over = [path for path, used in own if path.suffix == _PARTIAL and used < begun_before]
    entries = sorted((used, path) for path, used in own if path.suffix != _PARTIAL)
    for path in [*left_over, *(path for _, path in entries[:-_KEPT])]:
        path.unlink(missing_ok=True)


def _own_files(folder: Path) -> Iterator[tuple[Path, float]]:
    """The files in ``folder`` that were written here, with the time of their last use: by name, kind and signature."""
    for path in folder.iterdir():
        if _NAME.fullmatch(path.name) and not path.is_symlink() and path.is_file():
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                start = file.read(len(_SIGNATURE))
                # What was only begun may have less of it.
                if start == _SIGNATURE or (path.suffix == _PARTIAL and _SIGNATURE.startswith(start)):
                    yield path, path.stat().st_mtime
