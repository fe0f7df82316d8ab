"""From host names to addresses that may be connected to."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult

from ocr_pipeline.fetch.addresses import AddressGuard, AddressRefusedError


class SystemResolver(AbstractResolver):
    """The system's ``getaddrinfo`` in ``threads`` threads of its own.

    The event loop's default pool has a thread or two a core: a few dead names, of which each takes the system
    ten seconds and more to give up, would hold up every other name, and file reads as well.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Every address of ``host`` in the order the system prefers.

        :raises OSError: if it has none.
        """
        ask = partial(
            socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        answers = await asyncio.get_running_loop().run_in_executor(self._pool, ask)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in answers
        ]

    async def close(self) -> None:
        """Let go of the threads; those still waiting for the system end when it answers."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class GuardedResolver(AbstractResolver):
    """Leaves out of the answers of ``resolver`` what ``guard`` refuses."""

    def __init__(self, resolver: AbstractResolver, guard: AddressGuard) -> None:
        self._resolver = resolver
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of ``host`` that may be connected to.

        :raises AddressRefusedError: if it has addresses and none of them may be.
        :raises OSError: if it has none.
        """
        usable: list[ResolveResult] = []
        refused: AddressRefusedError | None = None
        for result in await self._resolver.resolve(host, port, family):
            try:
                self._guard.check(result["host"], port)
            except AddressRefusedError as error:
                refused = error
            else:
                usable.append(result)
        if refused and not usable:
            raise refused
        return usable

    async def close(self) -> None:
        """Close the resolver underneath."""
        await self._resolver.close()
