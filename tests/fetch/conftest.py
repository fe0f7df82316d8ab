"""A misbehaving server and a way to fetch from it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
from aiohttp.abc import AbstractResolver

from ocr_pipeline.fetch import Fetcher, RetryPolicy
from ocr_pipeline.records import Failure, FetchedImage, ImageRef
from ocr_pipeline.settings.deployment import Allowances
from ocr_pipeline.settings.run import FetchSettings
from tests.misbehaving_server import MisbehavingServer

QUICK = RetryPolicy(backoff=0.01, max_backoff=0.05)
IMPATIENT: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 0.6, "total_timeout": 1.5}


class Fetch(Protocol):
    """Fetch links one after the other with one fetcher, which may touch what ``allow`` names."""

    def __call__(
        self,
        *links: str,
        allow: Sequence[str] | Allowances = (),
        base: Path | None = None,
        policy: RetryPolicy = QUICK,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
        **settings: Any,
    ) -> list[FetchedImage | Failure]: ...


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with MisbehavingServer() as server:
        yield server


@pytest.fixture
def other_server() -> Iterator[MisbehavingServer]:
    with MisbehavingServer() as server:
        yield server


@pytest.fixture
def fetch(server: MisbehavingServer) -> Fetch:
    """Fetches; ``server`` is allowed unless ``allow`` says otherwise."""

    def run(
        *links: str, allow: Sequence[str] | Allowances | None = None, **options: Any
    ) -> list[FetchedImage | Failure]:
        allow = [server.address] if allow is None else allow
        allowances = allow if isinstance(allow, Allowances) else Allowances.parse(allow)
        extra = {name: options.pop(name) for name in ("base", "resolver", "tls") if name in options}
        policy = options.pop("policy", QUICK)

        async def fetch_all() -> list[FetchedImage | Failure]:
            async with Fetcher(FetchSettings(**options), allowances, policy=policy, **extra) as fetcher:
                return [await fetcher.fetch(ImageRef(row, link)) for row, link in enumerate(links)]

        return asyncio.run(fetch_all())

    return run


@pytest.fixture
def closed_port() -> int:
    """A port of 127.0.0.1 where nobody listens."""
    with MisbehavingServer() as server:
        return server.port


def image_of(result: FetchedImage | Failure) -> FetchedImage:
    assert isinstance(result, FetchedImage), result
    return result


def failure_of(result: FetchedImage | Failure) -> Failure:
    assert isinstance(result, Failure), result
    return result
