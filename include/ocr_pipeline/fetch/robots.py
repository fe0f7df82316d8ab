"""What hosts ask of automated clients: ``X-Robots-Tag`` headers and robots.txt files (RFC 9309)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from protego import Protego
from yarl import URL

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch.failures import RequestFailedError
from ocr_pipeline.fetch.sharing import SharedAnswers

OPT_OUTS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
"""Directives by which a host asks that an image be left alone; the first two are DeviantArt's, the rest Google's."""

ROBOTS_BYTES = 500 * 1024
"""A larger robots.txt is taken for something else; RFC 9309, 2.5, asks clients to read at least as much."""

_HOSTS = 10_000
_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})

ROBOTS_LIFETIME = 24 * 3600.0
"""Seconds for which what a host's robots.txt says may be remembered: RFC 9309, 2.4."""


def product_token(user_agent: str) -> str:
    """The name by which rules address the sender of ``user_agent``: what stands before its version, in lower case."""
    return "".join(user_agent.partition("/")[0].split()[:1]).lower()


def opt_out(tags: Iterable[str], token: str) -> str | None:
    """The directive among X-Robots-Tag headers by which the host asks ``token`` to leave the image alone, if any."""
    for tag in tags:
        addressee = token
        for part in tag.lower().split(","):
            name, colon, value = (text.strip() for text in part.partition(":"))
            if colon and name not in _WITH_VALUE:  # a robot's name, to whom the rest of the header speaks
                addressee, name = name, value
            if addressee in (token, "*") and name in OPT_OUTS:
                return name
    return None


class RobotsFiles:
    """The robots.txt of each host, asked for once.

    :param token: the name that their rules know us by.
    :param shared: what other processes have asked for as well.
    """

    def __init__(self, token: str, shared: SharedAnswers | None = None) -> None:
        self._token = token
        self._shared = shared
        self._rules: dict[URL, asyncio.Future[Protego]] = {}

    def close(self) -> None:
        """Ask no more."""
        if self._shared:
            self._shared.close()

    async def check(self, url: URL, get: Callable[[URL], Awaitable[bytes]]) -> None:
        """Pass silently if ``url`` may be requested; ``get`` requests a robots.txt.

        A robots.txt that the host refuses or that makes no sense allows everything; one that cannot be had for
        reasons that may pass is asked for again with the next image.

        :raises RequestFailedError: ROBOTS_REFUSED, or why there is no robots.txt if that may change.
        """
        rules = await self._of(url.origin(), get)
        if not rules.can_fetch(str(url.with_user(None)), self._token):
            raise RequestFailedError(
                ErrorCategory.ROBOTS_REFUSED, f"the robots.txt of {url.host_port_subcomponent} asks not to fetch this"
            )

    async def _of(self, origin: URL, get: Callable[[URL], Awaitable[bytes]]) -> Protego:
        known = self._rules.get(origin)
        if known is not None:
            try:
                return await asyncio.shield(known)
            except RequestFailedError as error:  # each image gets one of its own, to which its own story is added
                raise error.copy() from None
        if len(self._rules) >= _HOSTS:
            self._rules.pop(next(origin for origin, rules in self._rules.items() if rules.done()), None)
        asked = self._rules[origin] = asyncio.get_running_loop().create_future()
        try:
            rules = await self._fetch(origin, get)
        except BaseException as error:
            del self._rules[origin]
            if not isinstance(error, RequestFailedError):
                error = RequestFailedError(ErrorCategory.CONNECTION_LOST, "robots.txt: the request was cancelled")
            asked.set_exception(error.copy())
            asked.exception()  # nobody else may have waited for it, which is no reason to complain
            raise
        asked.set_result(rules)
        return rules

    async def _fetch(self, origin: URL, get: Callable[[URL], Awaitable[bytes]]) -> Protego:
        ask = partial(_ask, origin, get)
        content = await (self._shared.get(str(origin), ask) if self._shared else ask())
        return Protego.parse(content.decode("utf-8", errors="replace"))


async def _ask(origin: URL, get: Callable[[URL], Awaitable[bytes]]) -> bytes:
    """The robots.txt of ``origin``, empty where it has none."""
    try:
        return await get(origin / "robots.txt")
    except RequestFailedError as error:
        if error.status is not None and not error.category.retryable:
            return b""
        error.detail = f"robots.txt: {error.detail}"
        raise
