"""How well text was read: word F1 against the truth."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_TOKEN = re.compile(
    # A Chinese or Japanese character stands alone (Han with its extensions, iteration marks, kana): these
    # scripts put no spaces between words. Anything else that is alphanumeric runs on to the next that is not.
    r"[\u3005-\u3007\u3041-\u3096\u309d\u309e\u30a1-\u30fa\u30fc-\u30fe\u3400-\u4dbf\u4e00-\u9fff"
    r"\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|[^\W_\u3005-\u3007\u3041-\u3096\u309d\u309e\u30a1-\u30fa\u30fc-\u30fe\u3400-\u4dbf\u4e00-\u9fff"
    r"\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def tokens(text: str) -> list[str]:
    """The words of ``text`` as they are compared.

    Text is first brought to Unicode's NFKC form (so that full-width digits equal plain ones and an accent is
    part of its letter) and upper-cased. A token is a run of letters and digits of any alphabet; everything
    else separates. Each Chinese or Japanese character is a token of its own.
    """
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).upper())


def word_f1(pairs: Iterable[tuple[str, str]]) -> float:
    """Word F1 of ``(read, true)`` texts, one pair a page: from 0 to 1.

    Tokens (see :func:`tokens`) are compared as multisets within a page, so neither the order of lines nor
    where they break counts. Matches are summed over pages before F1 is taken, so that a page weighs by its
    words: ``2 * matches / (tokens read + tokens true)``. Pages without any token on either side add nothing;
    when no page has one, nothing was missed and the result is 1.
    """
    matches = total = 0
    for read, true in pairs:
        found, expected = Counter(tokens(read)), Counter(tokens(true))
        matches += (found & expected).total()
        total += found.total() + expected.total()
    return 2 * matches / total if total else 1.0
