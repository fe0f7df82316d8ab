"""Quotes that open no value: inch marks and the like at the beginnings of fields, which would swallow the rows behind.

RFC 4180 has quoted values go over line ends. TSV, as registered with IANA, has no quotes at all, yet spreadsheets and
pandas write them. What tells them apart is that a row which was swallowed is one by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ocr_pipeline.dataset.links import is_link

_SWALLOWS = "a value that begins with a quote goes over tabs and line ends; if that is meant, set format to csv"


@dataclass(frozen=True, slots=True)
class _Line:
    """A line as a row by itself, in the quotes of RFC 4180.

    ``opens`` says whether one of its quotes would go on behind it, ``links`` the places of fields that look like links,
    where that matters.
    """

    content: bytes
    opens: bool
    links: frozenset[int]


class StrayQuotes:
    """Tells such quotes from others in a file of ``columns`` columns.

    :param strict: the file is TSV: what two lines by themselves say is enough. In others, all lines that a quoted value
        goes over must be whole rows with a link in the same column.
    """

    def __init__(self, delimiter: bytes, columns: int, newline: bytes, *, strict: bool) -> None:
        self._delimiter = delimiter
        self._columns = columns
        self._newline = newline
        self._strict = strict
        separator = re.escape(delimiter)
        inside = [rb'[^"\r\n]', rb'[^"%s\r\n]' % separator] if strict else [rb'[^"\r\n]']
        self._fields = [
            re.compile(
                rb'("%s*+(?:""%s*+)*+"(?=%s|[\r\n]|\Z)|[^%s\r\n]*+)(%s|\r\n|\r|\n|\Z)'
                % (part, part, separator, separator, separator)
            )
            for part in inside
        ]

    def may_be_in(self, data: bytes, octets: npt.NDArray[np.uint8], quotes: npt.NDArray[np.intp]) -> bool:
        """Whether ``data``, whose ``quotes`` are in order but for a last one, may hold one; cheap where none does.

        :param octets: the bytes of ``data``.
        """
        opening = quotes[::2]
        closing = np.append(quotes[1::2], len(data)) if len(quotes) % 2 else quotes[1::2]
        # A doubled quote closes nothing and opens nothing.
        begins = np.append(True, opening[1:] != closing[:-1] + 1)
        opening, closing = opening[begins], closing[np.append(begins[1:], True)]
        ends = np.flatnonzero(octets == ord(self._newline))
        first = np.searchsorted(ends, opening)
        over = first < np.searchsorted(ends, closing)
        if not over.any():
            return False
        delimiters = np.flatnonzero(octets == ord(self._delimiter))
        bounds = np.concatenate([[0], ends, [len(data)]])
        there = np.append(np.diff(np.searchsorted(delimiters, bounds)), 0)
        inside = np.searchsorted(delimiters, closing) - np.searchsorted(delimiters, opening)
        quoted = np.bincount(first[~over], inside[~over], len(there)).astype(np.intp)
        needed = self._columns - 1
        line = first[over]
        if self._strict:
            whole = (there[line] - quoted[line] == needed) | (there[line] == needed)
            return bool((whole & (inside[over] > 0)).any())
        has_quotes = np.append(np.diff(np.searchsorted(quotes, bounds)), 0) > 0
        behind = line + 1
        whole_behind = (there[behind] == needed) | ((there[behind] > needed) & has_quotes[behind])
        return bool(((there[line] - quoted[line] == needed) & whole_behind).any())

    def rows(self, data: bytes, position: int, end: int | None, *, final: bool) -> tuple[bytes, int] | str | None:
        """What begins at ``position`` of ``data``, where a quote is not closed in its line or is followed by text.

        :param end: where the record ends if its quotes open values; None if it does not.
        :param final: nothing follows ``data``.
        :returns: rows, in the quotes of RFC 4180, and where they end, which is ``position`` until more of ``data`` is
            known; or why nothing can be told; or None where the quotes open values.
        """
        if self._strict:
            return self._row(data, position, end, final)
        lines = self._lines(data, position, end, linked=True) if end else None
        return None if lines is None or end is None else (lines, end)

    def without(self, record: bytes) -> bytes | None:
        """``record``, whose quotes give another number of fields, in those of RFC 4180 if its lines are rows."""
        return self._lines(record, 0, len(record), linked=False) if self._strict else None

    def _row(self, data: bytes, position: int, end: int | None, final: bool) -> tuple[bytes, int] | str | None:
        """The first line, where it is a row and what follows shows that its quotes do not go on there."""
        stop = self._line_end(data, position, final)
        line = self._line(data, position, stop)
        if line is None or stop is None:
            return None
        if line.opens and not (final and stop == len(data)):
            following = self._line_end(data, stop, final)
            if following is None:
                return b"", position
            if self._line(data, stop, following) is None:
                return _SWALLOWS if end is not None and data.find(self._delimiter, stop, end) >= 0 else None
        return line.content, stop

    def _lines(self, data: bytes, position: int, end: int, *, linked: bool) -> bytes | None:
        """The lines up to ``end``, if each is a row by itself, with a link in the same column where ``linked``."""
        links = frozenset(range(self._columns))
        lines: list[bytes] = []
        while position < end:
            stop = self._line_end(data, position, True)
            line = self._line(data, position, stop)
            links = links & line.links if line and linked else links
            if stop is None or line is None or (linked and not links):
                return None
            lines.append(line.content)
            position = stop
        return b"".join(lines)

    def _line_end(self, data: bytes, position: int, final: bool) -> int | None:
        return data.find(self._newline, position) + 1 or (len(data) if final else None)

    def _line(self, data: bytes, position: int, end: int | None) -> _Line | None:
        """The line from ``position`` to ``end``, if it has the fields of a row."""
        if end is None or data.count(self._delimiter, position, end) < self._columns - 1:
            return None
        found = (self._read(field, data, position, end) for field in self._fields)
        return next((line for line in found if line), None)

    def _read(self, pattern: re.Pattern[bytes], data: bytes, position: int, end: int) -> _Line | None:
        parts: list[bytes] = []
        opens = False
        links: list[int] = []
        behind = self._delimiter
        while behind == self._delimiter:
            match = pattern.match(data, position, end)
            if match is None or len(parts) == self._columns:
                return None
            field, behind = match.groups()
            quoted = field.startswith(b'"')
            if not self._strict and is_link(field.strip(b'"').decode(errors="replace")):
                links.append(len(parts))
            if quoted and not _is_closed(field):
                opens = opens or field.count(b'"') % 2 == 1
                field = b'"%s"' % field.replace(b'"', b'""')
            parts.append(field + behind)
            position = match.end()
        return _Line(b"".join(parts), opens, frozenset(links)) if len(parts) == self._columns else None


def _is_closed(field: bytes) -> bool:
    """Whether ``field``, which begins with a quote, is a quoted value."""
    return len(field) > 1 and field.endswith(b'"') and b'"' not in field[1:-1].replace(b'""', b"")
