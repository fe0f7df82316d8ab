"""Language codes, and the characters that belong to each.

A recogniser that knows which languages to expect is faster and cannot mistake a letter for a look-alike of
another script. Languages are told apart by script only: ``en`` and ``de`` both mean every Latin letter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

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
"""ISO 639-1 codes of the languages in Latin script that PP-OCRv6 was trained on (``paddleocr._utils.langs``)."""

CODES: tuple[str, ...] = (*_LATIN_CODES, "ja", "zh")
"""Every valid code. PP-OCRv6 has no Cyrillic, Arabic, Devanagari, Thai or Hangul characters."""

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

_EXTRA: dict[str, _Ranges] = dict.fromkeys(_LATIN_CODES, _LATIN) | {"ja": _KANA + _CJK, "zh": _CJK}


def unknown_codes(languages: Iterable[str]) -> list[str]:
    """Those of ``languages`` that are not in :data:`CODES`."""
    return [language for language in languages if language not in _EXTRA]


def alphabet(languages: Iterable[str]) -> Callable[[str], bool]:
    """A test whether a character (a single one) is used in any of ``languages``, which are valid codes.

    Digits, ASCII letters, punctuation and currency signs belong to every language.
    """
    ranges = sorted({*_COMMON, *(item for language in languages for item in _EXTRA[language])})

    def contains(character: str) -> bool:
        return any(first <= ord(character) <= last for first, last in ranges)

    return contains
