"""Whether our engines say what stock PaddleOCR says: ``make bench-agreement IMAGES=folder``.

All read the same pages with the same model, thresholds and precision, and lines padded to the same least width, where
not said otherwise. Lines are matched by where they stand, and the texts of matched lines are compared by edit distance.
``--show`` prints the lines that differ.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.goals import Goal, check
from ocr_pipeline.images import whole_pages
from ocr_pipeline.ocr import Engine, load_engine
from ocr_pipeline.ocr.detection import PADDLEOCR
from ocr_pipeline.ocr.engine import load_pipeline
from ocr_pipeline.ocr.recognition import PADDLEOCR_WIDTH
from ocr_pipeline.ocr.scales import SIZE
from ocr_pipeline.records import Page, PageText, TextLine
from ocr_pipeline.settings.languages import alphabet
from ocr_pipeline.settings.run import ReadSettings

LEAST_OVERLAP = 0.5
"""Lines are the same when their upright boxes share at least this much of what they cover together."""

LARGEST = 4 * SIZE
"""Longest side of pages in pixels. Larger ones are reduced for both, as ours sees more of them than PaddleOCR does
(decision 74)."""

LEAST_CHARACTERS = 0.99
LEAST_LINES = 0.995


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two readings of the same pages agree.

    ``pairs`` are the lines that both have at the same place; ``lone`` is how many lines only one of them has.
    """

    pairs: tuple[tuple[TextLine, TextLine], ...]
    lone: int

    @property
    def characters(self) -> float:
        """Share of the characters of matched lines that agree, by edit distance."""
        distance = sum(edit_distance(one.text, other.text) for one, other in self.pairs)
        return 1 - distance / max(1, sum(max(len(one.text), len(other.text)) for one, other in self.pairs))

    @property
    def characters_without_spaces(self) -> float:
        """As :attr:`characters`, without the spaces of both."""
        pairs = tuple(
            (replace(one, text=one.text.replace(" ", "")), replace(other, text=other.text.replace(" ", "")))
            for one, other in self.pairs
        )
        return Agreement(pairs, self.lone).characters

    @property
    def lines(self) -> float:
        """Share of all lines, also of those that only one has, that both read alike."""
        return sum(one.text == other.text for one, other in self.pairs) / max(1, len(self.pairs) + self.lone)

    @property
    def matched(self) -> float:
        """Share of all lines that both have."""
        return len(self.pairs) / max(1, len(self.pairs) + self.lone)


def compare(ones: Iterable[PageText], others: Iterable[PageText]) -> Agreement:
    """Compare two readings of the same pages."""
    pairs: list[tuple[TextLine, TextLine]] = []
    lone = 0
    for one, other in zip(ones, others, strict=True):
        matched = list(match_lines(one.lines, other.lines))
        pairs += matched
        lone += len(one.lines) + len(other.lines) - 2 * len(matched)
    return Agreement(tuple(pairs), lone)


def match_lines(ones: Sequence[TextLine], others: Sequence[TextLine]) -> Iterable[tuple[TextLine, TextLine]]:
    """Pairs of lines that stand at the same place, each line in at most one, the closest first."""
    if not ones or not others:
        return
    overlap = _overlaps(_boxes(ones), _boxes(others))
    while overlap.max() >= LEAST_OVERLAP:
        i, j = (int(place) for place in np.unravel_index(overlap.argmax(), overlap.shape))
        yield ones[i], others[j]
        overlap[i], overlap[:, j] = 0, 0


def edit_distance(one: str, other: str) -> int:
    """Characters to insert, delete or replace to make one text the other (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def read_all(engine: Engine, pages: Sequence[Page]) -> list[PageText]:
    """Read ``pages`` in as many threads as the engine wants, and close it."""
    try:
        with ThreadPoolExecutor(engine.threads) as pool:
            return list(pool.map(engine.read, pages))
    finally:
        engine.close()


def _reduced(page: Page) -> Page:
    """``page`` with sides of at most :data:`LARGEST` pixels."""
    scale = LARGEST / max(page.height, page.width)
    if scale >= 1:
        return page
    size = (round(page.width * scale), round(page.height * scale))
    return replace(page, pixels=np.asarray(cv2.resize(page.pixels, size, interpolation=cv2.INTER_AREA), np.uint8))


def _boxes(lines: Sequence[TextLine]) -> npt.NDArray[np.float64]:
    """The upright boxes around ``lines``: (n, 4), left, top, right, bottom."""
    corners = np.array([line.quad for line in lines])
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def _overlaps(ones: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Intersection over union of each box with each other one, (n, m)."""
    low = np.maximum(ones[:, None, :2], others[None, :, :2])
    high = np.minimum(ones[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (ones, others)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9))


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--show", action="store_true", help="print the lines that differ")
    arguments = parser.parse_args()
    pages = [
        _reduced(page)
        for path in sorted(arguments.images.iterdir())
        if path.is_file()
        for page in whole_pages(path.read_bytes(), max_pixels=ReadSettings().max_pixels)
    ]
    upright = ReadSettings(orientation="none", precision="float32")
    english = upright.model_copy(update={"languages": ("en",)})

    def ours(runner: str, settings: ReadSettings, least_width: int = PADDLEOCR_WIDTH) -> Engine:
        return load_pipeline(
            runner,
            settings,
            threads=stock.threads,
            thresholds=PADDLEOCR,
            least_width=least_width,
            best_path=True,
        )

    stock = load_engine(ReadSettings(engine="paddleocr"))
    reference = read_all(stock, pages)
    every = read_all(ours("openvino", upright), pages)
    latin = read_all(ours("openvino", english), pages)
    other = read_all(ours("onnxruntime", upright), pages)
    padded = read_all(ours("openvino", upright, least_width=0), pages)
    shipped = read_all(load_engine(ReadSettings()), pages)
    legible = alphabet(["en"])
    agreements = {
        "every character, as paddleocr": compare(reference, every),
        "languages [en], as paddleocr": _only(compare(reference, latin), legible),
        "openvino as onnxruntime": compare(every, other),
        "padded as ours are, as paddleocr": compare(reference, padded),
        "as shipped, as paddleocr": compare(reference, shipped),
    }
    print(f"{'':32} {'pairs':>6} {'matched':>8} {'lines':>8} {'characters':>11} {'but spaces':>11}")
    for name, agreement in agreements.items():
        print(
            f"{name:32} {len(agreement.pairs):6} {agreement.matched:8.2%} {agreement.lines:8.2%} "
            f"{agreement.characters:11.3%} {agreement.characters_without_spaces:11.3%}"
        )
        if arguments.show:
            for one, ours_ in agreement.pairs:
                if one.text != ours_.text:
                    print(f"    {one.text!r} {one.confidence:.2f}  {ours_.text!r} {ours_.confidence:.2f}")
    return check(
        [
            *(
                Goal(f"{name}, share of characters", agreements[name].characters, least=LEAST_CHARACTERS)
                for name in ("every character, as paddleocr", "languages [en], as paddleocr")
            ),
            Goal(
                "openvino as onnxruntime, share of lines",
                agreements["openvino as onnxruntime"].lines,
                least=LEAST_LINES,
            ),
        ]
    )


def _only(agreement: Agreement, legible: Callable[[str], bool]) -> Agreement:
    """The pairs whose first line has no character beyond what the second could read."""
    pairs = tuple(pair for pair in agreement.pairs if all(map(legible, pair[0].text)))
    return Agreement(pairs, agreement.lone)


if __name__ == "__main__":
    sys.exit(main())
