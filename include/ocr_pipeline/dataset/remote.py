"""Datasets that lie elsewhere: on a web server or in an object store. Their files are copied to a local disk."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import replace
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
from ocr_pipeline.fetch import download
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
        kind = DatasetUnavailableError if error.category.retryable else DatasetError
        if error.category is ErrorCategory.NOT_FOUND:
            kind = DatasetMissingError
        raise kind(f"dataset {shown_address(entry)}: {error.detail}") from error
    # Without its login, which would be stored with the plan.
    return Found(str(URL(entry).with_user(None).join(URL("."))), (DataFile(copy, shown_address(entry)),))


def find_objects(entry: str, allowances: Allowances, scratch: Path) -> Found:
    """What ``entry`` names in a bucket: an object, a folder of images, or a glob of either.

    :raises DatasetMissingError: when there is nothing.
    :raises DatasetError: when it is not allowed, or matches images and other objects.
    :raises StorageError: when the store cannot be asked.
    """
    try:
        uri = ObjectUri.parse(entry)
        if WILDCARDS.search(uri.key):
            return _find_matches(uri, allowances, scratch)
        folder = ObjectFolder.open(str(uri), allowances)
    except (ValueError, SettingsError) as error:
        raise DatasetError(f"dataset {shown_address(entry)}: {error}") from None
    if uri.key and not entry.endswith("/"):
        try:
            file = _copy(ObjectFile(folder.bucket, str(uri), uri.key), scratch)
            return Found(str(replace(uri, key=uri.key.rpartition("/")[0])), (file,))
        except FileNotFoundError:
            pass  # then it may be the name of a folder
    images = (name for name in folder.walk() if is_image(name))
    first = next(images, None)
    if first is None:
        raise DatasetMissingError(f"dataset {uri}: there is no such object, and no folder of images")
    return Found(folder.uri, images=chain([first], images))


def _find_matches(uri: ObjectUri, allowances: Allowances, scratch: Path) -> Found:
    wildcard = WILDCARDS.search(uri.key)
    assert wildcard is not None
    check_pattern(str(uri), uri.key)
    prefix, _, rest = uri.key[: wildcard.start()].rpartition("/")
    folder = ObjectFolder.open(str(replace(uri, key=prefix)), allowances)
    pattern = _regular(rest + uri.key[wildcard.start() :])
    names = [name for name in folder.walk() if pattern.fullmatch(name)]
    if not names:
        raise DatasetMissingError(f"dataset {uri}: no object matches")
    others = [name for name in names if not is_image(name)]
    if not others:
        return Found(folder.uri, images=iter(names))
    if len(others) < len(names):
        raise DatasetError(f"dataset {uri}: it matches images and other objects, such as {others[0]}; narrow it down")
    return Found(folder.uri, tuple(_copy(folder.file(name), scratch) for name in names))


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
