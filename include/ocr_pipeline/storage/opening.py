"""Opening a folder by its address, a path or a URI, where the deployment allows it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from ocr_pipeline.errors import SettingsError
from ocr_pipeline.settings.addresses import STORE_SCHEMES, shown_address
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.storage.disk import LocalFolder
from ocr_pipeline.storage.folders import Folder
from ocr_pipeline.storage.patience import PATIENCE, Patience


def open_folder(uri: str, allowances: Allowances, patience: Patience = PATIENCE) -> Folder:
    """The folder at ``uri``, an absolute path or the URI of a prefix in a bucket; it need not be there yet.

    :param patience: with the store of a bucket.
    :raises SettingsError: when it is neither, or not allowed, or the bucket's connection cannot be used.
    """
    if uri.partition("://")[0].lower() in STORE_SCHEMES:
        from ocr_pipeline.storage.objects import ObjectFolder  # here, as most runs need no client of object stores

        return ObjectFolder.open(uri, allowances, patience)
    if not uri.startswith(("/", "~")):
        raise SettingsError(
            f"folder {shown_address(uri)!r} must be absolute, such as /data/ocr, or in a bucket, such as s3://bucket/ocr"
        )
    try:
        path = Path(os.path.realpath(os.path.expanduser(uri)))
    except ValueError as error:  # a null byte, or text that the file system's encoding has no bytes for
        raise SettingsError(f"folder {uri!r} cannot be used: {error}") from None
    if not allowances.allows_path(path):
        raise SettingsError(
            f"folder {path} is not allowed here: add it to the Airflow variable ocr_allow "
            f"(with make run: ALLOW={shlex.quote(str(path))})"
        )
    return LocalFolder(path)
