"""Fonts that a PDF names and does not contain: what stands in for them, and what is not drawn for lack of one.

PDFium finds the fonts of the system by itself, and by their names and character sets. What it is not told is which
characters they are for: it draws Cyrillic in a font named Arial with a font of its own that has none. So each page is
looked at for text that is not drawn, and if the system has a font for its script, that one is made to stand in.
"""

from __future__ import annotations

import ctypes
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import pypdfium2
from pypdfium2 import raw

Undrawn = dict[str, str]
"""Names of fonts, and of each the characters that are not drawn; none where not even those are known."""

_CHARSETS = {
    raw.FXFONT_SHIFTJIS_CHARSET: b"Noto Sans CJK JP",
    raw.FXFONT_HANGEUL_CHARSET: b"Noto Sans CJK KR",
    raw.FXFONT_GB2312_CHARSET: b"Noto Sans CJK SC",
    raw.FXFONT_CHINESEBIG5_CHARSET: b"Noto Sans CJK TC",
}
"""Fonts for the character sets of East Asia, where PDFium takes any that has one."""

_CJK = frozenset(["CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"])
_WESTERN = frozenset(["LATIN", "GREEK", "CYRILLIC"])
_FAMILIES: tuple[tuple[str, frozenset[str]], ...] = (
    ("Noto Sans", _WESTERN),
    ("DejaVu Sans", _WESTERN | {"ARABIC", "ARMENIAN", "GEORGIAN", "HEBREW"}),
    ("Liberation Sans", _WESTERN | {"HEBREW"}),
    ("Noto Sans CJK SC", _WESTERN | _CJK),
    ("Arial Unicode MS", _WESTERN | _CJK | {"ARABIC", "ARMENIAN", "DEVANAGARI", "GEORGIAN", "HEBREW", "TAMIL", "THAI"}),
)
"""Fonts that have several scripts, and which; Noto has one more for each of the others."""

_PACKAGES = {True: "fonts-noto-cjk", False: "fonts-noto-core"}
"""Debian's packages of fonts, with those for East Asia and with all others."""

_INVISIBLE = frozenset([raw.FPDF_TEXTRENDERMODE_INVISIBLE, raw.FPDF_TEXTRENDERMODE_CLIP])
_GLYPH_SIZE = 10.0
_NAME_BYTES = 256
_MOST_SHOWN = 20
_PICTURES = re.compile("dingbats|wingdings|webdings|symbol", re.IGNORECASE)
"""Fonts of pictures, for which PDFium has its own and Unicode no numbers."""


class SystemFonts:
    """PDFium's finder of fonts, told for each document which font is to stand in for those that it lacks.

    There is one in the process, as there is one PDFium.
    """

    def __init__(self) -> None:
        self._stand_in: bytes | None = None
        self._info = raw.FPDF_GetDefaultSystemFontInfo()
        if not self._info:
            return
        self._map = _copy(self._info.contents.MapFont)
        self._get = _copy(self._info.contents.GetFont)
        # Kept, as PDFium calls it.
        self._callback = type(self._map)(self._find)
        self._info.contents.MapFont = self._callback
        raw.FPDF_SetSystemFontInfo(self._info)

    def stand_in(self, family: str | None) -> None:
        """Have ``family`` stand in for every font without a character set of its own, in documents opened from now."""
        self._stand_in = family.encode() if family else None

    def has(self, family: str) -> bool:
        """Whether the system has the font."""
        return bool(self._info) and bool(self._get(self._info, family.encode()))

    def _find(
        self, info: Any, weight: int, italic: int, charset: int, pitch: int, face: bytes, exact: Any
    ) -> int | None:
        preferred = _CHARSETS.get(charset, self._stand_in if charset != raw.FXFONT_SYMBOL_CHARSET else None)
        found: int | None = self._get(info, preferred) if preferred else None
        return found or self._map(info, weight, italic, charset, pitch, face, exact)


def _copy(function: Any) -> Any:
    """A function that a structure points to; what ctypes gives follows the pointer, also when it is replaced."""
    return type(function)(ctypes.cast(function, ctypes.c_void_p).value)


FONTS = SystemFonts()


def undrawn_text(page: pypdfium2.PdfPage) -> Undrawn:
    """The letters and digits of a page that are not drawn, as their font is not to be had.

    Annotations and form fields are not looked at, unless they were made part of the page.
    """
    fonts = {ctypes.addressof(item.raw.contents): font for item, font in _stood_in_for(page)}
    if not fonts:
        return {}
    text = page.get_textpage()
    try:
        used: dict[str, dict[int, Any]] = {}
        numbered: Undrawn = {}
        for index in range(raw.FPDFText_CountChars(text)):
            item = raw.FPDFText_GetTextObject(text, index)
            font = fonts.get(ctypes.addressof(item.contents)) if item else None
            if font is None:
                continue
            name = _name(font)
            if raw.FPDFText_HasUnicodeMapError(text, index):
                # A number of a glyph, in a font that is not there.
                if not _PICTURES.search(name):
                    numbered[name] = ""
                continue
            used.setdefault(name, {})[raw.FPDFText_GetUnicode(text, index)] = font
    finally:
        text.close()
    missing = {
        name: "".join(sorted(chr(code) for code, font in characters.items() if not _is_drawn(font, code)))
        for name, characters in used.items()
    }
    return numbered | {name: characters for name, characters in missing.items() if characters}


def scripts(undrawn: Undrawn) -> frozenset[str]:
    """What scripts the characters belong to, by their names in Unicode: ``CYRILLIC``, ``CJK`` and so on."""
    names = (unicodedata.name(character, "").split() for character in "".join(undrawn.values()))
    return frozenset(words[0] for words in names if words)


def stand_in_for(needed: frozenset[str]) -> str | None:
    """The font of the system that has the most of these scripts, or None where none has any."""
    of_their_own = [(f"Noto Sans {script.title()}", frozenset([script])) for script in sorted(needed - _WESTERN - _CJK)]
    there = [
        (family, has & needed) for family, has in (*_FAMILIES, *of_their_own) if has & needed and FONTS.has(family)
    ]
    return max(there, key=lambda candidate: len(candidate[1]))[0] if there else None


def describe(undrawn: Undrawn) -> str:
    """What is missing, and what to do about it, for people."""
    names = ", ".join(sorted(undrawn))
    characters = "".join(undrawn.values())
    if not characters:
        return (
            f"the PDF names fonts that are not in it ({names}) and says by numbers alone which of their characters it "
            "means, so text is missing or wrong; make the PDF again with its fonts embedded"
        )
    shown = characters[:_MOST_SHOWN] + ("…" if len(characters) > _MOST_SHOWN else "")
    packages = " and ".join(sorted({_PACKAGES[script in _CJK] for script in scripts(undrawn)}))
    return (
        f"the PDF names fonts that are not in it ({names}), and no font of this machine has the characters {shown}, so "
        f"they are missing: install fonts that do, such as Debian's {packages}, or make the PDF again with its fonts "
        "embedded"
    )


def is_visible(text: pypdfium2.PdfObject) -> bool:
    """Whether a piece of text is drawn, as what was recognised on a scan is not."""
    return raw.FPDFTextObj_GetTextRenderMode(text) not in _INVISIBLE


def _stood_in_for(page: pypdfium2.PdfPage) -> Iterator[tuple[pypdfium2.PdfObject, Any]]:
    """The visible text of a page whose font is not in the PDF."""
    for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT]):
        if is_visible(item):
            font = raw.FPDFTextObj_GetFont(item)
            if font and raw.FPDFFont_GetIsEmbedded(font) == 0:
                yield item, font


def _is_drawn(font: Any, code: int) -> bool:
    """Whether a character shows, or need not because it is neither a letter nor a digit."""
    if unicodedata.category(chr(code))[0] not in "LN":
        return True
    path = raw.FPDFFont_GetGlyphPath(font, code, _GLYPH_SIZE)
    return bool(path) and raw.FPDFGlyphPath_CountGlyphSegments(path) > 0


def _name(font: Any) -> str:
    buffer = ctypes.create_string_buffer(_NAME_BYTES)
    raw.FPDFFont_GetBaseFontName(font, buffer, _NAME_BYTES)
    return buffer.value.decode(errors="replace") or "without a name"
