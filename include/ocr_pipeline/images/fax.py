"""CCITT's codes of black and white rows, walked to see what is damaged: decoders go on without a word.

Codes: ITU-T T.4, tables 2 and 3; T.6, table 1.
"""

from __future__ import annotations

from enum import Enum, auto
from itertools import pairwise
from typing import Literal

import numpy as np

_WHITE = (
    "00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 101010 101011 "
    "0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010 00000011 "
    "00011010 00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 00101010 00101011 "
    "00101100 00101101 00000100 00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100 00100101 "
    "01011000 01011001 01011010 01011011 01001010 01001011 00110010 00110011 00110100"
)
_BLACK = (
    "0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 000011000 "
    "0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 00000010111 "
    "00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 000001101001 000001101010 "
    "000001101011 000011010010 000011010011 000011010100 000011010101 000011010110 000011010111 000001101100 "
    "000001101101 000011011010 000011011011 000001010100 000001010101 000001010110 000001010111 000001100100 "
    "000001100101 000001010010 000001010011 000000100100 000000110111 000000111000 000000100111 000000101000 "
    "000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111"
)
"""Codes of runs of 0 to 63 pixels."""

_WHITE_64 = (
    "11011 10010 010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101 011010010 "
    "011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011 010011000 010011001 "
    "010011010 011000 010011011"
)
_BLACK_64 = (
    "0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100 "
    "0000001101101 0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011 0000001110100 "
    "0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 0000001010100 0000001010101 0000001011010 "
    "0000001011011 0000001100100 0000001100101"
)
_BOTH_64 = (
    "00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 000000010110 000000010111 "
    "000000011100 000000011101 000000011110 000000011111"
)
"""Codes of runs of 64, 128 and so on, after which the rest of the run follows; those of both colours go on."""

_HORIZONTAL, _PASS = 100, 101
_MODES = {
    "1": 0, "011": 1, "010": -1, "000011": 2, "000010": -2, "0000011": 3, "0000010": -3,
    "001": _HORIZONTAL, "0001": _PASS,
}  # fmt: skip
"""How a change of colour lies to the one above it: by how many pixels, or otherwise."""

_WINDOW = 13
"""Bits of the longest code."""

_MARK = 12
"""Bits of the mark that parts rows: eleven zeros and a one."""

_SHORTEST_ROW = 1
"""Bits of a row that is like the one above; between two marks without one, the page ends."""

_Table = list[tuple[int, int]]
"""What each window begins with, and the bits that takes; 0 bits where with no code."""

_MOST_BEHIND = 32
"""Bits that may follow the last row, for what comes next to begin at a whole word."""

MOST_WALKED = 1 << 20
"""Bytes of a picture, some ten times a dense page, that are walked: beyond, it would take seconds."""


class Fax(Enum):
    """Ways of coding rows."""

    ROWS = auto()
    """Each for itself."""
    G3 = auto()
    """Each for itself and behind a mark, by which what follows a damaged one is found again."""
    G3_BY_ROW = auto()
    """The same, but most by the row above: each says so."""
    G4 = auto()
    """Each by the row above."""


class _DamageError(Exception):
    """There is no code, or the row does not come out."""


def _table(codes: dict[str, int]) -> _Table:
    table = [(0, 0)] * (1 << _WINDOW)
    for code, meaning in codes.items():
        rest = _WINDOW - len(code)
        first = int(code, 2) << rest
        table[first : first + (1 << rest)] = [(meaning, len(code))] * (1 << rest)
    return table


def _runs(short: str, long: str) -> _Table:
    longs = {code: 64 * number for number, code in enumerate((long + " " + _BOTH_64).split(), 1)}
    return _table({code: number for number, code in enumerate(short.split())} | longs)


_RUNS = (_runs(_WHITE, _WHITE_64), _runs(_BLACK, _BLACK_64))
_MODE_TABLE = _table(_MODES)


def damaged_rows(data: bytes, width: int, height: int, way: Fax, *, align: int = 1, reversed_bits: bool = False) -> int:
    """How many rows are damaged or missing: of G3 those that are, of others all from the first that is.

    :param align: of rows without a mark, the bits at a multiple of which each begins.
    :param reversed_bits: whether the first bit of a byte is its lowest.
    """
    if len(data) > MOST_WALKED:
        return 0
    walk = _Walk(data, width, reversed_bits)
    if way in (Fax.G3, Fax.G3_BY_ROW) and walk.has_marks:
        return walk.damaged_between_marks(height, way)
    return walk.damaged_from(height, way, align)


class _Walk:
    """A walk over coded rows."""

    def __init__(self, data: bytes, width: int, reversed_bits: bool) -> None:
        order: Literal["little", "big"] = "little" if reversed_bits else "big"
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder=order)
        padded = np.concatenate([bits, np.zeros(_WINDOW, np.uint8)]).astype(np.uint16)
        windows = np.zeros(len(bits) + 1, np.uint16)
        for bit in range(_WINDOW):
            windows = (windows << 1) | padded[bit : bit + len(windows)]
        self._bits = len(bits)
        self._windows = windows.data
        self._marks = np.flatnonzero(windows >> (_WINDOW - _MARK) == 1).tolist()
        self._width = width
        self._at = 0

    @property
    def has_marks(self) -> bool:
        return bool(self._marks)

    def damaged_from(self, height: int, way: Fax, align: int) -> int:
        """Rows from the first damaged one on; all where more follows than their end."""
        above = [self._width] * 4
        for row in range(height):
            self._at += -self._at % align
            try:
                above = self._row_by(above) if way is Fax.G4 else self._row()
            except _DamageError:
                return height - row
        return 0 if self._is_over() else height

    def damaged_between_marks(self, height: int, way: Fax) -> int:
        """Damaged rows, each between two marks; with one go those that are coded by it."""
        whole, above = 0, list[int]()
        for mark, following in pairwise([*self._marks, self._bits]):
            self._at = mark + _MARK
            alone = True
            if way is Fax.G3_BY_ROW:
                alone = self._windows[min(self._at, self._bits)] >> (_WINDOW - 1) == 1
                self._at += 1
            if following - self._at < _SHORTEST_ROW or whole == height:
                continue
            try:
                above = self._row() if alone else self._row_by(above)
                whole += self._at <= following
            except _DamageError:
                above = []
        return height - whole

    def _row(self) -> list[int]:
        """A row coded for itself: where its colours change."""
        changes: list[int] = []
        at = colour = 0
        while at < self._width:
            at += self._run(colour)
            changes.append(at)
            colour ^= 1
        return self._ended(changes, at)

    def _row_by(self, above: list[int]) -> list[int]:
        """A row coded by the changes of the one above."""
        if not above:
            raise _DamageError
        windows, width = self._windows, self._width
        changes: list[int] = []
        at, colour, index = -1, 0, 0
        while at < width:
            # The first change above that is to the right and to the other colour.
            index = max(index - 2, 0) & ~1 | colour
            while above[index] <= at and above[index] < width:
                index += 2
            mode, bits = _MODE_TABLE[windows[min(self._at, self._bits)]]
            if not bits:
                raise _DamageError
            self._at += bits
            if mode == _PASS:
                at = above[index + 1]
            elif mode == _HORIZONTAL:
                first = max(at, 0) + self._run(colour)
                at = first + self._run(colour ^ 1)
                changes += (first, at)
            else:
                after = above[index] + mode
                if after < max(at, 0):
                    raise _DamageError
                at = after
                changes.append(at)
                colour ^= 1
        return self._ended(changes, at)

    def _run(self, colour: int) -> int:
        length = 0
        while True:
            part, bits = _RUNS[colour][self._windows[min(self._at, self._bits)]]
            if not bits:
                raise _DamageError
            self._at += bits
            length += part
            if part < 64:
                return length

    def _ended(self, changes: list[int], at: int) -> list[int]:
        if at != self._width or self._at > self._bits:
            raise _DamageError
        return [*changes, *[self._width] * 4]

    def _is_over(self) -> bool:
        """Whether nothing but an end mark or padding follows."""
        rest = self._bits - self._at
        return rest <= _MOST_BEHIND or self._windows[self._at] >> (_WINDOW - _MARK) <= 1
