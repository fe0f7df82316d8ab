"""What a batch and its reader process tell each other: messages over a socket, each a line of facts and a body.

Facts are JSON and never pickled objects: the reader process opens files from anywhere, and what a hostile one may
have made of it must not reach further than its own rows.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from typing import Any, BinaryIO

from ocr_pipeline.errors import Status
from ocr_pipeline.records import FetchedImage, ImageRef, ResultRow

_SIZES = struct.Struct("<IQ")  # bytes of the facts, bytes of the body
HEADER_BYTES = _SIZES.size
"""How many bytes each message begins with, for :func:`sizes`."""

Facts = dict[str, Any]

_ROW_FIELDS = tuple(field.name for field in fields(ResultRow))


def pack(facts: Facts, body_size: int = 0) -> bytes:
    """A message, but for its body, which follows."""
    text = json.dumps(facts, separators=(",", ":")).encode("ascii")
    return _SIZES.pack(len(text), body_size) + text


def sizes(header: bytes) -> tuple[int, int]:
    """How many bytes of facts and of body follow ``header``."""
    facts, body = _SIZES.unpack(header)
    return facts, body


def unpack(text: bytes) -> Facts:
    """The facts of a message.

    :raises ValueError: when they are anything else.
    """
    facts = json.loads(text)
    if not isinstance(facts, dict):
        raise ValueError("a message without facts")
    return facts


def receive_all(stream: BinaryIO) -> Iterator[tuple[Facts, bytes]]:
    """The messages that come over ``stream``, until its other end is closed."""
    with suppress(OSError):  # reset: the other end is gone
        while len(header := stream.read(HEADER_BYTES)) == HEADER_BYTES:
            facts_size, body_size = sizes(header)
            text, body = stream.read(facts_size), stream.read(body_size)
            if len(text) < facts_size or len(body) < body_size:
                return
            yield unpack(text), body


def image_facts(image: FetchedImage) -> Facts:
    """What the reader process is told of ``image``, whose bytes are the body. It need not know the link."""
    return {
        "row": image.ref.row,
        "sha256": image.sha256,
        "http_status": image.http_status,
        "attempts": image.attempts,
        "seconds": image.seconds,
    }


def to_image(facts: Facts, body: bytes) -> FetchedImage:
    """The image that :func:`image_facts` speak of."""
    values = dict(facts)
    return FetchedImage(ref=ImageRef(values.pop("row"), ""), body=body, **values)


def row_facts(row: ResultRow) -> list[Any]:
    """The values of ``row``, for JSON."""
    return [getattr(row, name) for name in _ROW_FIELDS]


def to_row(values: list[Any]) -> ResultRow:
    """The row that :func:`row_facts` made.

    :raises ValueError: when it is none.
    """
    row = dict(zip(_ROW_FIELDS, values, strict=True))
    row["status"] = Status(row["status"])
    return ResultRow(**row)
