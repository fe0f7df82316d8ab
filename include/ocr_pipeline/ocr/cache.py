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
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "OCR_CACHE"
"""Environment variable of the deployment with the cache's folder; ``~/.cache/ocr_pipeline`` without."""

_KEPT = 64
"""How many entries stay: two graphs and up to 18 compiled networks for each combination of settings."""

_DIGEST = hashlib.sha256().digest_size


def cached(key: Sequence[bytes], make: Callable[[], bytes]) -> bytes:
    """What ``make`` returned when it was last called with ``key``, which holds all that the result depends on."""
    folder = _folder(os.environ.get(FOLDER_VARIABLE) or "~/.cache/ocr_pipeline")
    if folder is None:
        return make()
    digest = hashlib.sha256()
    for part in key:
        digest.update(hashlib.sha256(part).digest())
    path = folder / digest.hexdigest()
    content = _load(path)
    if content is None:
        content = make()
        with contextlib.suppress(OSError):
            _store(path, content)
    return content


@functools.cache  # so that it warns once
def _folder(name: str) -> Path | None:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:  # a user without a home
        log.warning("nothing is cached in %s: %s; %s names another folder", name, error, FOLDER_VARIABLE)
        return None


def _load(path: Path) -> bytes | None:
    try:
        stored = path.read_bytes()
        os.utime(path)  # so that the oldest file is the one that was not used for longest
    except OSError:
        return None
    content = stored[_DIGEST:]
    return content if hashlib.sha256(content).digest() == stored[:_DIGEST] else None


def _store(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(hashlib.sha256(content).digest() + content)
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise
    oldest_first = sorted(path.parent.iterdir(), key=lambda entry: entry.stat().st_mtime)
    for entry in oldest_first[:-_KEPT]:
        entry.unlink()
