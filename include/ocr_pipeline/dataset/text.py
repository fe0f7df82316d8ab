"""Text files as UTF-8, cut where records end: what CSV, JSON Lines and lists have in common."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

import numpy as np

from ocr_pipeline.dataset.files import DataFile
from ocr_pipeline.dataset.quotes import StrayQuotes
from ocr_pipeline.errors import DatasetError

Reject = Callable[[int, str, bytes], None]
"""Takes the line a bad record begins in (from 1), what is wrong with it, and its text."""

_BYTE_ORDER_MARKS = {  # the longer ones first: that of UTF-16 begins that of UTF-32
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_RECORD_BYTES = 64 << 20
"""The longest record that is waited for; a quote that opens and is not closed within is a mistake."""

_QUOTE = 0x22
_MARKS = re.compile(rb"(?:\A|(?<=[\r\n]))(?:\xef\xbb\xbf)+")


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole records as UTF-8, and the line of the file that the first begins in (from 1)."""

    line: int
    content: bytes


def utf8_blocks(file: DataFile, encoding: str) -> Iterator[bytes]:
    """The text of ``file`` as UTF-8, block by block, without a byte order mark.

    A byte order mark says more than ``encoding``. Text that is UTF-8 already is not checked.

    :raises DatasetError: where the text is not in the encoding, naming the line.
    """
    blocks = file.blocks()
    first = next(blocks, b"")
    marked = next(((mark, name) for mark, name in _BYTE_ORDER_MARKS.items() if first.startswith(mark)), None)
    if marked:
        encoding = marked[1]
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        yield from chain([first.removeprefix(codecs.BOM_UTF8)], blocks)
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 0
    for block in chain([first], blocks, [b""]):
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeError as error:
            reason = error.reason if isinstance(error, UnicodeDecodeError) else error
            raise DatasetError(
                f"dataset {file.name}, line {lines + _lines_before(error, encoding) + 1:,}: not {encoding} text "
                f"({reason}); set encoding to the one it was written in"
            ) from None
        lines += text.count("\n")
        yield text.encode("utf-8", errors="surrogatepass")


def is_utf8(text: bytes) -> bool:
    """Whether ``text`` is UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def without_marks(text: bytes) -> bytes:
    """``text`` without byte order marks at the beginnings of lines, which files have that were put together."""
    return _MARKS.sub(b"", text) if codecs.BOM_UTF8 in text else text


def _lines_before(error: UnicodeError, encoding: str) -> int:
    """How many lines end before the bytes that ``error`` is about, as far as it says which they are."""
    if isinstance(error, UnicodeDecodeError):
        with suppress(UnicodeError):  # some encodings, such as idna, cannot pass over what they do not understand
            return error.object[: error.start].decode(encoding, errors="replace").count("\n")
    return 0


class RecordCutter:
    """Cuts the text of ``blocks`` at the ends of records.

    Quotes are those of RFC 4180: one at the start of a field opens a value that may hold delimiters and line ends,
    the one that closes it stands before a delimiter or line end, and one inside is doubled. A quote inside a field
    that did not begin with one is a character like any other. With no ``delimiter``, no quote means anything.

    :param escape: a backslash makes a quote, a delimiter, a line end or a backslash part of the value, quoted or not;
        other backslashes stay. The pieces have none of that any more: they are as RFC 4180 has it.
    :param comment: how records begin, spaces and tabs aside, that are left out to the end of their line.
    :param columns: how many fields a record has, if known: by that, quotes at the start of a field are found that open
        no value (:class:`StrayQuotes`), and are doubled in the pieces. Without ``escape`` only.
    :param tsv: the file is TSV, whose quotes are doubted sooner.
    """

    def __init__(
        self,
        blocks: Iterator[bytes],
        delimiter: bytes | None,
        *,
        escape: bool = False,
        comment: bytes = b"",
        columns: int = 0,
        tsv: bool = False,
    ) -> None:
        first = next(blocks, b"")
        self._blocks = chain([first], blocks)
        # Files of old Macs end lines with a carriage return alone.
        self.newline = b"\r" if b"\r" in first and b"\n" not in first else b"\n"
        self._quoted = delimiter is not None
        separator = re.escape(delimiter or b"\n")
        quoted = rb'"[^"]*+(?:""[^"]*+)*+"'
        field = rb'(?:%s|[^"%s\r\n][^%s\r\n]*+|)' % (quoted, separator, separator)
        if delimiter is None:
            field = rb"[^\r\n]*+"
        self._field = re.compile(rb"(%s)(%s|\r\n|\r|\n|\Z)" % (field, separator))
        self._escaped = None
        if escape:
            escaped = rb"\\(?:\r\n|[\0-\xff])"
            quoted = rb'"(?:[^"\\]++|""|%s)*+"' % escaped
            field = rb'(?:%s|(?:[^"\\%s\r\n]|%s)(?:[^\\%s\r\n]++|%s)*+|)' % (
                quoted, separator, escaped, separator, escaped,
            )  # fmt: skip
            self._escaped = re.compile(rb'\\(\r\n|["\\\r\n]|%s)|"' % separator)
        self._written_field = re.compile(rb"(%s)(%s|\r\n|\r|\n|\Z)" % (field, separator))
        self._record = re.compile(rb"%s(?:%s%s)*+(?:\r\n|\r|\n|\Z)" % (field, separator, field))
        self._quoted_value = re.compile(quoted)
        self._comment = re.compile(rb"[ \t]*+" + re.escape(comment)) if comment else None
        self._some_comment = re.compile(rb"(?:\A|[\r\n])[ \t]*+" + re.escape(comment))
        self._stray = None
        if delimiter is not None and columns > 1 and not escape:
            self._stray = StrayQuotes(delimiter, columns, self.newline, strict=tsv)
        self._beside_quotes = np.zeros(256, dtype=bool)
        self._beside_quotes[list(b'"\r\n' + (delimiter or b""))] = True

    def pieces(self, reject: Reject) -> Iterator[Piece]:
        """The text in pieces of whole records, their quotes in order; what is not goes line by line to ``reject``."""
        rest = b""
        line = 1
        for block in chain(self._blocks, [None]):
            final = block is None
            data = rest if block is None else rest + block
            end = self._end_of_clean(data, final)
            if end is None:
                end = yield from self._careful_pieces(data, final, line, reject)
            elif end:
                yield Piece(line, data[:end])
            line += data.count(self.newline, 0, end)
            rest = data[end:]

    def records(self, piece: Piece) -> Iterator[tuple[Piece, int]]:
        """The records of ``piece`` one by one, each with its line end, and the number of its fields."""
        position, line = 0, piece.line
        while position < len(piece.content):
            fields, end, content = 0, position, piece.content
            while True:
                match = self._field.match(content, end)
                assert match is not None, "a piece holds whole records"
                fields, end = fields + 1, match.end()
                if match[2] in (b"", b"\r", b"\n", b"\r\n"):
                    break
            record = content[position:end]
            yield Piece(line, record), fields
            line += record.count(self.newline)
            position = end

    def unquoted(self, record: bytes) -> bytes | None:
        """``record``, of another number of fields, as rows without some of its quotes; None if it is none so either."""
        return self._stray.without(record) if self._stray else None

    def _end_of_clean(self, data: bytes, final: bool) -> int | None:
        """Where the last whole record ends; None when there is what needs a closer look."""
        if (self._escaped and b"\\" in data) or (self._comment and self._some_comment.search(data)):
            return None
        if not self._quoted or b'"' not in data:
            end = len(data) if final else data.rfind(self.newline) + 1
            return None if not end and len(data) > _RECORD_BYTES else end
        octets = np.frombuffer(data, dtype=np.uint8)
        quotes = np.flatnonzero(octets == _QUOTE)
        # Of quotes in order, every other one opens a value or is the second of a doubled one.
        opening, closing = quotes[::2], quotes[1::2]
        before = octets[opening[opening > 0] - 1]
        after = octets[closing[closing < len(data) - 1] + 1]
        if not (self._beside_quotes[before].all() and self._beside_quotes[after].all()):
            return None
        if self._stray and self._stray.may_be_in(data, octets, quotes):
            return None
        if final:
            return len(data) if len(quotes) % 2 == 0 else None
        end = data.rfind(self.newline) + 1
        while end:
            passed = int(np.searchsorted(quotes, end))
            if passed % 2 == 0:
                return end
            end = data.rfind(self.newline, 0, int(quotes[passed - 1])) + 1
        return None if len(data) > _RECORD_BYTES else 0

    def _careful_pieces(self, data: bytes, final: bool, line: int, reject: Reject) -> Generator[Piece, None, int]:
        """Like :meth:`pieces`, for one block, record by record; returns how much of ``data`` is done with."""
        begin = position = 0  # of what is good so far and not kept, and of the record looked at
        good: list[bytes] = []

        def piece() -> Iterator[Piece]:
            nonlocal line
            content = b"".join([*good, self._plain(data[begin:position])])
            good.clear()
            if content:
                yield Piece(line, content)
                line += content.count(self.newline)

        while position < len(data):
            comment = self._comment is not None and self._comment.match(data, position)
            match = self._record.match(data, position)
            end = match.end() if match and (final or match.end() < len(data) or data.endswith(b"\n")) else None
            line_end = data.find(self.newline, position) + 1 or (len(data) if final else 0)
            reason = None
            if not comment:
                if end and (self._stray is None or end <= line_end):
                    position = end
                    continue
                told = self._stray.rows(data, position, end, final=final) if self._stray else None
                if isinstance(told, tuple) and told[1] > position:
                    good += [self._plain(data[begin:position]), told[0]]
                    begin = position = told[1]
                    continue
                if told is None and end:
                    position = end
                    continue
                reason = told if isinstance(told, str) else None
                if match is None and told is None:
                    reason = self._what_is_wrong(data, position, final)
            if not line_end or not (reason or comment):
                if len(data) - position <= _RECORD_BYTES:
                    break  # the rest of the record is still to come
                what = "a quote is not closed, or this is not text" if self._quoted else "is this text, in lines?"
                reason = f"it goes on for {_RECORD_BYTES >> 20} MiB: {what}"
                line_end = line_end or len(data)
            yield from piece()
            if reason:
                reject(line, reason, data[position:line_end])
            line += data.count(self.newline, position, line_end)
            begin = position = line_end
        yield from piece()
        return position

    def _plain(self, content: bytes) -> bytes:
        """Whole records without escapes."""
        if self._escaped is None or b"\\" not in content:
            return content
        return self._written_field.sub(self._plain_field, content)

    def _plain_field(self, match: re.Match[bytes]) -> bytes:
        field, end = match.groups()
        if b"\\" not in field:
            return match[0]
        assert self._escaped is not None
        quoted = field.startswith(b'"')
        # Quotes of a quoted value that are not escaped are doubled already.
        text = self._escaped.sub(
            lambda found: found[0] if quoted and found[1] is None else (found[1] or b'"').replace(b'"', b'""'),
            field[1:-1] if quoted else field,
        )
        return b'"%s"%s' % (text, end)

    def _what_is_wrong(self, data: bytes, position: int, final: bool) -> str | None:
        """Why no record begins at ``position``; None when it may once more of ``data`` is known."""
        while match := self._written_field.match(data, position):
            position = match.end()
        closed = self._quoted_value.match(data, position)
        if closed is None:
            return "a quote opens that is never closed" if final else None
        if closed.end() == len(data) and not final:
            return None
        return "text follows a closing quote; quotes inside a quoted value must be doubled"
