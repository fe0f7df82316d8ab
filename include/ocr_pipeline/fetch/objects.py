"""Reading images from object stores, with the credentials that the deployment gives."""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING

from ocr_pipeline.errors import ErrorCategory, SettingsError
from ocr_pipeline.fetch.budget import Lease, wait_for_room
from ocr_pipeline.fetch.failures import RequestFailedError, refused_by_status
from ocr_pipeline.fetch.http import Answer
from ocr_pipeline.settings.deployment import Allowances, AllowedStore, ObjectUri
from ocr_pipeline.settings.run import FetchSettings
from ocr_pipeline.storage.buckets import find_store, open_bucket

if TYPE_CHECKING:
    from ocr_pipeline.storage.buckets import Bucket

# obstore tells a status, and what broke, only in the debug text that ends its messages. Keys and bodies stand there
# quoted, their line ends escaped, so that none of them can pass for a line of its own.
_DEBUG = "Debug source:\n"
_STATUS = re.compile(r"^ *status: (\d{3}),$", re.MULTILINE)
_KIND = re.compile(r"^ *kind: (Connect|Request|Timeout|Interrupted),$", re.MULTILINE)
_NO_DEADLINE = 24 * 3600.0  # the deadlines here end a request, and say which one has passed
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_OF_CREDENTIALS = re.compile(r"^ *(method: P|https?://(169\.254\.|metadata\.google|oauth2\.))", re.MULTILINE)
_KINDS = {
    "Request": (ErrorCategory.CONNECTION_LOST, "the request could not be sent"),
    "Interrupted": (ErrorCategory.CONNECTION_LOST, "the connection broke before the end"),
    "Timeout": (ErrorCategory.TIMEOUT, "the store did not answer in time"),
}
_BAD_ANSWERS = {
    "BareRedirect": "the bucket is in another region than its connection or the environment says",
    "MissingContentLength": "the store does not say how large the object is",
    "Parse(": "the answer is not valid HTTP",
}


class ObjectClient:
    """Reads objects of the stores that ``allowances`` name; each is opened once and keeps its connections alive.

    An endpoint is part of the deployment's word: unlike the host of a link, it may be at a private address.
    """

    def __init__(self, settings: FetchSettings, allowances: Allowances) -> None:
        self._settings = settings
        self._allowances = allowances
        self._buckets: dict[tuple[str, str, str], Bucket] = {}

    async def get(self, uri: ObjectUri, lease: Lease) -> Answer:
        """Read the object ``uri`` whole, within the deadlines and the size of the settings. It is asked for once.

        Its bytes are set aside with ``lease``; waiting for them does not count as part of the time.

        :raises RequestFailedError: with the category of the failure; its detail quotes nothing of the answer but
            the store's own code for the error.
        """
        try:
            store, _ = find_store(str(uri), self._allowances)
            bucket = self._open(store)
        except SettingsError as error:
            raise RequestFailedError(ErrorCategory.FORBIDDEN_STORE, str(error)) from None
        from obstore.exceptions import BaseError

        end = asyncio.get_running_loop().time() + self._settings.total_timeout
        try:
            async with asyncio.timeout_at(end) as deadline:
                return await self._read(bucket, uri, deadline, end, lease)
        except TimeoutError:
            raise RequestFailedError(ErrorCategory.TIMEOUT, f"{_name(uri)} {self._which_deadline(end)}") from None
        except ValueError:
            detail = f"no object of {_name(uri)} can have this key"
            raise RequestFailedError(ErrorCategory.INVALID_LINK, detail) from None
        except (BaseError, OSError) as error:
            raise _classify(error, uri) from None

    def _open(self, store: AllowedStore) -> Bucket:
        key = (store.scheme, store.bucket, store.prefix)
        if key not in self._buckets:
            self._buckets[key] = open_bucket(store, retries=0, timeout=_NO_DEADLINE)
        return self._buckets[key]

    async def _read(
        self, bucket: Bucket, uri: ObjectUri, deadline: asyncio.Timeout, end: float, lease: Lease
    ) -> Answer:
        import obstore

        settings = self._settings
        clock = asyncio.get_running_loop().time
        since = clock()
        deadline.reschedule(min(end, since + settings.connect_timeout + settings.read_timeout))
        result = await obstore.get_async(bucket, uri.key)
        waited = clock() - since
        digest = hashlib.sha256()
        parts: list[bytes] = []
        size = result.meta["size"]
        if size > settings.max_bytes:
            raise _too_large(uri, f"announces {size:,} bytes, more", settings.max_bytes)
        if not lease.covers(size):
            end += await wait_for_room(lease, size, deadline)
        size = 0
        deadline.reschedule(min(end, clock() + settings.read_timeout))
        async for part in result.stream(min_chunk_size=1):  # as they come, so that silence shows
            deadline.reschedule(min(end, clock() + settings.read_timeout))
            size += len(part)
            if size > settings.max_bytes:
                raise _too_large(uri, "sends more bytes", settings.max_bytes)
            if not lease.covers(size):
                end += await wait_for_room(lease, size, deadline)
            digest.update(part)
            parts.append(bytes(part))
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        return Answer(200, body, digest.hexdigest(), waited)

    def _which_deadline(self, end: float) -> str:
        settings = self._settings
        if asyncio.get_running_loop().time() < end:
            return f"sent nothing for read_timeout={settings.read_timeout:g} s"
        return f"had not sent everything within total_timeout={settings.total_timeout:g} s"


def _name(uri: ObjectUri) -> str:
    return f"{uri.scheme}://{uri.bucket}"


def _too_large(uri: ObjectUri, what: str, max_bytes: int) -> RequestFailedError:
    detail = f"{_name(uri)} {what} than max_bytes={max_bytes:,} allows"
    return RequestFailedError(ErrorCategory.TOO_LARGE, detail, 200)


def _classify(error: Exception, uri: ObjectUri) -> RequestFailedError:
    """What ``error`` of obstore means. It quotes the answer, which may name credentials, and so is not quoted."""
    told = str(error).rpartition(_DEBUG)[2]
    if _OF_CREDENTIALS.search(told):
        detail = f"{_name(uri)}: no credentials could be had for it, neither from its connection nor from this machine"
        return RequestFailedError(ErrorCategory.CONNECT_FAILED, detail, connected=False)
    if status := _STATUS.search(told):
        code = _CODE.search(told)
        says = f"{_name(uri)} answered HTTP {status[1]}" + (f" ({code[1]})" if code else "")
        return refused_by_status(int(status[1]), says)
    category, detail = _meaning(told)
    connected = category not in (ErrorCategory.NAME_NOT_RESOLVED, ErrorCategory.CONNECT_FAILED)
    return RequestFailedError(category, f"{_name(uri)}: {detail}", connected=connected)


def _meaning(told: str) -> tuple[ErrorCategory, str]:
    if "TooManyRedirects" in told:
        return ErrorCategory.TOO_MANY_REDIRECTS, "more redirects than are followed"
    for sign, detail in _BAD_ANSWERS.items():
        if sign in told:
            return ErrorCategory.BAD_RESPONSE, detail
    kind = _KIND.search(told)
    if kind is None:
        return ErrorCategory.BAD_RESPONSE, "the answer makes no sense"
    if kind[1] in _KINDS:
        return _KINDS[kind[1]]
    if "InvalidCertificate" in told:
        return ErrorCategory.TLS_FAILED, "its certificate is not valid"
    if "dns error" in told:
        return ErrorCategory.NAME_NOT_RESOLVED, "the name of its endpoint has no address"
    return ErrorCategory.CONNECT_FAILED, "no connection could be made to its endpoint"
