"""How much of the text of pages is read: F1 of words and of characters, and words that are joined or split."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

_WORD = re.compile(r"[^\W_]+")
_CHARACTER = re.compile(r"[^\s_^~]")
"""Not the marks with which transcribers note what is underlined, raised or illegible."""

_RUN = 4
"""Parts into which a word may fall, or words that may be joined, to be taken for that."""


@dataclass(frozen=True, slots=True)
class Score:
    """A share summed over pages.

    ``parts`` and ``wholes``, float64 (pages,), add up to what is divided. Pages weigh by their wholes.
    """

    parts: npt.NDArray[np.float64]
    wholes: npt.NDArray[np.float64]

    @property
    def share(self) -> float:
        """The share over all pages; 1 where there is nothing."""
        return float(self._share(np.ones((1, len(self.parts))))[0])

    def interval(self, draws: npt.NDArray[np.float64]) -> tuple[float, float]:
        """Where the share lies with 90 % (bootstrap, percentiles; Efron, 1979)."""
        low, high = np.quantile(self._share(draws), (0.05, 0.95))
        return float(low), float(high)

    def gain(self, before: Score, draws: npt.NDArray[np.float64]) -> tuple[float, float, float]:
        """The share less that of ``before`` on the same pages, and where that lies with 90 %."""
        low, high = np.quantile(self._share(draws) - before._share(draws), (0.05, 0.95))
        return self.share - before.share, float(low), float(high)

    def _share(self, draws: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        parts, wholes = draws @ self.parts, draws @ self.wholes
        return np.where(wholes > 0, parts / np.maximum(wholes, 1), 1.0)


def draw_pages(pages: int, times: int = 4000) -> npt.NDArray[np.float64]:
    """How often each page is drawn when as many are drawn as there are, with replacement: (times, pages)."""
    chosen = np.random.default_rng(0).integers(pages, size=(times, pages))
    return np.stack([np.bincount(row, minlength=pages) for row in chosen]).astype(np.float64)


def words(text: str) -> list[str]:
    """The runs of letters and figures in ``text``, in capitals."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).upper())


def characters(text: str) -> list[str]:
    """The characters of ``text`` but spaces and transcribers' marks."""
    return _CHARACTER.findall(unicodedata.normalize("NFKC", text))


def f1(texts: Iterable[str], truth: Iterable[str], split: Callable[[str], list[str]]) -> Score:
    """F1 of what ``split`` makes of the pages, compared page by page without regard to order."""
    counts = []
    for text, true in zip(texts, truth, strict=True):
        found, expected = Counter(split(text)), Counter(split(true))
        counts.append((2 * (found & expected).total(), found.total() + expected.total()))
    return _score(counts)


def broken_words(texts: Iterable[str], truth: Iterable[str]) -> Score:
    """The share of words that are not read because they were joined with their neighbours, or split."""
    counts = []
    for text, true in zip(texts, truth, strict=True):
        read, expected = ([words(line) for line in page.splitlines()] for page in (text, true))
        missing = Counter(word for line in expected for word in line)
        total = missing.total()
        extra = Counter(word for line in read for word in line)
        missing, extra = missing - extra, extra - missing
        joined = sum(_claimed(_runs(expected), extra))
        split = sum(1 for _ in _claimed(_runs(read), missing))
        counts.append((min(joined + split, total), total))
    return _score(counts)


def label(path: Path) -> str:
    """The text in a CSV file of labels, a line each: eight numbers (four corners), then the text."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(line.split(",", 8)[8] for line in lines if line.count(",") >= 8)


def _runs(lines: Iterable[Sequence[str]]) -> Iterator[tuple[str, int]]:
    """Neighbouring words written as one, and how many they are."""
    for line in lines:
        for start in range(len(line)):
            for stop in range(start + 2, min(start + _RUN, len(line)) + 1):
                yield "".join(line[start:stop]), stop - start


def _claimed(runs: Iterable[tuple[str, int]], wanted: Counter[str]) -> Iterator[int]:
    """The lengths of those ``runs`` that are ``wanted``, each as often as it is."""
    for run, length in runs:
        if wanted[run] > 0:
            wanted[run] -= 1
            yield length


def _score(counts: Sequence[tuple[int, int]]) -> Score:
    parts, wholes = np.array(counts, np.float64).reshape(-1, 2).T
    return Score(parts, wholes)
