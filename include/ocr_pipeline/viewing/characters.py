"""Characters that cannot be seen, or turn others round, as they are shown to people."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

# Controls, those of the direction of writing, joiners of words, tags. Not those that Persian, Indian scripts and emoji
# need between letters (U+200C, U+200D), and not what moves on: tabs and ends of lines.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\U000e0001\U000e0020-\U000e007f]"
)
_MARKS = "\u061c\u200e\u200f"
"""What only says how the signs beside it are ordered; it stays where it is, so that they are."""


def visible(text: object) -> Markup:
    """``text`` as HTML, escaped, in which unseen characters are their code points, in elements of the class ``code``.

    In a link, such a character is why a file is not found, and it can make the link look like another.
    """
    return Markup(_UNSEEN.sub(_element, str(escape(text))))


def visible_text(text: str) -> str:
    """``text`` with the code points of unseen characters in their places, where there can be no elements."""
    return _UNSEEN.sub(lambda found: f"<{_name(found[0])}>", text)


def _element(found: re.Match[str]) -> str:
    # What a script needs to make the text what it was again: it takes the code away, or the character for it.
    mark = found[0] if found[0] in _MARKS else ""
    return f'<bdi class="code{" mark" if mark else ""}">{_name(found[0])}</bdi>{mark}'


def _name(character: str) -> str:
    return f"U+{ord(character):04X}"
