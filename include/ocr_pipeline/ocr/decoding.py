"""From what a recogniser says of the steps along a line to its text.

Connectionist temporal classification (CTC), best path: Graves et al., ICML 2006. But for spaces, of which the best path
leaves many out (decision 71).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ocr_pipeline.ocr.steps import BEST, PLAIN, SPACE, Probabilities
from ocr_pipeline.ocr.words import NO_TRACE, Trace
from ocr_pipeline.settings.languages import is_unspaced

STEP = 8
"""Pixels, of a line as high as the network wants it, for which the network names one class."""

_SPACE = 0.2
"""How likely a space must be between two characters, times the blank there, to be read (decision 71)."""

_WIDER = 1.25
"""How far apart two characters with a space between them must be, times what is usual in their line.

In print that is spaced out, every gap looks a little like one.
"""

_FAR = 2.5
"""How far apart they are, times what is usual, and at least six steps, where there is one whatever the network says."""

_FAR_STEPS = 6

_USUAL = 4
"""Distances between characters that it takes to say what is usual."""

_LEGIBLE = 0.8
"""Confidence from which a line is read surely enough to tell where its words end."""

_CLOSING = frozenset(".,:;!?)]}…")
_OPENING = frozenset("([{")
"""What stands close to its word, after or before it, whatever the gap."""


@dataclass(frozen=True, slots=True)
class LineText:
    """What a line says and the mean probability of its characters but spaces; ``trace`` has these one by one."""

    text: str
    confidence: float
    trace: Trace = field(default=NO_TRACE, compare=False, repr=False)

    @classmethod
    def of(cls, trace: Trace) -> LineText:
        """The line that ``trace`` is of."""
        return cls(trace.text, trace.confidence, trace)


def decode(
    classes: npt.NDArray[np.integer],
    probabilities: Probabilities,
    characters: Sequence[str],
    width: int,
    *,
    find_spaces: bool = True,
) -> LineText:
    """CTC best path: repeated classes are one character, class 0 (blank) is none.

    :param classes: of each step, (steps, 2); see :mod:`ocr_pipeline.ocr.steps`.
    :param probabilities: likewise, (steps, 3).
    :param width: that of the line in pixels, without what it was padded with.
    :param find_spaces: also read spaces that are less likely than none.
    """
    best, sure = classes[:, BEST], probabilities[:, BEST]
    chosen = best != 0
    chosen[1:] &= best[1:] != best[:-1]
    steps = np.flatnonzero(chosen)
    if not len(steps):
        return LineText("", 0.0)
    line = LineText.of(
        Trace(
            [characters[c] for c in best[steps]],
            (steps + 0.5) * (STEP / width),
            sure[steps],
            [characters[c] for c in classes[steps, PLAIN]],
            probabilities[steps, PLAIN],
        )
    )
    if not find_spaces or line.confidence < _LEGIBLE:
        return line
    gap = (best == 0) & (probabilities[:, SPACE] > _SPACE * sure)
    empty = np.diff(np.cumsum(gap)[steps]) > 0
    apart = np.diff(steps)
    if not (empty | (apart >= _FAR_STEPS)).any():
        return line
    named = line.trace.characters
    inside = apart[[" " not in pair for pair in itertools.pairwise(named)]]
    if len(inside) >= _USUAL:
        usual = np.median(inside)
        empty &= apart >= _WIDER * usual
        empty |= apart >= max(_FAR * usual, _FAR_STEPS)
    found = [i for i in (np.flatnonzero(empty) + 1).tolist() if _may_part(named[i - 1], named[i])]
    return LineText.of(line.trace.with_spaces(found)) if found else line


def _may_part(left: str, right: str) -> bool:
    """Whether a space may stand between two characters that was not read for itself."""
    if left == " " or right == " " or left in _OPENING or right in _CLOSING:
        return False
    return not (is_unspaced(left) and is_unspaced(right))
