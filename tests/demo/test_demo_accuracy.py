import pytest

from ocr_demo.accuracy import tokens, word_f1


def test_words_are_runs_of_letters_and_digits_in_upper_case() -> None:
    assert tokens("Total: £12.50 (incl. VAT)_x") == ["TOTAL", "12", "50", "INCL", "VAT", "X"]


def test_accents_and_the_letters_of_any_alphabet_belong_to_words() -> None:
    assert tokens("Crème brûlée, žlutý kůň, Straße") == ["CRÈME", "BRÛLÉE", "ŽLUTÝ", "KŮŇ", "STRASSE"]


def test_an_accent_counts_the_same_combined_or_on_its_own() -> None:
    assert tokens("cafe\N{COMBINING ACUTE ACCENT}") == tokens("caf\N{LATIN SMALL LETTER E WITH ACUTE}")


def test_chinese_and_japanese_characters_are_tokens_of_their_own() -> None:
    assert tokens("第3件共12件 A4紙") == ["第", "3", "件", "共", "12", "件", "A4", "紙"]
    assert tokens("コーヒー、お茶々。") == ["コ", "ー", "ヒ", "ー", "お", "茶", "々"]


def test_full_width_digits_and_letters_equal_plain_ones() -> None:
    assert tokens("\N{FULLWIDTH DIGIT ONE}\N{FULLWIDTH DIGIT TWO}\N{FULLWIDTH LATIN SMALL LETTER A}") == ["12A"]


def test_the_same_words_in_any_order_and_lines_are_perfect() -> None:
    assert word_f1([("price 5\nbread", "BREAD price: 5")]) == 1.0


def test_missing_and_invented_words_both_cost() -> None:
    assert word_f1([("one two", "one two three four")]) == pytest.approx(2 * 2 / (2 + 4))
    assert word_f1([("one two three four", "one two")]) == pytest.approx(2 * 2 / (4 + 2))


def test_a_repeated_word_is_matched_as_often_as_it_stands_on_both_sides() -> None:
    assert word_f1([("a a a", "a b")]) == pytest.approx(2 * 1 / (3 + 2))


def test_pages_are_not_mixed_and_weigh_by_their_words() -> None:
    assert word_f1([("left", "right"), ("right", "left")]) == 0.0
    assert word_f1([("x", "y"), ("a b c", "a b c")]) == pytest.approx(2 * 3 / 8)


def test_pages_without_words_add_nothing() -> None:
    assert word_f1([]) == 1.0
    assert word_f1([("...", "")]) == 1.0
    assert word_f1([("", "text")]) == 0.0
