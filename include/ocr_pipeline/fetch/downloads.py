"""Downloading one large file, such as a dataset, or looking whether it is there, as carefully as images are fetched."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from yarl import URL

from ocr_pipeline.errors import ErrorCategory, ImageError
from ocr_pipeline.fetch.addresses import AddressGuard
from ocr_pipeline.fetch.failures import RequestFailedError
from ocr_pipeline.fetch.http import Answer, HttpClient, Redirect
from ocr_pipeline.fetch.links import parse_url, redirect_target
from ocr_pipeline.fetch.politeness import Manners
from ocr_pipeline.fetch.proxies import Proxies
from ocr_pipeline.fetch.retries import pause_before_retry
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings

_MAX_REDIRECTS = 10
_SECONDS = 3600.0
_MAX_BYTES = 1 << 40

_Ask = Callable[[HttpClient, URL], Awaitable[Answer | Redirect]]


def download(
    link: str,
    path: Path,
    settings: FetchSettings,
    allowances: Allowances,
    *,
    manners: Manners | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Write what is behind the http(s) URL ``link`` to ``path``.

    Addresses, proxies, retries and the wait for the next bytes are as for images; in all, it may take an hour.

    :param tls: trusted certificate authorities instead of the system's.
    :raises ImageError: with the category of the failure, when it cannot be had.
    """

    async def fetch(client: HttpClient, url: URL) -> Answer | Redirect:
        with path.open("wb") as sink:
            return await client.get(url, _SECONDS, _MAX_BYTES, sink=sink)

    asyncio.run(_request_with_retries(parse_url(link), fetch, settings, allowances, manners or Manners(), tls))


def exists(link: str, settings: FetchSettings, allowances: Allowances) -> bool:
    """Whether there is something behind the http(s) URL ``link``, of which nothing is kept.

    It is asked for as :func:`download` does, and the connection closed on the head of the answer: some servers answer
    a HEAD otherwise or not at all, and a signed URL is good for a GET alone.

    :raises ImageError: with the category of the failure, when neither can be told.
    """

    async def look(client: HttpClient, url: URL) -> Answer | Redirect:
        return await client.get(url, settings.total_timeout, max_bytes=0)

    try:
        asyncio.run(_request_with_retries(parse_url(link), look, settings, allowances, Manners(), None))
    except ImageError as error:
        if error.category is ErrorCategory.NOT_FOUND:
            return False
        if error.category is not ErrorCategory.TOO_LARGE:  # that is what having any body is here
            raise
    return True


async def _request_with_retries(
    url: URL,
    ask: _Ask,
    settings: FetchSettings,
    allowances: Allowances,
    manners: Manners,
    tls: ssl.SSLContext | None,
) -> None:
    """Have ``url`` requested, again after a failure that may pass.

    :raises ImageError: when there is no body at the end of it.
    """
    guard = AddressGuard(allowances)
    proxies = Proxies(guard) if allowances.proxy else None
    attempt = 0
    async with HttpClient(settings, guard, None, tls, proxies, allowances.site) as client:
        while True:
            attempt += 1
            try:
                return await _attempt(client, url, ask)
            except RequestFailedError as error:
                pause = pause_before_retry(attempt, error.retry_after, manners)
                if not error.category.retryable or attempt >= settings.attempts or pause is None:
                    raise
            await asyncio.sleep(pause)


async def _attempt(client: HttpClient, url: URL, ask: _Ask) -> None:
    """Request ``url`` once, and where it redirects to.

    :raises ImageError: when there is no body at the end of it.
    """
    for _ in range(_MAX_REDIRECTS + 1):
        outcome = await ask(client, url)
        if isinstance(outcome, Answer):
            return
        url = redirect_target(url, outcome.location)
    raise ImageError(
        ErrorCategory.TOO_MANY_REDIRECTS, f"more than {_MAX_REDIRECTS} redirects, the last from {url.host}"
    )
