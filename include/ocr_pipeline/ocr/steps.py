"""What a recogniser says of each step along a line, of its 18,710 classes: the outputs of its network on any engine.

Probabilities are float32 (n, steps, 3), with the columns :data:`BEST`, :data:`PLAIN` and :data:`SPACE`; classes are
integers (n, steps, 2), with the first two of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float32]

BEST = 0
"""The class that is likeliest."""

PLAIN = 1
"""The likeliest of the blank and what ASCII has: what the best class is taken for where its letter is out of place."""

SPACE = 2
"""The class of the space, which is often nearly as likely as the blank and rarely likelier where it should be."""


def plain_classes(characters: Sequence[str]) -> list[int]:
    """The classes to choose :data:`PLAIN` from; ``characters`` has the text of each, none for the blank."""
    return [c for c, text in enumerate(characters) if text.isascii()]


def space_class(characters: Sequence[str]) -> int:
    """The class of the space: the last one, as PP-OCR adds it to the dictionary."""
    return len(characters) - 1


def choose(probabilities: Probabilities, characters: Sequence[str]) -> tuple[Probabilities, npt.NDArray[np.intp]]:
    """The outputs from the probabilities of all classes, (n, steps, classes)."""
    plain = plain_classes(characters)
    best = probabilities.argmax(axis=-1)
    ascii_best = np.asarray(plain)[probabilities[..., plain].argmax(axis=-1)]
    classes = np.stack([best, ascii_best], axis=-1)
    spaces = probabilities[..., space_class(characters), None]
    return np.concatenate([np.take_along_axis(probabilities, classes, axis=-1), spaces], axis=-1), classes
