"""Unseen characters are shown by their code points, and all others as they are."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_pipeline.viewing.characters import visible, visible_text


def code(name: str) -> str:
    return f'<bdi class="code">{name}</bdi>'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("img/\u202einv2.webp", f"img/{code('U+202E')}inv2.webp"),
        ("a\x00b\x1bc\u200bd\ufeff", f"a{code('U+0000')}b{code('U+001B')}c{code('U+200B')}d{code('U+FEFF')}"),
        ("<b>\u2066&", f"&lt;b&gt;{code('U+2066')}&amp;"),
        ("one\n\ttwo\r\n", "one\n\ttwo\r\n"),
        ("שלום world, مرحبا", "שלום world, مرحبا"),
        ("شماره\u200c\u200d ها 👩\u200d👧", "شماره\u200c\u200d ها 👩\u200d👧"),
        ("\u200fשלום!", '<bdi class="code mark">U+200F</bdi>\u200fשלום!'),
        (7, "7"),
    ],
)
def test_what_cannot_be_seen_is_shown(text: object, shown: str) -> None:
    assert str(visible(text)) == shown


@given(st.text())
def test_nothing_turns_others_round_or_becomes_html(text: str) -> None:
    for shown in (str(visible(text)), visible_text(text)):
        assert not {"\u202a", "\u202b", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068"} & set(shown)
        assert not [sign for sign in shown if unicodedata.category(sign) == "Cc" and sign not in "\t\n\r"]
    assert not re.search(r"<(?!/?bdi\b)", str(visible(text)))
