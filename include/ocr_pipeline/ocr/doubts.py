"""Whether a page seems to be written in what its model cannot read, and which model can.

A recogniser leaves out characters that it never learnt, or takes them for others and is unsure. So what counts is how
much of a page's text, by the length of its lines, was read surely. On 160 scanned and photographed pages in scripts
that the model knows, unsure lines make up 1 % as a rule and 43 % at most, one page of handwriting (95 %) aside; on 400
drawn ones in 30 scripts that it does not know, 97 % as a rule. The thresholds stand where the two are furthest apart;
see decision 64.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from ocr_pipeline.errors import WarningCategory
from ocr_pipeline.ocr.geometry import Corners, sides
from ocr_pipeline.records import PageWarning, Pixels
from ocr_pipeline.settings.languages import script_of, script_of_character
from ocr_pipeline.settings.models import MODELS, model_by_script

Reading = tuple[str, float, Corners]
"""A line: what it says, which may be nothing, how sure that is, and where it stands."""

_SURE = 0.8
"""Confidence from which a line counts as read."""

_MOST = 0.5
"""Of the length of a page's lines, the share that must be unread."""

_SHORT = 1.5
"""Lines that are shorter than this, in heights of the line, do not count: most of what is taken for text in pictures
is, and of words only the shortest are."""

_EVIDENCE = 3.0
"""Length of the unread lines together, in heights of a line, that a page must have: a word of five letters."""

_FLAT = 2.0
"""Standard deviation of the grey levels, of 256, of paper without ink."""

_NAMES = {"han": "Chinese", "kana": "Japanese", "hangul": "Korean"}
"""What scripts are called that are not called as they are named here."""

_HORNED = frozenset("ơưƠƯ")
_BARRED = frozenset("đĐ")
_VOWELS = _HORNED | frozenset("àãèêìòôùăĩũÀÃÈÊÌÒÔÙĂĨŨ")
_SLAVIC = frozenset("čćšžČĆŠŽ")
_TELLING = 2
"""Letters that tell Vietnamese from all other languages, of which a page must have so many."""


class Doubts:
    """What to tell of pages that a model with this valid name has read, limited to ``languages``, if there are any."""

    def __init__(self, model: str, languages: Sequence[str] = ()) -> None:
        scripts = tuple(map(script_of, languages)) or MODELS[model].scripts
        # Japanese is written with Chinese characters as well, and Latin letters belong to every language.
        self._read = frozenset(("latin", *scripts, *(("han",) if "kana" in scripts else ())))
        self._vietnamese = "vi" in languages
        self._advice = _advice(model, languages)

    def about(self, readings: Iterable[Reading], pixels: Pixels) -> tuple[PageWarning, ...]:
        """What to tell of a page with these ``pixels``; nothing as a rule.

        :param readings: all lines that were found on it, also those that are too unsure for the results.
        """
        read, unread, sure = 0.0, 0.0, ""
        for text, confidence, corners in readings:
            letters = _letters(text)
            if not text.strip():
                unread += 0.0 if _is_flat(pixels, corners) else _length(corners)
            elif confidence < _SURE or self._is_foreign(letters):
                unread += _length(corners)
            else:
                sure += text
                read += _length(corners) if letters else 0.0  # figures are in every script
        if unread >= _EVIDENCE and unread > _MOST * (read + unread):
            share = unread / (read + unread)
            detail = f"{share:.0%} of the text was not read surely. {self._advice}"
        elif self._is_vietnamese(sure):
            detail = (
                "The page is Vietnamese, and no model knows all of its letters: those with two marks or a dot below, "
                "such as ế and ọ, are missing from the text or taken for others."
            )
        else:
            return ()
        return (PageWarning(WarningCategory.UNKNOWN_SCRIPT, detail),)

    def _is_foreign(self, letters: Sequence[str]) -> bool:
        """Whether most letters are of scripts of which the model knows some as symbols, as many do Greek."""
        scripts = [script_of_character(letter) for letter in letters]
        return 2 * sum(script is not None and script not in self._read for script in scripts) > len(letters)

    def _is_vietnamese(self, text: str) -> bool:
        """Whether ``text`` has letters that only Vietnamese has, or was said to be Vietnamese."""
        if self._vietnamese:
            return bool(_letters(text))
        letters = set(text)
        telling = sum(character in _HORNED or "\u1ea0" <= character <= "\u1ef9" for character in text)
        # A barred d is Croatian, too, which has no such vowels; a label in many languages has both, and a caron.
        if letters & _VOWELS and not letters & _SLAVIC:
            telling += sum(character in _BARRED for character in text)
        return telling >= _TELLING


def _letters(text: str) -> list[str]:
    return [character for character in text if character.isalpha()]


def _length(corners: Corners) -> float:
    """The length of a line in heights of the line, which tells how many characters it has; 0 of one that is short."""
    short, long = sorted(sides(corners))
    length = long / max(short, 1.0)
    return length if length >= _SHORT else 0.0


def _is_flat(pixels: Pixels, corners: Corners) -> bool:
    """Whether there is nothing but paper: on wide empty areas lines are found that are not there."""
    height, width = pixels.shape[:2]
    left, top = np.clip(corners.min(axis=0).astype(int), 0, (width - 1, height - 1))
    right, bottom = np.maximum(corners.max(axis=0).astype(int), (left, top)) + 1
    return float(cv2.cvtColor(pixels[top:bottom, left:right], cv2.COLOR_BGR2GRAY).std()) < _FLAT


def _advice(model: str, languages: Sequence[str]) -> str:
    """Why a page was not read, and what to do about it."""
    known = {"latin", *MODELS[model].scripts}
    others = ", ".join(
        sorted(f"{_name(script)} by {name}" for script, name in model_by_script().items() if script not in known)
    )
    return (
        (
            f"Only characters of {', '.join(languages)} are read, so if the page is in another language, add it to the "
            f"setting languages or leave that empty. "
            if languages
            else "The page may be in a script that the model does not know. "
        )
        + f"Model {model} reads {_listed(sorted(map(_name, known)))}. The setting model names models for others, which "
        f"make models MODEL=NAME downloads: {others}. Scripts that are not among these are read by none. "
        "Handwriting and blurred print look the same."
    )


def _name(script: str) -> str:
    return _NAMES.get(script, script.capitalize())


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
