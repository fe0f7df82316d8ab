"""Reading an image file, from allowed folders only."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Literal

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.fetch.answers import Answer
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings
from ocr_pipeline.storage.allowed_files import IrregularError, OutsideError, open_allowed

FILES_AT_ONCE = 4

_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")


class FileReader:
    """Reads files of the folders that ``allowances`` name, :data:`FILES_AT_ONCE` at a time, in threads of its own."""

    def __init__(self, settings: FetchSettings, allowances: Allowances) -> None:
        self._settings = settings
        self._allowances = allowances
        self._threads = ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="read-file")

    def close(self) -> None:
        """Wait for nothing: a thread that hangs in a dead network file system must not hang the task as well."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def get(self, path: Path) -> Answer:
        """Read the file at ``path`` whole, within the total deadline and the size of the settings.

        :raises ImageError: as :func:`read_file` does, or TIMEOUT.
        """
        seconds = self._settings.total_timeout
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, path)
        except TimeoutError:
            detail = f"{path} was not read within total_timeout={seconds:g} s"
            raise ImageError(ErrorCategory.TIMEOUT, detail) from None

    def _read(self, path: Path) -> Answer:
        body = read_file(path, self._settings.max_bytes, self._allowances)
        return Answer(None, body, hashlib.sha256(body).hexdigest())


def read_file(path: Path, max_bytes: int, allowances: Allowances) -> bytes:
    """The bytes of the regular file at ``path``.

    :raises ImageError: FORBIDDEN_PATH, NOT_FOUND, FILE_UNREADABLE, TOO_LARGE, or INVALID_LINK for a path that
        no file can have.
    """
    try:
        with _open(path, allowances) as file:
            return _read_whole(file, max_bytes, path)
    except ValueError as error:  # a null byte, or text that the file system's encoding has no bytes for
        raise ImageError(ErrorCategory.INVALID_LINK, f"no file can have this path: {error}") from None
    except OutsideError as error:
        raise ImageError(
            ErrorCategory.FORBIDDEN_PATH,
            f"{error}; whoever runs the pipeline can allow its folder by name: "
            f"ALLOW={shlex.quote(str(error.path.parent))} with make run, the Airflow variable ocr_allow elsewhere",
        ) from None
    except IrregularError as error:
        raise ImageError(ErrorCategory.FILE_UNREADABLE, str(error)) from None
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(ErrorCategory.NOT_FOUND, f"there is no file {error.filename or path}") from None
    except OSError as error:
        detail = f"{error.filename or path}: {error.strerror or error}"
        raise ImageError(ErrorCategory.FILE_UNREADABLE, detail) from None


def _open(path: Path, allowances: Allowances) -> BinaryIO:
    """The file at ``path``, or the only one whose name has the same letters in another form of Unicode."""
    try:
        return open_allowed(path, allowances)
    except FileNotFoundError:
        other = _in_other_form(path)
        if other is None:
            raise
    return open_allowed(other, allowances)


def _in_other_form(path: Path) -> Path | None:
    """What is there in place of ``path``, where its letters are composed otherwise, as in names that a Mac has written.

    Folders are not listed: they may be large.
    """
    if str(path).isascii():
        return None
    found = Path(path.anchor)
    for part in path.parts[1:]:
        forms = {part} if os.path.lexists(found / part) else {unicodedata.normalize(form, part) for form in _FORMS}
        there = [form for form in forms if os.path.lexists(found / form)]
        if len(there) != 1:
            return None
        found /= there[0]
    return found


def _read_whole(file: BinaryIO, max_bytes: int, path: Path) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if size > max_bytes:
        raise ImageError(ErrorCategory.TOO_LARGE, f"{path} has {size:,} bytes, more than max_bytes={max_bytes:,}")
    body = file.read(size + 1)
    if len(body) > size:  # growing, or a file whose size is not known beforehand
        body += file.read(max_bytes + 1 - len(body))
    if len(body) > max_bytes:
        raise ImageError(ErrorCategory.TOO_LARGE, f"{path} has more bytes than max_bytes={max_bytes:,}")
    return body
