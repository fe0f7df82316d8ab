"""The typefaces of the demo, all from installed packages with free licences.

``noto-cjk-sans-otc``, ``pymupdf-fonts`` and ``font-source-serif-pro`` carry fonts under the SIL Open Font
License 1.1 (Ubuntu's under the Ubuntu Font Licence 1.0).
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from io import BytesIO
from pathlib import Path

import font_source_serif_pro
import noto_cjk_sans_otc
import pymupdf_fonts
from PIL import ImageFont

Font = ImageFont.FreeTypeFont

_UNASSIGNED = "\U0010ffff"
"""A noncharacter: no font has a glyph for it, so it is drawn as the font's missing-glyph box."""


class Face(Enum):
    """A typeface. The value says where it comes from: a package's own name for it, a file, or a collection's index."""

    SANS = "figo"
    SANS_BOLD = "figbo"
    HUMANIST = "notos"
    HUMANIST_BOLD = "notosbo"
    ROUND = "ubuntu"
    ROUND_BOLD = "ubuntubo"
    MONO = "fimo"
    MONO_BOLD = "fimbo"
    MONO_ROUND = "ubuntm"
    MONO_ROUND_BOLD = "ubuntmbo"
    MONO_WIDE = "cascadia"
    SERIF = "SourceSerifPro-Regular.ttf"
    SERIF_BOLD = "SourceSerifPro-Bold.ttf"
    JAPANESE = 0
    CHINESE = 2

    def at(self, size: int) -> Font:
        """The typeface at ``size`` pixels to the em."""
        return _load(self, size)

    def missing(self, text: str) -> str:
        """The characters of ``text``, spaces aside, that the typeface has no glyph for."""
        return "".join(sorted({c for c in text if not c.isspace() and not _has_glyph(self, c)}))


@cache
def _load(face: Face, size: int) -> Font:
    source: str | BytesIO
    index = 0
    if isinstance(face.value, int):
        source, index = str(noto_cjk_sans_otc.FONT_PATH), face.value
    elif face.value.endswith(".ttf"):
        source = str(Path(font_source_serif_pro.font_directory) / face.value)
    else:
        source = BytesIO(pymupdf_fonts.myfont(face.value))
    # The basic layout is part of every Pillow; the other one depends on a library of the machine.
    return ImageFont.truetype(source, size, index=index, layout_engine=ImageFont.Layout.BASIC)


@cache
def _has_glyph(face: Face, character: str) -> bool:
    font = face.at(24)
    return _ink(font, character) != _ink(font, _UNASSIGNED)


def _ink(font: Font, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)
