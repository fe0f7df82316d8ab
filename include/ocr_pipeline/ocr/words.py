"""The words of a line, and where each stands, from where the recogniser saw its characters.

The recogniser names the character that it sees at each step along a line. It does so once for each character, near
its middle: within a step, a sixth of the line's height (measured). So a character is taken to reach half-way to its
neighbours; PaddleOCR lets words begin and end at the steps themselves, which cuts into their outer letters.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ocr_pipeline.ocr.geometry import Corners, as_quad, sides, stretch_of
from ocr_pipeline.records import TextWord
from ocr_pipeline.settings.languages import is_unspaced

_REACH = 0.5
"""How far a character reaches from its middle at most, in heights of its line: few are wider than the line is high."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """The characters of a line one by one.

    ``characters`` says what they are, ``places``, float (n,), where along the line each has its middle, 0 to 1 in the
    direction of reading, and ``probabilities``, float (n,), how sure the recogniser is of it. ``plain`` and
    ``plain_probabilities`` say what each is in ASCII, which may be nothing, and how sure that is.
    """

    characters: Sequence[str]
    places: npt.NDArray[np.floating]
    probabilities: npt.NDArray[np.floating]
    plain: Sequence[str]
    plain_probabilities: npt.NDArray[np.floating]

    @property
    def text(self) -> str:
        """What the line says."""
        return "".join(self.characters)

    @property
    def confidence(self) -> float:
        """The mean probability of the characters but spaces; 0 where there is none."""
        pairs = zip(self.characters, self.probabilities.tolist(), strict=True)
        sure = [probability for character, probability in pairs if character != " "]
        return sum(sure) / len(sure) if sure else 0.0

    def within(self, start: float, stop: float) -> Trace:
        """The same of a line of which this one is the part between two fractions of its length."""
        return replace(self, places=start + (stop - start) * self.places)

    def with_spaces(self, before: Sequence[int]) -> Trace:
        """The same with a space before each of some characters, none of them the first."""
        after = [i - 1 for i in before]
        return Trace(
            _with_spaces(self.characters, before),
            np.insert(self.places, before, (self.places[before] + self.places[after]) / 2),
            np.insert(self.probabilities, before, 0.0),
            _with_spaces(self.plain, before),
            np.insert(self.plain_probabilities, before, 0.0),
        )

    def in_ascii(self, doubtful: Sequence[int]) -> Trace:
        """The same with some characters as what they are in ASCII, if anything."""
        characters, probabilities = list(self.characters), self.probabilities.copy()
        for i in doubtful:
            characters[i], probabilities[i] = self.plain[i], self.plain_probabilities[i]
        left = [i for i, character in enumerate(characters) if character]
        return Trace(
            [characters[i] for i in left],
            self.places[left],
            probabilities[left],
            [self.plain[i] for i in left],
            self.plain_probabilities[left],
        )


NO_TRACE = Trace([], np.zeros(0, np.float32), np.zeros(0, np.float32), [], np.zeros(0, np.float32))
"""That of a line that says nothing."""


def joined(traces: Sequence[Trace]) -> Trace:
    """Traces of one line, in their order."""
    return Trace(
        list(itertools.chain.from_iterable(trace.characters for trace in traces)),
        np.concatenate([trace.places for trace in traces]),
        np.concatenate([trace.probabilities for trace in traces]),
        list(itertools.chain.from_iterable(trace.plain for trace in traces)),
        np.concatenate([trace.plain_probabilities for trace in traces]),
    )


def words_of(trace: Trace, corners: Corners) -> tuple[TextWord, ...]:
    """The words of a line that stands inside ``corners``, which start where reading starts.

    Spaces part words; where a script has none, every character is a word. A word is as sure as its characters are on
    average.
    """
    across, down = sides(corners)
    reach = _REACH * down / max(across, 1.0)
    middles = (trace.places[1:] + trace.places[:-1]) / 2
    starts = np.maximum(np.append(0.0, middles), trace.places - reach)
    stops = np.minimum(np.append(middles, 1.0), trace.places + reach)
    return tuple(
        TextWord(
            "".join(trace.characters[first:last]),
            float(trace.probabilities[first:last].mean()),
            as_quad(stretch_of(corners, float(starts[first]), float(stops[last - 1]))),
        )
        for first, last in _spans(trace.characters)
    )


def _with_spaces(characters: Sequence[str], before: Sequence[int]) -> list[str]:
    """``characters`` with a space before each of some, which ascend."""
    edges = [0, *before, len(characters)]
    parts = [characters[start:stop] for start, stop in itertools.pairwise(edges)]
    return [*parts[0], *(character for part in parts[1:] for character in (" ", *part))]


def _spans(characters: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where words begin and end among ``characters``."""
    first = 0
    for i, character in enumerate(characters):
        alone = is_unspaced(character)
        if not alone and not character.isspace():
            continue
        if first < i:
            yield first, i
        if alone:
            yield i, i + 1
        first = i + 1
    if first < len(characters):
        yield first, len(characters)
