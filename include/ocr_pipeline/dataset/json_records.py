"""JSON as records: objects that stand a line each, or one after the other over lines, in an array or in none.

They are cut out here and not parsed, so that Arrow can read megabytes of them at once.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np

from ocr_pipeline.dataset.text import RecordCutter, Reject, without_marks
from ocr_pipeline.errors import DatasetError

DEEPEST = 64
"""How deep objects and lists may be nested in each other, the record among them: about what Arrow's files can hold."""

_RECORD_BYTES = 64 << 20
"""The longest record that is waited for."""

_WHITE = b" \t\r\n"
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_BRACKET = re.compile(rb"%s|[\[\]{}]" % _STRING, re.DOTALL)
_TO_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|%s)*+([\[\]{}])' % _STRING, re.DOTALL)
_TO_BRACKET_OR_COMMA = re.compile(rb'(?:[^"\[\]{},]++|%s)*+([\[\]{},])' % _STRING, re.DOTALL)
_OBJECT_OVER_LINES = re.compile(rb"\{[ \t\r]*\n\s*[\"}]")
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
_NOT_OF_DEPTH = bytes(set(range(256)) - set(b"[]{}\n"))


@dataclass(frozen=True, slots=True)
class JsonPiece:
    """Some records: one after the other in ``content``, and by themselves, each with the line that it begins in.

    None is nested deeper than :data:`DEEPEST`: what was is JSON in a text.
    """

    content: bytes
    records: Callable[[], Iterable[tuple[int, bytes]]]


def json_pieces(file: str, text: Iterator[bytes], reject: Reject) -> Iterator[JsonPiece]:
    """The records of ``text``; what cannot be one goes to ``reject``.

    :param file: its name for people.
    :raises DatasetError: when a record that is not a line by itself is too long for any.
    """
    first = next(text, b"")
    blocks = chain([first], text)
    return _pieces_over_lines(file, blocks, reject) if _goes_over_lines(first) else _pieces_of_lines(blocks, reject)


def _goes_over_lines(start: bytes) -> bool:
    """Whether the text that begins with ``start`` is an array, or objects of which each has several lines."""
    start = start.strip(_WHITE)
    if not start.startswith(b"["):
        return _OBJECT_OVER_LINES.match(start) is not None
    line, _, rest = start.partition(b"\n")
    if not rest.strip():
        return True
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return True
    return False


def _pieces_of_lines(blocks: Iterator[bytes], reject: Reject) -> Iterator[JsonPiece]:
    cutter = RecordCutter(blocks, None)
    for piece in cutter.pieces(reject):
        content = without_marks(piece.content)
        if cutter.newline == b"\r":
            content = content.replace(b"\r", b"\n")
        if deep := _deep_lines(content):
            lines = content.split(b"\n")
            for index in deep:
                lines[index] = _shallow(piece.line + index, lines[index], reject)
            content = b"\n".join(lines)
        yield JsonPiece(content, partial(_numbered_lines, piece.line, content))


def _numbered_lines(first: int, content: bytes) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(content.split(b"\n"), first) if line.strip())


def _deep_lines(content: bytes) -> list[int]:
    """The lines of ``content``, from 0, in which more brackets than :data:`DEEPEST` may be open at once."""
    symbols = np.frombuffer(content.translate(None, _NOT_OF_DEPTH), np.uint8)
    ends = np.flatnonzero(symbols == ord("\n"))
    if len(symbols) - len(ends) <= DEEPEST:
        return []
    depths = np.cumsum(_STEPS[symbols], dtype=np.int64)
    # Counted from the beginning of each line, so that a bracket inside a text counts for its line alone.
    before = np.concatenate([[0], depths[ends]])
    lines = np.cumsum(symbols == ord("\n"))
    deep: list[int] = np.unique(lines[depths - before[lines] > DEEPEST]).tolist()
    return deep


def _pieces_over_lines(file: str, blocks: Iterator[bytes], reject: Reject) -> Iterator[JsonPiece]:
    cutter = _ValueCutter()
    for block in chain(blocks, [b""]):
        records = [(line, text) for line, text in cutter.cut(block, reject) if text]
        if cutter.waiting > _RECORD_BYTES:
            raise DatasetError(
                f"dataset {file}, line {cutter.line:,}: what begins here goes on for {_RECORD_BYTES >> 20} MiB and is "
                "no row: if the rows are in a list inside it, write them out, such as with jq -c '.list[]'"
            )
        if records:
            yield JsonPiece(b"\n".join(text for _, text in records), partial(iter, records))
    cutter.end(reject)


class _ValueCutter:
    """Cuts a text of JSON values that follow each other, in arrays or in none.

    ``line`` is the one that what is looked at begins in, ``waiting`` how many bytes it has so far.
    """

    def __init__(self) -> None:
        self.line = 1
        self._data = b""
        self._position = 0  # up to where it was looked at
        self._depth = self._deepest = 0
        self._in_array = False

    @property
    def waiting(self) -> int:
        return len(self._data)

    def cut(self, block: bytes, reject: Reject) -> Iterator[tuple[int, bytes]]:
        """The values that end in ``block``, each with its line."""
        data, position, start = self._data + block, self._position, 0
        while match := (_TO_BRACKET if self._depth else _TO_BRACKET_OR_COMMA).match(data, position):
            position, symbol, at = match.end(), match[1], match.start(1)
            if symbol in b"[{":
                if symbol == b"[" and not (self._depth or self._in_array or _bare(data[start:at])):
                    self._in_array = True
                    start = self._pass(data, start, position)
                else:
                    self._depth += 1
                    self._deepest = max(self._deepest, self._depth)
                continue
            end = position
            if self._depth:
                self._depth -= 1
                if self._depth:
                    continue
            elif symbol == b",":
                end = at
            elif symbol == b"]" and self._in_array:
                end = at
                self._in_array = False
            yield self._value(data[start:end], reject)
            start = self._pass(data, start, position)
        self._data, self._position = data[start:], position - start

    def end(self, reject: Reject) -> None:
        """Refuse what is left at the end of the text."""
        rest = _bare(self._data)
        if rest or self._in_array:
            self._pass(self._data, 0, self._data.find(rest) if rest else len(self._data))
            reject(self.line, "the file ends before what begins here does; perhaps it was cut off", rest)

    def _value(self, text: bytes, reject: Reject) -> tuple[int, bytes]:
        value = _bare(text)
        line = self.line + text.count(b"\n", 0, text.find(value)) if value else self.line
        return line, _shallow(line, value, reject) if self._deepest > DEEPEST else value

    def _pass(self, data: bytes, start: int, end: int) -> int:
        self.line += data.count(b"\n", start, end)
        self._deepest = 0
        return end


def _bare(text: bytes) -> bytes:
    """``text`` without white space around it, and without a byte order mark at its beginning."""
    return text.strip(_WHITE).removeprefix(codecs.BOM_UTF8).lstrip(_WHITE)


def _shallow(line: int, record: bytes, reject: Reject) -> bytes:
    """``record`` with JSON in a text for each member of it that is nested too deep; nothing when it is no JSON."""
    parts: list[bytes] = []
    copied = depth = deepest = start = 0
    try:
        for match in _BRACKET.finditer(record):
            step = int(_STEPS[record[match.start()]])
            depth += step
            if step > 0:
                start, deepest = (match.start(), depth) if depth <= 2 else (start, max(deepest, depth))
            elif depth < 0:
                raise ValueError("a bracket closes that none opened")
            elif step < 0 and depth == 1 and deepest > DEEPEST:
                member = record[start : match.end()]
                _check(member)
                parts += [record[copied:start], json.dumps(member.decode(), ensure_ascii=False).encode()]
                copied = match.end()
        if depth:
            raise ValueError("a bracket is not closed")
    except ValueError as error:
        reject(line, f"it is not JSON ({error})", record)
        return b""
    return b"".join([*parts, record[copied:]])


def _check(value: bytes) -> None:
    """Check that ``value`` is JSON, however deep it is nested: some levels at a time, for which a number stands then.

    :raises ValueError: when it is not.
    """
    parts: list[list[bytes]] = [[]]
    copied = depth = 0
    for match in _BRACKET.finditer(value):
        step = int(_STEPS[value[match.start()]])
        if step > 0 and depth and depth % DEEPEST == 0:
            parts[-1].append(value[copied : match.start()])
            parts.append([])
            copied = match.start()
        depth += step
        if step < 0 and depth and depth % DEEPEST == 0:
            json.loads(b"".join([*parts.pop(), value[copied : match.end()]]).decode())
            parts[-1].append(b"0")
            copied = match.end()
    json.loads(b"".join([*parts.pop(), value[copied:]]).decode())
