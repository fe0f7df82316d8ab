"""HTTP/1.1 as lenient as curl and browsers read it, for the few hosts whose answers a strict parser refuses.

A connection of its own for each request, closed afterwards: what is oddly framed cannot be told from the answer after
it. Heads are bounded; names of headers are taken without the spaces around them, lines that are no header are left out,
lengths may be repeated if they agree, and chunks go before a length.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from socket import SOCK_STREAM, socket

from multidict import CIMultiDict
from yarl import URL

from ocr_pipeline.errors import ErrorCategory
from ocr_pipeline.fetch.failures import RequestFailedError
from ocr_pipeline.fetch.names import GuardedResolver

HEAD_BYTES = 256 * 1024
"""Most bytes of all lines before the body; Chromium takes as many."""

_LINE_BYTES = 16 * 1024
_STEP = 256 * 1024
_UNKNOWN = "an unknown number of"
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})(?!\d)", re.IGNORECASE)
_LENGTH = re.compile(r"\+?(\d{1,18})")
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LenientResponse:
    """The head of an answer, and its body as it comes.

    ``length`` is that of the body as it is sent, where the host says it.
    """

    status: int
    headers: CIMultiDict[str]
    length: int | None
    body: AsyncIterator[bytes]


OpenSocket = Callable[[tuple[int, int, int, str, tuple[str, int]]], socket]
"""Makes a socket for an address as from ``getaddrinfo``, if it may be connected to."""


@asynccontextmanager
async def lenient_get(
    url: URL, headers: Mapping[str, str], resolver: GuardedResolver, open_socket: OpenSocket, tls: ssl.SSLContext | None
) -> AsyncIterator[LenientResponse]:
    """Request ``url`` and read the head of the answer; the connection ends with the block.

    :raises RequestFailedError: BAD_RESPONSE, when it is not HTTP by any reading; CONNECTION_LOST.
    :raises OSError: when the name has no address, or none that may be connected to.
    """
    host, port = (url.raw_host or "").rstrip("."), url.port or 0
    sock = await _connect(host, port, resolver, open_socket)
    try:
        context = (tls or _usual_tls()) if url.scheme == "https" else None
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=context, server_hostname=host if context else None, limit=HEAD_BYTES
        )
    except BaseException:
        sock.close()
        raise
    try:
        lines = [f"GET {url.raw_path_qs} HTTP/1.1", f"Host: {url.host_port_subcomponent}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
        yield await _read_head(reader, url.host_port_subcomponent or "")
    finally:
        writer.close()


@cache
def _usual_tls() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _connect(host: str, port: int, resolver: GuardedResolver, open_socket: OpenSocket) -> socket:
    loop = asyncio.get_running_loop()
    failure = OSError("the name has no address")
    for found in await resolver.resolve(host, port):
        address = (found["host"], found["port"])
        sock = open_socket((found["family"], SOCK_STREAM, found["proto"], "", address))
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    detail = f"{host}: no second connection could be made ({failure.strerror or failure})"
    raise RequestFailedError(ErrorCategory.CONNECT_FAILED, detail, connected=False)


async def _read_head(reader: asyncio.StreamReader, host: str) -> LenientResponse:
    budget = HEAD_BYTES
    while True:
        lines: list[bytes] = []
        while line := await _read_line(reader, host, budget, first=not lines):
            budget -= len(line)
            lines.append(line)
            if not _STATUS.match(lines[0]):
                raise _not_http(host, "it does not begin with a status line")
            if budget <= 0:
                raise _not_http(host, f"more than {HEAD_BYTES:,} bytes before the body")
        if not lines and budget == HEAD_BYTES:
            budget -= 2  # an empty line in front of the answer
            continue
        found = _STATUS.match(lines[0]) if lines else None
        if found is None:
            raise _not_http(host, "it begins with nothing but empty lines")
        status = int(found[1])
        if not 100 <= status < 200:  # such as 103 Early Hints, before the answer proper
            break
    headers = _headers(lines[1:])
    return LenientResponse(status, headers, *_framing(reader, headers, status, host))


async def _read_line(reader: asyncio.StreamReader, host: str, most: int, *, first: bool = False) -> bytes:
    """The next line without its end; empty for an empty line. Of the ``first``, its beginning tells what it is."""
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError:
        raise _not_http(host, f"more than {most:,} bytes in a line") from None
    except asyncio.IncompleteReadError as error:
        if first and error.partial and not error.partial[:4].lower() == b"http":
            raise _not_http(host, "it ends in the middle of a line") from None
        detail = f"{host}: the connection broke before the end of the answer"
        raise RequestFailedError(ErrorCategory.CONNECTION_LOST, detail) from None
    return line.rstrip(b"\r\n")


def _headers(lines: list[bytes]) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    last = ""
    for line in lines:
        text = line.decode("utf-8", errors="surrogateescape")
        if text[:1] in (" ", "\t") and last:  # a line folded as long ago
            headers[last] = f"{headers[last]} {text.strip()}"
            continue
        name, colon, value = text.partition(":")
        last = name.strip()
        if colon and last:
            headers.add(last, value.strip())
    return headers


def _framing(
    reader: asyncio.StreamReader, headers: CIMultiDict[str], status: int, host: str
) -> tuple[int | None, AsyncIterator[bytes]]:
    """The length of the body, where it is known, and the body (RFC 9112, 6.3)."""
    if status in (204, 304):
        return 0, _exactly(reader, 0, host)
    codings = [part.strip().lower() for value in headers.getall("Transfer-Encoding", ()) for part in value.split(",")]
    if codings and codings[-1] == "chunked":
        if codings != ["chunked"]:
            raise _not_http(host, "Transfer-Encoding says more than chunked")
        return None, _chunked(reader, host)
    lengths = {part.strip() for value in headers.getall("Content-Length", ()) for part in value.split(",")}
    if not lengths:
        return None, _until_the_end(reader, host)
    found = {int(match[1]) if (match := _LENGTH.fullmatch(length)) else None for length in lengths}
    if None in found or len(found) > 1:
        raise _not_http(host, "Content-Length is no number, or several different ones")
    length = found.pop()
    assert length is not None
    return length, _exactly(reader, length, host)


async def _exactly(reader: asyncio.StreamReader, length: int, host: str) -> AsyncIterator[bytes]:
    left = length
    while left:
        part = await _read_part(reader, left, host, length - left, f"{length}")
        if not part:
            raise _ended_early(host, length - left, f"{length}")
        left -= len(part)
        yield part


async def _until_the_end(reader: asyncio.StreamReader, host: str) -> AsyncIterator[bytes]:
    came = 0
    while part := await _read_part(reader, _STEP, host, came, _UNKNOWN):
        came += len(part)
        yield part


async def _read_part(reader: asyncio.StreamReader, most: int, host: str, came: int, announced: str) -> bytes:
    """The next bytes of a body, after ``came`` of ``announced``; none at the end of the connection.

    :raises RequestFailedError: CONNECTION_LOST, when it was reset.
    """
    try:
        return await reader.read(min(most, _STEP))
    except ConnectionError:
        raise _ended_early(host, came, announced) from None


async def _chunked(reader: asyncio.StreamReader, host: str) -> AsyncIterator[bytes]:
    came = 0
    while True:
        try:
            line = await _read_line(reader, host, _LINE_BYTES)
        except (RequestFailedError, ConnectionError) as error:
            raise _ended_early(host, came, _UNKNOWN) from error
        found = _CHUNK.match(line) if len(line) <= _LINE_BYTES else None
        if found is None:
            raise _not_http(host, "the size of a chunk is no number")
        left = int(found[1], 16)
        if not left:
            return  # what may follow are trailers, and the connection is not used again
        while left:
            part = await _read_part(reader, left, host, came, _UNKNOWN)
            if not part:
                raise _ended_early(host, came, _UNKNOWN)
            left -= len(part)
            came += len(part)
            yield part
        if await _read_line(reader, host, _LINE_BYTES):
            raise _not_http(host, "a chunk is longer than it says")


def _not_http(host: str, why: str) -> RequestFailedError:
    return RequestFailedError(ErrorCategory.BAD_RESPONSE, f"{host}: the answer is not valid HTTP ({why})")


def _ended_early(host: str, came: int, announced: str) -> RequestFailedError:
    detail = f"{host}: the body ended too early, after {came} of {announced} bytes"
    return RequestFailedError(ErrorCategory.CONNECTION_LOST, detail)
