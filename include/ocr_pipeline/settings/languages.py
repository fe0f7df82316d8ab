"""Language codes, and the characters that belong to each.

A recogniser that knows which languages to expect is faster and cannot mistake a letter for a look-alike of
another script. Languages are told apart by script only: ``en`` and ``de`` both mean every Latin letter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

_LATIN_CODES = [
    "af",
    "az",
    "bs",
    "ca",
    "cs",
    "cy",
    "da",
    "de",
    "en",
    "es",
    "et",
    "eu",
    "fi",
    "fr",
    "ga",
    "gl",
    "hr",
    "hu",
    "id",
    "is",
    "it",
    "ku",
    "la",
    "lb",
    "lt",
    "lv",
    "mi",
    "ms",
    "mt",
    "nl",
    "no",
    "oc",
    "pl",
    "pt",
    "qu",
    "rm",
    "ro",
    "sk",
    "sl",
    "sq",
    "sr-latn",
    "sv",
    "sw",
    "tl",
    "tr",
    "uz",
    "vi",
]
"""ISO 639-1 codes of the languages in Latin script that PP-OCRv6 was trained on (``paddleocr._utils.langs``).

No model knows all letters of ``vi``: those with two marks or a dot below are in the dictionary of none.
"""

_SCRIPTS: dict[str, str] = {
    **dict.fromkeys(_LATIN_CODES, "latin"),
    "ja": "kana",
    "zh": "han",
    "ko": "hangul",
    **dict.fromkeys(["be", "bg", "kk", "ky", "mk", "mn", "ru", "sr", "tg", "tt", "uk"], "cyrillic"),
    "el": "greek",
    **dict.fromkeys(["ar", "fa", "ps", "sd", "ug", "ur"], "arabic"),
    **dict.fromkeys(["hi", "mr", "ne", "sa"], "devanagari"),
    "th": "thai",
    "ta": "tamil",
    "te": "telugu",
    "kn": "kannada",
}
"""The script of each language, which is what tells models apart. Japanese also uses Han characters."""

CODES: tuple[str, ...] = tuple(_SCRIPTS)
"""Every valid code: the languages that some PP-OCR model reads. No model reads them all."""

_Ranges = tuple[tuple[int, int], ...]

_COMMON: _Ranges = (
    (0x0020, 0x007E),  # ASCII
    (0x00A1, 0x00BF),  # Latin-1 signs: currency, degree, fractions, guillemets
    (0x00D7, 0x00D7),  # multiplication sign
    (0x00F7, 0x00F7),  # division sign
    (0x2013, 0x2026),  # dashes, curly quotes, dagger, bullet, ellipsis
    (0x2030, 0x2033),  # per mille, primes
    (0x20A0, 0x20BF),  # currency
    (0x2103, 0x2122),  # degrees Celsius to trade mark sign
)
_LATIN: _Ranges = (
    (0x00C0, 0x024F),  # Latin-1 letters, Latin Extended-A and B
    (0x1E00, 0x1EFF),  # Latin Extended Additional
)
_CJK: _Ranges = (
    (0x2460, 0x2473),  # circled digits
    (0x2E80, 0x2FDF),  # radicals
    (0x3000, 0x303F),  # CJK punctuation
    (0x3200, 0x33FF),  # enclosed and squared CJK
    (0x3400, 0x9FFF),  # ideographs
    (0xF900, 0xFAFF),  # compatibility ideographs
    (0xFE30, 0xFE6F),  # vertical and small forms
    (0xFF00, 0xFFEF),  # full-width and half-width forms
    (0x20000, 0x323AF),  # ideographs beyond the basic plane
)
_KANA: _Ranges = ((0x3040, 0x30FF), (0x31F0, 0x31FF))

_RANGES: dict[str, _Ranges] = {
    "latin": _LATIN,
    "han": _CJK,
    "kana": _KANA + _CJK,
    "hangul": ((0x1100, 0x11FF), (0x3000, 0x303F), (0x3130, 0x318F), (0xAC00, 0xD7AF), (0xFF00, 0xFFEF)),
    "cyrillic": ((0x0400, 0x052F), (0x2116, 0x2116)),
    "greek": ((0x0370, 0x03FF), (0x1F00, 0x1FFF)),
    "arabic": ((0x0600, 0x06FF), (0x0750, 0x077F), (0x200C, 0x200F), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC)),
    "devanagari": ((0x0900, 0x097F), (0x200C, 0x200D), (0xA8E0, 0xA8FF)),
    "thai": ((0x0E00, 0x0E7F),),
    "tamil": ((0x0B80, 0x0BFF), (0x200C, 0x200D)),
    "telugu": ((0x0C00, 0x0C7F), (0x200C, 0x200D)),
    "kannada": ((0x0C80, 0x0CFF), (0x200C, 0x200D)),
}
"""Unicode blocks of each script, with the joiners it needs."""


def unknown_codes(languages: Iterable[str]) -> list[str]:
    """Those of ``languages`` that are not in :data:`CODES`."""
    return [language for language in languages if language not in _SCRIPTS]


def script_of(code: str) -> str:
    """The script in which the language with this valid code is written, such as ``latin`` or ``cyrillic``."""
    return _SCRIPTS[code]


@cache
def script_of_character(character: str) -> str | None:
    """The script that a character (a single one) belongs to; None of what belongs to all, or to one not known here.

    Signs that Chinese shares with Japanese and Korean count as Chinese, ``han``.
    """
    if _within(_COMMON, character):
        return None
    return next((script for script, ranges in _RANGES.items() if _within(ranges, character)), None)


def is_unspaced(character: str) -> bool:
    """Whether a character (a single one) is Chinese or Japanese, which are written without spaces between words."""
    return _within((*_CJK, *_KANA), character)


def alphabet(languages: Iterable[str]) -> Callable[[str], bool]:
    """A test whether a character (a single one) is used in any of ``languages``, which are valid codes.

    Digits, ASCII letters, punctuation and currency signs belong to every language.
    """
    ranges = sorted({*_COMMON, *(item for language in languages for item in _RANGES[_SCRIPTS[language]])})

    def contains(character: str) -> bool:
        return _within(ranges, character)

    return contains


def _within(ranges: Iterable[tuple[int, int]], character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in ranges)
