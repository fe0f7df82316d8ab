"""Letters that are out of place on a page."""

from __future__ import annotations

import numpy as np
import pytest

from ocr_pipeline.ocr.decoding import LineText
from ocr_pipeline.ocr.strays import without_strays
from ocr_pipeline.ocr.words import Trace

ENGLISH = "The quick brown fox jumps over the lazy dog and then it sleeps for a while"


def line(
    text: str, sure: dict[str, float] | None = None, plain: dict[str, str] | None = None, as_plain: float = 0.2
) -> LineText:
    """A line that says ``text``, surely but for some characters, and what these are in ASCII, and how likely."""
    probabilities = np.array([(sure or {}).get(character, 0.99) for character in text], np.float32)
    plain_probabilities = np.full(len(text), as_plain, np.float32)
    in_ascii = [(plain or {}).get(character, character) for character in text]
    places = (np.arange(len(text)) + 0.5) / len(text)
    return LineText.of(Trace(list(text), places, probabilities, in_ascii, plain_probabilities))


def texts(*lines: LineText) -> list[str]:
    return [found.text for found in without_strays(lines)]


def test_a_doubtful_accent_on_an_english_page_is_dust() -> None:
    doubtful = line("Superíor", {"í": 0.6}, {"í": "i"})
    assert texts(line(ENGLISH), doubtful) == [ENGLISH, "Superior"]


def test_one_that_is_sure_stays() -> None:
    assert texts(line(ENGLISH), line("naïve", {"ï": 0.86}, {"ï": "i"})) == [ENGLISH, "naïve"]


@pytest.mark.parametrize(("text", "letter", "plain"), [("Ștefan", "Ș", ""), ("Σ", "Σ", ""), ("Malmö", "ö", "o")])
def test_a_lone_letter_of_a_foreign_name_that_nothing_in_ascii_is_like_stays(
    text: str, letter: str, plain: str
) -> None:
    assert texts(line(ENGLISH), line(text, {letter: 0.6}, {letter: plain}, 0.1)) == [ENGLISH, text]


def test_on_a_french_page_it_is_none() -> None:
    doubtful = line("chénes", {"é": 0.6}, {"é": "e"})
    assert texts(line(f"{ENGLISH} été"), doubtful) == [f"{ENGLISH} été", "chénes"]


def test_a_row_of_asterisks_is_not_chinese() -> None:
    unsure = {"本": 0.5, "车": 0.4}
    (_, row) = without_strays([line(ENGLISH), line("本车本", unsure, {"本": "*", "车": ""})])
    assert row.text == "**"
    assert row.confidence == pytest.approx(0.2)
    assert row.trace.places.tolist() == pytest.approx([0.5 / 3, 2.5 / 3])


def test_a_row_of_one_sign_is_not_chinese_however_sure_it_is() -> None:
    row = line("GST " + "家冰" * 6, plain={"家": "*", "冰": "*"})
    assert texts(line(ENGLISH), row, line("店é", {"店": 0.5, "é": 0.5}, {"店": "E", "é": "e"}))[1:] == [
        "GST ************",
        "Ee",
    ]


@pytest.mark.parametrize("text", ["家冰" * 3, "春眠不覺曉處處聞啼鳥" * 2])
def test_fewer_letters_or_more_kinds_of_them_are_no_row(text: str) -> None:
    assert texts(line(ENGLISH), line(text, plain=dict.fromkeys(text, "*")))[1] == text


def test_wide_signs_are_those_of_ascii() -> None:
    assert texts(line(ENGLISH), line("Tel：０１（２）")) == [ENGLISH, "Tel:01(2)"]


def test_wide_signs_on_a_page_that_is_partly_chinese_stay() -> None:
    assert texts(line(ENGLISH), line("電話：０１（２）"))[1] == "電話：０１（２）"


def test_where_a_letter_of_a_line_is_sure_its_neighbours_stay() -> None:
    mixed = line("张伟", {"伟": 0.5}, {"伟": "4"})
    assert texts(line(ENGLISH * 5), mixed)[1] == "张伟"


def test_a_script_that_the_page_is_written_in_is_not_strange_and_others_are() -> None:
    french = line(f"{ENGLISH} été à Noël")
    assert texts(french, line("é穴", {"é": 0.5, "穴": 0.5}, {"é": "e", "穴": ""}))[1] == "é"


@pytest.mark.parametrize("evidence", ["OPEN 24 hours", "營業時間" * 20])
def test_pages_that_are_not_known_to_be_in_ascii_stay(evidence: str) -> None:
    assert texts(line(evidence), line("店é", {"店": 0.5, "é": 0.5}, {"店": "E", "é": "e"}))[1] == "店é"
