"""From the classes of steps to text, without a network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ocr_pipeline.ocr.decoding import LineText, decode

CHARACTERS = ("", *"abcA.,(:4", *"天地", " ")


def steps(text: str, *, sure: float = 0.9, space: float = 0.0) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """What a network says that reads ``text``, a step a character: ``-`` is a blank, ``_`` one that may be a space."""
    best = [0 if character in "-_" else CHARACTERS.index(character) for character in text]
    classes = np.stack([best, best], axis=-1)
    probabilities = np.full((len(text), 3), sure, np.float32)
    probabilities[:, 2] = [space if character == "_" else 0.0 for character in text]
    return classes, probabilities


@pytest.mark.parametrize(
    ("classes", "text", "confidence"),
    [
        ([0, 1, 1, 0, 1, 2, 0, 0, 3], "aabc", (0.2 + 0.5 + 0.6 + 0.9) / 4),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1], "a", 0.1),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0], "", 0.0),
        ([3, 0, 3, 4, 4, 2, 1, 2, 0], "cc bab", (0.1 + 0.3 + 0.6 + 0.7 + 0.8) / 5),
        ([4, 4, 0, 0, 0, 0, 0, 0, 0], " ", 0.0),
    ],
)
def test_decoding_takes_the_first_of_each_run(classes: list[int], text: str, confidence: float) -> None:
    probabilities = np.zeros((9, 3), np.float32)
    probabilities[:, 0] = np.arange(1, 10) / 10

    reading = decode(np.array([classes, classes]).T, probabilities, ("", "a", "b", "c", " "), width=72)

    assert reading.text == text
    assert reading.confidence == pytest.approx(confidence)


def read(text: str, **options: float) -> LineText:
    classes, probabilities = steps(text, **options)
    return decode(classes, probabilities, CHARACTERS, width=8 * len(text))


def test_a_gap_in_which_a_space_is_likely_is_one() -> None:
    assert read("ab_ca", space=0.2).text == "ab ca"
    assert read("a--_-a__4", space=0.2).text == "a a 4"
    assert read("ab_ca", space=0.17).text == "abca"  # less than a fifth of the blank's 0.9


def test_in_print_that_is_spaced_out_only_wider_gaps_are_spaces() -> None:
    assert read("a__b__c__a__b", space=0.4).text == "abcab"
    assert read("a__b_c__a_____b__c", space=0.4).text == "abca bc"
    assert read("a__b__c", space=0.4).text == "a b c"  # too short to say what is usual


def test_where_characters_stand_far_apart_there_is_a_space() -> None:
    assert read("ab-ca-----4-4-4").text == "abca 444"
    assert read("ab-ca----4-4-4").text == "abca444"  # five steps
    assert read("a---b---c---a------b").text == "abcab"  # spaced out
    assert read("天-地-天-地------天").text == "天地天地天"


def test_only_between_characters() -> None:
    assert read("__ab__", space=0.4).text == "ab"
    assert read("a_ _b", space=0.4).text == "a b"


@pytest.mark.parametrize(
    ("steps", "text"), [("a_.b", "a.b"), ("a._b", "a. b"), ("a_(b", "a (b"), ("(_a_,b", "(a,b"), ("A_:_4", "A: 4")]
)
def test_signs_stand_close_to_their_word(steps: str, text: str) -> None:
    assert read(steps, space=0.4).text == text


def test_chinese_has_no_spaces_but_before_other_letters() -> None:
    assert read("天_地_ab", space=0.4).text == "天地 ab"


def test_a_line_that_is_hardly_legible_is_not_parted() -> None:
    assert read("ab_ca", sure=0.79, space=0.7).text == "abca"


def test_a_line_can_be_read_without() -> None:
    classes, probabilities = steps("ab_ca", space=0.8)
    assert decode(classes, probabilities, CHARACTERS, width=40, find_spaces=False).text == "abca"


def test_a_space_that_was_found_stands_between_its_neighbours_and_is_no_part_of_the_confidence() -> None:
    reading = read("ab__ca", space=0.3)

    assert reading.trace.characters == list("ab ca")
    assert reading.trace.places.tolist() == pytest.approx([0.5 / 6, 1.5 / 6, 3 / 6, 4.5 / 6, 5.5 / 6])
    assert reading.confidence == pytest.approx(0.9)
