"""Content codings (RFC 9110, 8.4): what a body was packed into for the way, undone a bounded step at a time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

import brotli
from backports import zstd

_STEP = 256 * 1024
"""Most bytes that a step gives: a few bytes may unfold to any number."""

_MOST_CODINGS = 3
"""More on top of each other are none that anybody means."""

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTANDARD_MAGIC = b"\x28\xb5\x2f\xfd"


class CodingError(Exception):
    """A body is not packed as its Content-Encoding says, or not whole; the message is for people."""


class _Decoder(Protocol):
    def feed(self, part: bytes) -> Iterator[bytes]:
        """What the next bytes unfold to, in steps.

        :raises CodingError: when they are not packed so.
        """
        ...

    def finish(self) -> None:
        """Say that no more bytes come.

        :raises CodingError: when some are missing.
        """
        ...


class BodyDecoder:
    """Undoes the codings of a ``Content-Encoding``; names that mean nothing are taken for none, as browsers do.

    :raises CodingError: when there are too many of them.
    """

    def __init__(self, header: str) -> None:
        names = [name.strip().lower() for name in header.split(",")]
        self._decoders: list[_Decoder] = [_CODINGS[name]() for name in reversed(names) if name in _CODINGS]
        if len(self._decoders) > _MOST_CODINGS:
            raise CodingError(f"the body is packed {len(self._decoders)} times over")

    def __bool__(self) -> bool:
        return bool(self._decoders)

    def feed(self, part: bytes) -> Iterator[bytes]:
        """What the next bytes of the body unfold to, in steps of at most 256 kB.

        :raises CodingError: when they are not packed as was said.
        """
        return self._through(self._decoders, part)

    def finish(self) -> None:
        """Say that the body has ended.

        :raises CodingError: when something of it is missing.
        """
        for decoder in self._decoders:
            decoder.finish()

    def _through(self, decoders: list[_Decoder], part: bytes) -> Iterator[bytes]:
        if not decoders:
            yield part
            return
        for unfolded in decoders[0].feed(part):
            yield from self._through(decoders[1:], unfolded)


class _Gzip:
    """gzip (RFC 1952), one member after the other; bytes that are not packed at all are passed on.

    Zeros and whatever else is no member may stand behind the last, as gzip itself allows.
    """

    def __init__(self) -> None:
        self._head = b""
        self._plain = False
        self._member: zlib._Decompress | None = None
        self._begun = False

    def feed(self, part: bytes) -> Iterator[bytes]:
        if self._plain:
            yield part
            return
        part, self._head = self._head + part, b""
        while part:
            if self._member is None:
                if len(part) < len(_GZIP_MAGIC) and _GZIP_MAGIC.startswith(part):
                    self._head = part
                    return
                if not part.startswith(_GZIP_MAGIC):
                    if not self._begun:
                        self._plain = True
                        yield part
                    return
                self._begun = True
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            yield from _inflate(self._member, part, "gzip")
            part = self._member.unused_data
            if self._member.eof:
                self._member = None

    def finish(self) -> None:
        if self._member is not None:
            raise CodingError("the body ends before its gzip data does")


class _Deflate:
    """zlib (RFC 1950), which "deflate" means, or bare deflate (RFC 1951), which some send instead."""

    def __init__(self) -> None:
        self._data: zlib._Decompress | None = None

    def feed(self, part: bytes) -> Iterator[bytes]:
        if not part or (self._data is not None and self._data.eof):
            return
        if self._data is None:
            # A zlib stream begins with the method, 8, in the lower half of its first byte.
            self._data = zlib.decompressobj(zlib.MAX_WBITS if part[0] & 0x0F == 8 else -zlib.MAX_WBITS)
        yield from _inflate(self._data, part, "deflate")

    def finish(self) -> None:
        if self._data is not None and not self._data.eof:
            raise CodingError("the body ends before its deflate data does")


def _inflate(data: zlib._Decompress, part: bytes, name: str) -> Iterator[bytes]:
    try:
        while True:
            unfolded = data.decompress(part, _STEP)
            if unfolded:
                yield unfolded
            part = data.unconsumed_tail
            if data.eof or not (part or len(unfolded) == _STEP):
                return
    except zlib.error as error:
        raise CodingError(f"the body is not the {name} data that its Content-Encoding says ({error})") from None


class _Brotli:
    """Brotli (RFC 7932)."""

    def __init__(self) -> None:
        self._data = brotli.Decompressor()

    def feed(self, part: bytes) -> Iterator[bytes]:
        if self._data.is_finished():
            return  # whatever stands behind it
        try:
            while part or not self._data.can_accept_more_data():
                unfolded = self._data.process(part, output_buffer_limit=_STEP)
                part = b""
                if unfolded:
                    yield unfolded
                if self._data.is_finished():
                    return
        except brotli.error as error:
            raise CodingError(f"the body is not the br data that its Content-Encoding says ({error})") from None

    def finish(self) -> None:
        if not self._data.is_finished():
            raise CodingError("the body ends before its br data does")


class _Zstandard:
    """Zstandard (RFC 8878), one frame after the other."""

    def __init__(self) -> None:
        self._frame: zstd.ZstdDecompressor | None = None
        self._begun = False

    def feed(self, part: bytes) -> Iterator[bytes]:
        try:
            while part or (self._frame is not None and not self._frame.needs_input):
                if self._frame is None:
                    if self._begun and not part.startswith(_ZSTANDARD_MAGIC[: len(part)]):
                        return  # whatever stands behind the last frame
                    self._frame, self._begun = zstd.ZstdDecompressor(), True
                unfolded = self._frame.decompress(part, _STEP)
                part = b""
                if unfolded:
                    yield unfolded
                if self._frame.eof:
                    part, self._frame = self._frame.unused_data, None
        except zstd.ZstdError as error:
            raise CodingError(f"the body is not the zstd data that its Content-Encoding says ({error})") from None

    def finish(self) -> None:
        if self._frame is not None:
            raise CodingError("the body ends before its zstd data does")


_CODINGS: dict[str, type[_Gzip | _Deflate | _Brotli | _Zstandard]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstandard,
}
"""The registered codings that are in use; "compress" is not any more."""

ACCEPTED = "identity, gzip;q=0.5, deflate;q=0.4, br;q=0.3, zstd;q=0.2"
"""The ``Accept-Encoding`` of a request: images are packed already, so as they are is best."""
