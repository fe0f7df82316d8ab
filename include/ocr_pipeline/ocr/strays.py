"""Characters that are out of place on a page: an accent on an English page, a Chinese letter in a row of asterisks.

A recogniser that knows every script takes dust for accents, and what it cannot read for one of 15,000 Chinese
characters. It is unsure then, but in rows of one sign; and a page in a language that has such letters has others that
were read surely.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace

from ocr_pipeline.ocr.decoding import LineText
from ocr_pipeline.ocr.words import Trace
from ocr_pipeline.settings.languages import script_of_character

_SURE = 0.9
"""Probability from which a letter was read for certain."""

_DOUBT = 0.85
"""Probability below which a letter may be out of place."""

_EVIDENCE = 50
"""So many letters of ASCII must be sure on a page for it to be known that it is written in them."""

_RARE = 0.003
"""What share of these others may have that do not belong there: of no language with accents so few letters have one."""

_AS_LIKELY = 0.25
"""How likely a letter of ASCII must be, times the one that was read, to stand in for one of another alphabet."""

_ROW = 8
"""Letters, all of them one of so few that each comes four times, from which on a line is a row of one sign."""

_ASCII = "ASCII"
_OTHER = "other"
_EAST_ASIAN = {"han", "kana", "hangul"}

_ALPHABETS = {"latin", "greek", "cyrillic"}
"""Those with letters like ASCII's: the lone letter of a foreign name is among them, dust and asterisks are not."""

_FULL_WIDTH = {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
"""The signs of ASCII as wide as a Chinese character, and what they are in ASCII (Unicode, Halfwidth and Fullwidth)."""


def without_strays(lines: Sequence[LineText]) -> list[LineText]:
    """The ``lines`` of one page, with each letter that is out of place read as what is likeliest in ASCII instead.

    A line in which such a letter is sure stays as it is, unless it is a row of one sign. Wide signs become those of
    ASCII where nothing else is East Asian. See decision 72.
    """
    if all(line.text.isascii() for line in lines):
        return list(lines)
    sure = Counter(
        _script(character)
        for line in lines
        if not _is_row(line)
        for character, probability in zip(line.trace.characters, line.trace.probabilities.tolist(), strict=True)
        if probability >= _SURE and character.isalpha()
    )
    if sure[_ASCII] < _EVIDENCE:
        return list(lines)
    known = {script for script, letters in sure.items() if letters > _RARE * sure[_ASCII]}
    return [_in_known_scripts(line, known) for line in lines]


def _in_known_scripts(line: LineText, known: Set[str]) -> LineText:
    trace = line.trace
    if not known & _EAST_ASIAN and not _FULL_WIDTH.keys().isdisjoint(trace.characters):
        trace = replace(trace, characters=[_FULL_WIDTH.get(character, character) for character in trace.characters])
    strange = [
        i for i, character in enumerate(trace.characters) if character.isalpha() and _script(character) not in known
    ]
    if _is_row(line):
        trace = trace.in_ascii(strange)
    elif all(trace.probabilities[i] < _SURE for i in strange):
        doubtful = [i for i in strange if _is_doubtful(trace, i)]
        trace = trace.in_ascii(doubtful) if doubtful else trace
    return line if trace is line.trace else LineText.of(trace)


def _is_doubtful(trace: Trace, i: int) -> bool:
    """Whether the letter ``i``, which is out of place, was not read but guessed."""
    if trace.probabilities[i] >= _DOUBT:
        return False
    if _script(trace.characters[i]) not in _ALPHABETS:
        return True
    return bool(trace.plain[i] and trace.plain_probabilities[i] >= _AS_LIKELY * trace.probabilities[i])


def _is_row(line: LineText) -> bool:
    """Whether a line repeats a few letters that are not of ASCII, as rows of asterisks and pluses are read."""
    letters = [character for character in line.trace.characters if character.isalpha() and not character.isascii()]
    return len(letters) >= _ROW and len(letters) >= 4 * len(set(letters))


def _script(letter: str) -> str:
    """The script of a letter; those of ASCII are one of their own, apart from other Latin letters."""
    return _ASCII if letter.isascii() else script_of_character(letter) or _OTHER
