"""The scores by which readings are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import BROKEN, PageSet
from benchmarks.scores import broken_words, characters, draw_pages, f1, label, words


def test_words_are_compared_in_capitals_and_without_order() -> None:
    assert f1(["Total 6.40\nmilk"], ["MILK total 6.40"], words).share == 1
    # Of 3 and 4 words, 2 are alike.
    assert f1(["one two six"], ["one two three four"], words).share == pytest.approx(4 / 7)


def test_letters_of_other_scripts_are_words() -> None:
    assert words("Été à l'école_2, 愚园路") == ["ÉTÉ", "À", "L", "ÉCOLE", "2", "愚园路"]


def test_transcribers_marks_are_no_characters() -> None:
    assert characters("_10^ème ~~~ fête") == list("10èmefête")


def test_nothing_on_a_page_without_text_is_right() -> None:
    assert f1([""], [""], words).share == 1
    assert f1(["noise"], [""], words).share == 0


def test_joined_and_split_words() -> None:
    truth = ["free range eggs from our farm\nthank you"]

    assert broken_words(["free range eggs from our farm\nthank you"], truth).share == 0
    assert broken_words(["freerange eggs from our farm\nthank you"], truth).share == 2 / 8
    assert broken_words(["free range eg gs from our farm\nthank you"], truth).share == 1 / 8
    # Misread or lost is not broken, and lines do not run together.
    assert broken_words(["free range eggz from our\nfarm\nthank"], truth).share == 0
    assert broken_words(["free range eggs from our farmthank you"], truth).share == 0


def test_a_difference_on_the_same_pages_is_known_better_than_each_figure() -> None:
    truth = [f"{'right ' * page}{'lost ' * 5}" for page in range(40)]
    before = f1([f"{'right ' * page}" for page in range(40)], truth, words)
    now = f1([f"{'right ' * page}lost" for page in range(40)], truth, words)
    draws = draw_pages(40)

    gain, low, high = now.gain(before, draws)

    assert gain == pytest.approx(now.share - before.share)
    assert 0 < low < gain < high
    figure_low, figure_high = now.interval(draws)
    assert figure_low < now.share < figure_high
    assert high - low < (figure_high - figure_low) / 2


def test_every_draw_has_as_many_pages() -> None:
    assert (draw_pages(7, times=50).sum(axis=1) == 7).all()
    assert np.array_equal(draw_pages(7), draw_pages(7))


def test_a_label_may_hold_commas(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("0,0,9,0,9,9,0,9,Dunmore, 12\n0,0,9,0,9,9,0,9,\nno label\n")
    assert label(tmp_path / "a.csv") == "Dunmore, 12\n"


def page_set(text: str) -> PageSet:
    return PageSet("drawn", (Path("a.png"),), (text,))


def test_what_labels_lack_is_not_measured() -> None:
    assert set(page_set("FishFarm").scores({"a.png": "Fish Farm"})) == {"character F1"}
    assert set(page_set("Fish Farm").scores({"a.png": "Fish Farm"})) == {"word F1", "character F1", BROKEN}
    assert page_set("FISH FARM").scores({"a.png": "Fish Farm"})["character F1"].share == 1
    assert page_set("Fish FARM").scores({"a.png": "Fish Farm"})["character F1"].share < 1
