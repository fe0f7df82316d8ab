"""Datasets that lie elsewhere: on a web server or in an object store. Their files are copied to a local disk."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from yarl import URL

from ocr_pipeline.dataset.files import DataFile
from ocr_pipeline.dataset.locations import WILDCARDS, Found, check_pattern, is_image, set_of_characters
from ocr_pipeline.errors import (
    DatasetError,
    DatasetMissingError,
    DatasetUnavailableError,
    ErrorCategory,
    ImageError,
    SettingsError,
)
from ocr_pipeline.fetch import download, exists
from ocr_pipeline.settings.addresses import STORE_SCHEMES, shown_address
from ocr_pipeline.settings.deployment import Allowances, ObjectUri
from ocr_pipeline.settings.run import FetchSettings
from ocr_pipeline.storage.objects import ObjectFile, ObjectFolder

_GLOB_PARTS = re.compile(r"\*\*/|\*\*|\*|\?|\[!?[^]]+\]|.", re.DOTALL)
_GLOB_MEANINGS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def is_web(entry: str) -> bool:
    """Whether ``entry`` is an http(s) URL."""
    return entry.lower().startswith(("http://", "https://"))


def is_object(entry: str) -> bool:
    """Whether ``entry`` is the URI of something in an object store."""
    return entry.lower().startswith(tuple(f"{scheme}://" for scheme in STORE_SCHEMES))


def find_web(entry: str, settings: FetchSettings, allowances: Allowances, scratch: Path) -> Found:
    """The file behind the URL ``entry``, fetched under the same guard as images are.

    :raises DatasetMissingError: when the server says that it is not there.
    :raises DatasetUnavailableError: when it cannot be had now.
    :raises DatasetError: when it cannot be had, or may not be.
    """
    copy = _new_path(scratch)
    try:
        download(entry, copy, settings, allowances)
    except ImageError as error:
        raise _refusal(entry, error) from error
    # Without its login, which would be stored with the plan.
    return Found(str(URL(entry).with_user(None).join(URL("."))), (DataFile(copy, shown_address(entry)),))


def look_for_web(entry: str, settings: FetchSettings, allowances: Allowances) -> None:
    """Ask whether there is something behind the URL ``entry``.

    :raises DatasetMissingError: when the server says that there is not.
    :raises DatasetUnavailableError: when it cannot be asked now.
    :raises DatasetError: when it will not say, or may not be asked.
    """
    try:
        there = exists(entry, settings, allowances)
    except ImageError as error:
        raise _refusal(entry, error) from error
    if not there:
        raise DatasetMissingError(f"dataset {shown_address(entry)}: the server says that it is not there")


def _refusal(entry: str, error: ImageError) -> DatasetError:
    kind = DatasetUnavailableError if error.category.retryable else DatasetError
    if error.category is ErrorCategory.NOT_FOUND:
        kind = DatasetMissingError
    return kind(f"dataset {shown_address(entry)}: {error.detail}")


def find_objects(entry: str, allowances: Allowances, scratch: Path) -> Found:
    """What ``entry`` names in a bucket: an object, a folder of images, or a glob of either.

    :raises DatasetMissingError: when there is nothing.
    :raises DatasetError: when it is not allowed, or matches images and other objects.
    :raises StorageError: when the store cannot be asked.
    """
    place = _Place.of(entry, allowances)
    if place.file:
        try:
            file = _copy(place.file, scratch)
            return Found(str(replace(place.uri, key=place.uri.key.rpartition("/")[0])), (file,))
        except FileNotFoundError:
            pass  # then it may be the name of a folder
    names = place.names()
    if not place.pattern:
        return Found(place.folder.uri, images=names)
    matches = list(names)
    others = [name for name in matches if not is_image(name)]
    if not others:
        return Found(place.folder.uri, images=iter(matches))
    if len(others) < len(matches):
        raise DatasetError(
            f"dataset {place.uri}: it matches images and other objects, such as {others[0]}; narrow it down"
        )
    return Found(place.folder.uri, tuple(_copy(place.folder.file(name), scratch) for name in matches))


def look_for_objects(entry: str, allowances: Allowances) -> None:
    """Ask whether ``entry`` names anything in a bucket, as :func:`find_objects` would find it.

    :raises DatasetMissingError: when there is nothing.
    :raises DatasetError: when it is not allowed.
    :raises StorageError: when the store cannot be asked.
    """
    place = _Place.of(entry, allowances)
    if not (place.file and place.file.exists()):
        place.names()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a bucket to look: for ``file`` first, if given, then in ``folder``, for ``pattern`` or for images."""

    uri: ObjectUri
    folder: ObjectFolder
    file: ObjectFile | None = None
    pattern: re.Pattern[str] | None = None

    @classmethod
    def of(cls, entry: str, allowances: Allowances) -> _Place:
        """The place that ``entry`` names.

        :raises DatasetError: when it is no place in a bucket, or not allowed.
        """
        try:
            uri = ObjectUri.parse(entry)
            fixed = _fixed(uri, allowances)
            folder = ObjectFolder.open(str(replace(uri, key=fixed)), allowances)
            if fixed != uri.key:
                pattern = uri.key[len(fixed) :].lstrip("/")
                check_pattern(str(uri), pattern)
                return cls(uri, folder, pattern=_regular(pattern))
        except (ValueError, SettingsError) as error:
            raise DatasetError(f"dataset {shown_address(entry)}: {error}") from None
        is_file = uri.key and not entry.endswith("/")
        return cls(uri, folder, ObjectFile(folder.bucket, str(uri), uri.key) if is_file else None)

    def names(self) -> Iterator[str]:
        """What matches in the folder, or else the images in it. No more of it is listed than is taken.

        :raises DatasetMissingError: when there is nothing.
        """
        wanted = self.pattern.fullmatch if self.pattern else is_image
        found = (name for name in self.folder.walk() if wanted(name))
        first = next(found, None)
        if first is None:
            nothing = "no object matches" if self.pattern else "there is no such object, and no folder of images"
            raise DatasetMissingError(f"dataset {self.uri}: {nothing}")
        return chain([first], found)


def _fixed(uri: ObjectUri, allowances: Allowances) -> str:
    """The beginning of the key of ``uri`` before its first pattern; all of it when it is no glob.

    A part with brackets that is there by this very name, such as a folder ``[2024]``, is no pattern.
    """
    fixed = ""
    for end in [*(found.start() for found in re.finditer("/", uri.key)), len(uri.key)]:
        part = uri.key[:end].rpartition("/")[2]
        if WILDCARDS.search(part) and not ("[" in part and _is_there(replace(uri, key=uri.key[:end]), allowances)):
            return fixed
        fixed = uri.key[:end]
    return fixed


def _is_there(uri: ObjectUri, allowances: Allowances) -> bool:
    """Whether there is an object of this name, or one in a folder of it."""
    folder = ObjectFolder.open(str(uri), allowances)
    return next(folder.walk(), None) is not None or ObjectFile(folder.bucket, str(uri), uri.key).exists()


def _regular(pattern: str) -> re.Pattern[str]:
    """The regular expression for a glob, in which ``**`` stands for any folders."""
    parts = (
        set_of_characters(part) if len(part) > 2 and part[0] == "[" else _GLOB_MEANINGS.get(part, re.escape(part))
        for part in _GLOB_PARTS.findall(pattern)
    )
    return re.compile("".join(parts), re.DOTALL)


def _copy(file: ObjectFile, scratch: Path) -> DataFile:
    copy = _new_path(scratch)
    with file.reading() as path:
        shutil.move(path, copy)
    return DataFile(copy, str(file))


def _new_path(scratch: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=scratch)) / "file"
