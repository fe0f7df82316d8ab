"""Where a dataset lies: from what the setting says to files on a local disk."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from errno import EACCES, EINVAL, ELOOP, ENAMETOOLONG, EPERM
from itertools import chain
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ocr_pipeline.dataset.files import DataFile
from ocr_pipeline.errors import DatasetError, DatasetMissingError, DatasetUnavailableError
from ocr_pipeline.settings.addresses import shown_address, split_entries
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.storage.allowed_files import place_of

WILDCARDS = re.compile(r"[*?\[]")
"""What makes a path a glob."""

_SETS = re.compile(r"\[!?[^]]+\]")
_PERMANENT = frozenset({EACCES, EPERM, ENAMETOOLONG, ELOOP, EINVAL})

IMAGES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".pdf"),
    *(".jp2", ".j2k", ".jpx", ".avif", ".heic", ".heif", ".jxl", ".psd", ".tga", ".ico", ".icns", ".pcx", ".dcx"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".sgi", ".qoi"),
)
"""How the names of files in a folder end that are taken for images; of one that cannot be read, its row says why."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found at a location: files of rows, or images, by their links relative to ``base``."""

    base: str
    files: tuple[DataFile, ...] = ()
    images: Iterator[str] | None = None


def local_folders(dataset: str) -> list[Path]:
    """The folders that must be allowed for the local files that the setting names."""
    return [_folder(_local_path(entry)) for entry in split_entries(dataset) if is_local(entry)]


def is_local(entry: str) -> bool:
    """Whether ``entry`` is a path or file URL."""
    return entry.startswith(("/", "~", "file:"))


def unknown_place(entry: str) -> DatasetError:
    """What is said of an ``entry`` of no known kind."""
    shown = shown_address(entry)
    return DatasetError(
        f"dataset {shown!r} must be an absolute path, an http(s)://, s3:// or gs:// address, or sql:CONNECTION"
    )


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image; hidden ones are not."""
    return name.lower().endswith(IMAGES) and not name.rpartition("/")[2].startswith(".")


def check_pattern(shown: str, pattern: str) -> None:
    """Check that the sets in a glob, such as ``[a-f]``, are some.

    :param shown: the dataset's address as it may be shown.
    :raises DatasetError: when one is none, saying why.
    """
    for found in _SETS.finditer(pattern):
        try:
            re.compile(set_of_characters(found[0]))
        except re.error as error:
            raise DatasetError(
                f"dataset {shown}: {found[0]} is no set of characters ({error.msg}); write the lower end of a range "
                "first, as in [a-z], and [[] for the character ["
            ) from None


def set_of_characters(part: str) -> str:
    """The regular expression for a set of a glob, ``[a-z]`` or ``[!a-z]``, in which all else stands for itself."""
    negated = "^" if part[1] == "!" and len(part) > 3 else ""
    characters = re.escape(part[1 + len(negated) : -1]).replace(r"\-", "-").replace("--", r"-\-")
    return f"[{negated}{characters}]"


def find_local(entry: str, allowances: Allowances) -> Found:
    """What ``entry`` names: a file, a folder of images, or a glob of either. None of them is opened.

    :raises DatasetMissingError: when there is nothing.
    :raises DatasetUnavailableError: when the file system does not answer as it should.
    :raises DatasetError: when it is not allowed, or no path that can be looked at.
    """
    try:
        return _find_local(_local_path(entry), allowances)
    except ValueError as error:  # a null byte, or text that the file system's encoding has no bytes for
        raise DatasetError(f"dataset {shown_address(entry)!r}: no file can have this path ({error})") from None
    except OSError as error:
        kind = DatasetError if error.errno in _PERMANENT else DatasetUnavailableError
        raise kind(f"dataset {shown_address(entry)!r} cannot be looked at: {error.strerror}") from None


def _find_local(path: Path, allowances: Allowances) -> Found:
    folder = Path(os.path.realpath(_folder(path)))
    # Before anything else: what lies outside must not be told apart from what does not exist.
    _check_allowed(Path(os.path.realpath(path)), allowances)
    if path.is_dir():
        walk = _walk(folder, allowances)
        first = next(walk, None)
        if first is None:
            raise DatasetMissingError(
                f"dataset {folder}: there are no images in this folder; for files of rows name them, such as "
                f"{folder}/*.csv"
            )
        return Found(str(folder), images=chain([first], walk))
    if path.is_file():
        return Found(str(folder), (DataFile(Path(os.path.realpath(path)), str(path), allowances),))
    fixed = _fixed(path)
    if fixed == path:
        raise DatasetMissingError(f"dataset {path}: there is no such file")
    pattern = str(path.relative_to(fixed))
    check_pattern(str(path), pattern)
    found = glob.iglob(os.path.join(glob.escape(str(fixed)), pattern), recursive=True)
    matches = sorted(match for match in found if os.path.isfile(match))
    if not matches:
        raise DatasetMissingError(f"dataset {path}: no file matches")
    for parent in {os.path.dirname(match) for match in matches}:
        _check_allowed(Path(os.path.realpath(parent)), allowances)
    images = [match for match in matches if is_image(match)]
    if len(images) == len(matches):
        prefix = _folder(path)
        return Found(str(prefix), images=(str(Path(image).relative_to(prefix)) for image in images))
    if images:
        raise DatasetError(f"dataset {path}: it matches images and other files, such as {images[0]}; narrow it down")
    for match in matches:
        _check_allowed(Path(os.path.realpath(match)), allowances)
    return Found(str(_common(matches)), tuple(DataFile(Path(match), match, allowances) for match in matches))


def _common(paths: list[str]) -> Path:
    return Path(os.path.commonpath([os.path.dirname(path) for path in paths]))


def _local_path(entry: str) -> Path:
    if entry.startswith("file:"):
        try:
            parts = urlsplit(entry)
        except ValueError as error:
            raise DatasetError(f"dataset {shown_address(entry)!r}: not a valid file URL ({error})") from None
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise DatasetError(
                f"dataset {shown_address(entry)!r}: a file URL names no host and is absolute: file:///folder/data.csv"
            )
        return Path(unquote(parts.path))
    path = Path(os.path.expanduser(entry))
    if not path.is_absolute():
        raise DatasetError(f"dataset {entry!r} must be an absolute path")
    return path


def _fixed(path: Path) -> Path:
    """The beginning of ``path`` before its first pattern; all of it when it is no glob.

    A part with wildcards that is there by this very name, such as a folder ``[2024]``, is no pattern.
    """
    fixed = Path(path.anchor)
    for part in path.parts[1:]:
        if WILDCARDS.search(part) and not os.path.lexists(fixed / part):
            break
        fixed /= part
    return fixed


def _folder(path: Path) -> Path:
    """Where relative links start: the folder itself, that of the file, or that before a glob's first wildcard."""
    fixed = _fixed(path)
    return fixed if fixed != path or path.is_dir() else path.parent


def _check_allowed(path: Path, allowances: Allowances) -> None:
    shown = _fixed(path)
    if not allowances.allows_path(shown):
        parent = shown if shown.is_dir() else shown.parent
        raise DatasetError(
            f"dataset {path} lies in a folder that is not allowed here: add {parent} to the Airflow "
            f"variable ocr_allow (with make run: ALLOW={shlex.quote(str(parent))})"
        )


def _walk(folder: Path, allowances: Allowances) -> Iterator[str]:
    """The images in ``folder`` and the folders in it, in order; hidden ones are left out.

    :raises DatasetError: when a folder lies elsewhere by the time that it is opened.
    """
    for parent, folders, names, descriptor in os.fwalk(folder):
        if not allowances.allows_resolved(place_of(descriptor)):
            raise DatasetError(f"dataset {folder}: it was swapped for a link out of the allowed folders")
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if is_image(name):
                yield os.path.relpath(os.path.join(parent, name), folder)
