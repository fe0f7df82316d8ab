"""Reading images from object stores, with the credentials that the deployment gives."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError

from ocr_pipeline.errors import ErrorCategory, SettingsError
from ocr_pipeline.fetch.answers import Answer, IncomingBody
from ocr_pipeline.fetch.budget import Lease
from ocr_pipeline.fetch.deadlines import Deadline
from ocr_pipeline.fetch.failures import RequestFailedError, refused_by_status
from ocr_pipeline.settings.deployment import Allowances, AllowedStore, ObjectUri
from ocr_pipeline.settings.run import FetchSettings
from ocr_pipeline.storage.buckets import find_store, open_bucket
from ocr_pipeline.storage.store_errors import Cause, explain

if TYPE_CHECKING:
    from ocr_pipeline.storage.buckets import Bucket

_NO_DEADLINE = 24 * 3600.0  # the deadlines here end a request, and say which one has passed

_CATEGORIES = {
    Cause.BAD_KEY: ErrorCategory.INVALID_LINK,
    Cause.NO_CREDENTIALS: ErrorCategory.CONNECT_FAILED,
    Cause.NO_ADDRESS: ErrorCategory.NAME_NOT_RESOLVED,
    Cause.NO_CONNECTION: ErrorCategory.CONNECT_FAILED,
    Cause.BAD_CERTIFICATE: ErrorCategory.TLS_FAILED,
    Cause.NOT_SENT: ErrorCategory.CONNECTION_LOST,
    Cause.BROKEN_OFF: ErrorCategory.CONNECTION_LOST,
    Cause.TIMEOUT: ErrorCategory.TIMEOUT,
    Cause.REDIRECTS: ErrorCategory.TOO_MANY_REDIRECTS,
    Cause.OTHER_REGION: ErrorCategory.BAD_RESPONSE,
    Cause.NO_SIZE: ErrorCategory.BAD_RESPONSE,
    Cause.NOT_HTTP: ErrorCategory.BAD_RESPONSE,
    Cause.UNKNOWN: ErrorCategory.BAD_RESPONSE,
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
        deadline = Deadline(self._settings.total_timeout)
        try:
            async with deadline:
                return await self._read(bucket, uri, deadline, lease)
        except TimeoutError:
            raise RequestFailedError(ErrorCategory.TIMEOUT, f"{_name(uri)} {self._which_deadline(deadline)}") from None
        except ValueError:
            raise RequestFailedError(ErrorCategory.INVALID_LINK, f"{_name(uri)}: {Cause.BAD_KEY.value}") from None
        except (BaseError, OSError) as error:
            raise _failure(error, uri) from None

    def _open(self, store: AllowedStore) -> Bucket:
        key = (store.scheme, store.bucket, store.prefix)
        if key not in self._buckets:
            self._buckets[key] = open_bucket(store, retries=0, timeout=_NO_DEADLINE)
        return self._buckets[key]

    async def _read(self, bucket: Bucket, uri: ObjectUri, deadline: Deadline, lease: Lease) -> Answer:
        settings = self._settings
        clock = asyncio.get_running_loop().time
        since = clock()
        deadline.expect_within(settings.connect_timeout + settings.read_timeout)
        result = await obstore.get_async(bucket, uri.key)
        waited = clock() - since
        body = IncomingBody(_name(uri), 200, settings.max_bytes, deadline, lease)
        await body.expect(result.meta["size"])
        deadline.expect_within(settings.read_timeout)
        async for part in result.stream(min_chunk_size=1):  # as they come, so that silence shows
            deadline.expect_within(settings.read_timeout)
            await body.add(bytes(part))
        return Answer(200, *body.whole(), waited)

    def _which_deadline(self, deadline: Deadline) -> str:
        settings = self._settings
        if not deadline.passed:
            return f"sent nothing for read_timeout={settings.read_timeout:g} s"
        return f"had not sent everything within total_timeout={settings.total_timeout:g} s"


def _name(uri: ObjectUri) -> str:
    return f"{uri.scheme}://{uri.bucket}"


def _failure(error: Exception, uri: ObjectUri) -> RequestFailedError:
    """What ``error`` of obstore means. It quotes the answer, which may name credentials, and so is not quoted."""
    failure = explain(error)
    if failure.status is not None:
        code = f" ({failure.code})" if failure.code else ""
        return refused_by_status(failure.status, f"{_name(uri)} answered HTTP {failure.status}{code}")
    category = _CATEGORIES[failure.cause]
    connected = category not in (ErrorCategory.NAME_NOT_RESOLVED, ErrorCategory.CONNECT_FAILED)
    return RequestFailedError(category, f"{_name(uri)}: {failure}", connected=connected)
