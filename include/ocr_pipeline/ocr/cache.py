"""A folder for files that only save time, such as compiled models."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder(name: str) -> Path:
    """The folder ``name`` in this user's cache, made if need be.

    It lies under ``$XDG_CACHE_HOME``, else ``~/.cache``; where that cannot be written (a read-only container),
    in the folder for temporary files, kept apart by user.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    try:
        return _make(Path(home) / "ocr-pipeline" / name)
    except OSError:
        return _make(Path(tempfile.gettempdir()) / f"ocr-pipeline-{os.getuid()}" / name)


def _make(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written")
    return folder
