"""Putting lines in the order in which a person reads them, and together what belongs together.

Lines beside each other form rows, read from left to right, so that an item stays with its price and a label with its
value. Where the lines on both sides of a gap are columns of their own, the left side is read before the right one, and
inside each side the same question is asked again.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ocr_pipeline.ocr.geometry import Quads

_ROW_OVERLAP = 0.5
"""Two lines share a row when their centres are closer than this share of the smaller height."""

_TALL = 1.8
"""A line that is higher than most by this factor stands in the row of its top: an initial begins its first line."""

_MIN_COLUMN_LINES = 3
"""Fewer lines beside each other are a table or a heading rather than columns."""

_MIN_PROSE_ASPECT = 8.0
"""Lines of prose are at least this many times as wide as high (about 25 letters); prices, labels and dates are not."""

_FULL = 0.7
"""Lines of prose fill this much of their column at least; cells of a table leave more of it empty."""

_WORDS = 2
"""Words that a line of a narrow column has at least."""

_WIDE_GAP = 4.0
"""Lists of texts are apart by at least this many line heights, the columns of a table by less."""

_MOST = 0.5
"""What more than this share of the lines are, a column is."""

_SOME = 1 / 3
"""Where more than this share of what stands beside each other is an item and its number, all of it is read in rows."""

_HEAD = 2
"""Rows of one column alone with which a run of columns may begin, where the lines of the other are lower."""

_BREAK = 3.5
"""Blank line heights across all columns after which a new part of the page begins."""

_APART = 1.5
"""Rows of a table are as far apart as usual up to this factor."""

_SPACED = 0.5
"""Blank line heights between cells of several lines, at least."""

_CLEARLY = 1.6
"""By this factor what is blank between cells is larger than what is blank inside them."""

_SEVERAL = 0.3
"""Of the rows of a table with cells of several lines, this share have one at least."""

_CELL_LINES = 4
"""Lines that a cell has at most; more are a paragraph."""

_PARAGRAPH = 0.9
"""Blank line heights above a line that begins a new block."""

_UNEVEN = 1.6
"""Blank line heights that vary by less than this factor part no blocks: a list may be spaced out."""

_SAME_SIZE = 1.4
"""Lines of a block differ in height by less than this factor."""

_RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")
"""Hebrew, Arabic and the scripts beside them (Unicode, roadmap to the BMP)."""

_LETTER = re.compile(r"[^\W\d_]")
_DIGIT = re.compile(r"\d")


Gap = tuple[float, float]
"""Where nothing stands between two columns: from x, to x."""


@dataclass(frozen=True, slots=True)
class _Box:
    """A line's extent on the page once the page's tilt is taken out, and what it says."""

    index: int
    left: float
    right: float
    top: float
    bottom: float
    middle: float
    height: float
    text: str

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def numeric(self) -> bool:
        """Whether it is an amount, a date or a number rather than words."""
        return len(_DIGIT.findall(self.text)) > len(_LETTER.findall(self.text))

    @property
    def label(self) -> bool:
        """Whether it says what the text beside it is."""
        return self.text.rstrip().endswith((":", "：", "…", ".."))


Rows = Sequence[Sequence[_Box]]
"""Lines from top to bottom, those of a row from left to right."""

_Part = tuple[Rows, Gap | None]
"""Rows, and the gap between the columns in them, if there is one."""


def reading_order(quads: Quads, texts: Sequence[str]) -> list[list[int]]:
    """The indices of lines in reading order, in blocks: paragraphs, cells, and rows of a table that follow closely.

    :param quads: float (n, 4, 2) in pixels, of an upright page; each starts where reading starts.
    :param texts: what each says.
    """
    boxes = _boxes(quads, texts)
    return [[box.index for box in block] for block in _blocks(_ordered(boxes))]


def _ordered(boxes: Sequence[_Box]) -> list[_Box]:
    rows = _rows(boxes)
    order: list[_Box] = []
    start = 0
    while start < len(rows):
        begin, stop, gaps = _run(rows, start)
        order += itertools.chain.from_iterable(rows[start:begin])
        if begin < stop:
            order += _run_in_order(rows[begin:stop], gaps)
        start = stop
    return order


def _run_in_order(rows: Rows, gaps: Sequence[Gap]) -> list[_Box]:
    """Rows that share ``gaps``, in order: by columns where they are some, else row by row."""
    if cuts := _between_cells(rows, gaps):
        return [box for band in _cut(rows, cuts) for cell in _cells(band, gaps) for box in _ordered(cell)]
    order: list[_Box] = []
    for part, gap in _parts(rows, gaps):
        if gap is None:
            order += itertools.chain.from_iterable(part)
        else:
            order += [box for cell in _cells(part, [gap]) for box in _ordered(cell)]
    return order


def _parts(rows: Rows, gaps: Sequence[Gap]) -> list[_Part]:
    """Cut rows where all columns are blank, each part with the widest gap between columns in it, if there is one.

    What has the same columns stays together, as paragraphs may end beside each other.
    """
    height = float(np.median([box.height for row in rows for box in row]))
    blanks = _blanks(rows)
    least = max(height, _APART * float(np.median(blanks or [0.0])))
    cuts = [number for number, blank in enumerate(blanks, 1) if blank > least]
    parts: list[_Part] = []
    for part, above in zip(_cut(rows, cuts), [math.inf, *(blanks[cut - 1] for cut in cuts)], strict=True):
        new = (part, _between_columns(part, gaps))
        if parts and above < _BREAK * height and (gap := _common_gap(parts[-1], new)):
            parts[-1] = ([*parts[-1][0], *part], gap)
        else:
            parts.append(new)
    return parts


def _common_gap(above: _Part, below: _Part) -> Gap | None:
    """The gap between the columns of both parts; few rows go with those beside them, such as headings do."""
    gap = above[1] or below[1]
    if gap is None or (above[1] and below[1]):
        return gap if above[1] == below[1] else None
    (few, *more), _ = below if above[1] else above
    together = few[0].right <= gap[0] and few[-1].left >= gap[1] and len(more) + 1 < _MIN_COLUMN_LINES
    return gap if together else None


def _between_columns(rows: Rows, gaps: Sequence[Gap]) -> Gap | None:
    return next((gap for gap in sorted(gaps, key=_width, reverse=True) if _are_columns(rows, gap)), None)


def _boxes(quads: Quads, texts: Sequence[str]) -> list[_Box]:
    if not len(quads):
        return []
    turned = quads.astype(np.float64) @ _untilt(quads)
    if sum(map(bool, map(_RIGHT_TO_LEFT.search, texts))) > _MOST * sum(map(bool, map(_LETTER.search, texts))):
        turned[..., 0] *= -1  # as in a mirror: what is said of left below is then meant of right
    low, high = turned.min(axis=1), turned.max(axis=1)
    heights = np.maximum(high[:, 1] - low[:, 1], 1e-6)
    usual = float(np.median(heights))
    middles = np.where(heights > _TALL * usual, low[:, 1] + usual / 2, (low[:, 1] + high[:, 1]) / 2)
    return [
        _Box(i, low[i, 0], high[i, 0], low[i, 1], high[i, 1], middles[i], heights[i], text)
        for i, text in enumerate(texts)
    ]


def _untilt(quads: Quads) -> npt.NDArray[np.float64]:
    """The rotation, for row vectors on the left, that makes the page's longer lines level."""
    run = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]).astype(np.float64)
    lengths = np.linalg.norm(run, axis=1)
    angles = np.arctan2(run[:, 1], run[:, 0])
    level = (np.abs(angles) < np.pi / 6) & (lengths >= np.median(lengths))
    angle = float(np.median(angles[level])) if level.any() else 0.0
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _rows(boxes: Sequence[_Box]) -> list[list[_Box]]:
    """Group lines into rows from top to bottom, each from left to right."""
    rows: list[list[_Box]] = []
    for box in sorted(boxes, key=lambda b: b.middle):
        if rows and _same_row(rows[-1], box):
            rows[-1].append(box)
        else:
            rows.append([box])
    for row in rows:
        row.sort(key=lambda b: b.left)
    return rows


def _same_row(row: Sequence[_Box], box: _Box) -> bool:
    return all(abs(other.middle - box.middle) < _ROW_OVERLAP * min(other.height, box.height) for other in row)


def _run(rows: Rows, start: int) -> tuple[int, int, list[Gap]]:
    """The next run of rows, from ``start`` on, that have gaps between their lines at the same places, and these."""
    for begin in range(start, len(rows)):
        covered: list[Gap] = []
        gaps: list[Gap] = []
        stop = begin
        while stop < len(rows):
            covered = _merge([*covered, *((box.left, box.right) for box in rows[stop])])
            left = _gaps(covered, rows[stop])
            if not left and (gaps or stop >= begin + _HEAD):
                break
            if len(left) < len(gaps) and _is_headline(rows[stop], rows[begin:stop]):
                break
            gaps = left
            stop += 1
        if gaps:
            while begin > start and _begins_column(rows[begin - 1], rows[begin:stop], gaps):
                begin -= 1
            return begin, stop, gaps
    return len(rows), len(rows), []


def _is_headline(row: Sequence[_Box], above: Rows) -> bool:
    """Whether ``row`` is one large line below all that is above it."""
    boxes = list(itertools.chain.from_iterable(above))
    return (
        len(row) == 1
        and row[0].height > _SAME_SIZE * float(np.median([box.height for box in boxes]))
        and row[0].top > max(box.bottom for box in boxes)
    )


def _gaps(covered: Sequence[Gap], row: Sequence[_Box]) -> list[Gap]:
    least = min(box.height for box in row) / 2
    return [(a[1], b[0]) for a, b in itertools.pairwise(covered) if b[0] - a[1] > least]


def _begins_column(row: Sequence[_Box], run: Rows, gaps: Sequence[Gap]) -> bool:
    """Whether ``row`` stands closely above one column of the ``run`` below it, which begins higher than the others."""
    left, right = row[0].left, row[-1].right
    if any(left < high and low < right for low, high in gaps):
        return False
    below = next((box for other in run for box in other if box.left < right and left < box.right), None)
    return (
        below is not None
        and below.top - row[-1].bottom < below.height
        and 1 / _SAME_SIZE < row[-1].height / below.height < _SAME_SIZE
    )


def _merge(intervals: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The union of ``intervals``, from left to right."""
    merged: list[tuple[float, float]] = []
    for low, high in sorted(intervals):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _are_columns(rows: Rows, gap: Gap) -> bool:
    """Whether what stands on both sides of ``gap`` is read one side after the other."""
    left = [side for row in rows if (side := [box for box in row if box.right <= gap[0]])]
    right = [side for row in rows if (side := [box for box in row if box.left >= gap[1]])]
    if min(len(left), len(right)) < _MIN_COLUMN_LINES or not _beside(left, right):
        return False
    if all(_is_prose([box for row in side for box in row]) for side in (left, right)):
        return True
    if _are_numbered(rows, gap) or _are_labelled(rows, gap):
        return False
    if _is_full(left) and _is_full(right):
        return True
    height = float(np.median([box.height for row in (*left, *right) for box in row]))
    return _width(gap) >= _WIDE_GAP * height and not _most(lambda row: row[-1].numeric and len(row) == 1, left)


def _pairs(rows: Rows, gap: Gap) -> list[tuple[_Box, _Box]]:
    """What stands beside each other at a gap."""
    return [
        (left[-1], right[0])
        for row in rows
        if (left := [box for box in row if box.right <= gap[0]])
        and (right := [box for box in row if box.left >= gap[1]])
    ]


def _are_numbered(rows: Rows, gap: Gap) -> bool:
    """Whether lines beside each other are items and their numbers."""
    pairs = _pairs(rows, gap)
    return sum(right.numeric for _, right in pairs) > _SOME * len(pairs)


def _are_labelled(rows: Rows, gap: Gap) -> bool:
    """Whether lines beside each other are labels and their values."""
    pairs = _pairs(rows, gap)
    return sum(left.label for left, _ in pairs) > _SOME * len(pairs)


def _most(is_so: Callable[[Sequence[_Box]], bool], rows: Rows) -> bool:
    return sum(map(is_so, rows)) > _MOST * len(rows)


def _is_prose(side: Sequence[_Box]) -> bool:
    return len(side) >= _MIN_COLUMN_LINES and bool(
        np.median([box.width / box.height for box in side]) >= _MIN_PROSE_ASPECT
    )


def _is_full(rows: Rows) -> bool:
    """Whether rows fill their column as prose does, each with words enough."""
    widths = [row[-1].right - row[0].left for row in rows]
    return bool(
        np.median(widths) >= _FULL * max(widths)
        and np.median([sum(len(box.text.split()) for box in row) for row in rows]) > _WORDS
    )


def _between_cells(rows: Rows, gaps: Sequence[Gap]) -> list[int]:
    """Where the rows of a table end whose cells have several lines: after so many lines; empty if it is no such table.

    All columns are blank there, and no column is anywhere else.
    """
    height = float(np.median([box.height for row in rows for box in row]))
    blanks = _blanks(rows)
    least = _step_up(blanks, height)
    cuts = [number for number, blank in enumerate(blanks, 1) if blank >= least]
    lines = [b - a for a, b in itertools.pairwise([0, *cuts, len(rows)])]
    several = sum(count > 1 for count in lines)
    if len(cuts) < 2 or max(lines) > _CELL_LINES or several < _SEVERAL * len(lines):
        return []
    if any(_are_numbered(rows, gap) for gap in gaps):
        return []
    spaced = 0
    for column in _cells(rows, gaps):
        column.sort(key=lambda box: box.middle)
        spaced += sum(below.top - above.bottom >= least for above, below in itertools.pairwise(column))
    return cuts if spaced <= len(cuts) * (len(gaps) + 1) else []


def _step_up(blanks: Sequence[float], height: float) -> float:
    """The least of the ``blanks`` that are clearly larger than the others; infinite where none is."""
    large = sorted(blank for blank in blanks if blank >= _SPACED * height)
    for number, blank in enumerate(large):
        below = large[number - 1] if number else max((b for b in blanks if b < blank), default=0.0)
        if blank >= _CLEARLY * max(below, _SPACED * height / _CLEARLY):
            return blank
    return math.inf


def _cut(rows: Rows, cuts: Sequence[int]) -> list[Rows]:
    return [rows[a:b] for a, b in itertools.pairwise([0, *cuts, len(rows)])]


def _cells(rows: Rows, gaps: Sequence[Gap]) -> list[list[_Box]]:
    """What stands between the ``gaps``, from left to right."""
    middles = sorted((low + high) / 2 for low, high in gaps)
    cells: list[list[_Box]] = [[] for _ in range(len(middles) + 1)]
    for box in itertools.chain.from_iterable(rows):
        cells[int(np.searchsorted(middles, box.left))].append(box)
    return cells


def _blanks(rows: Rows) -> list[float]:
    """How much is blank across all columns between each row and the next, in pixels."""
    gaps = []
    bottom = -np.inf
    for above, below in itertools.pairwise(rows):
        bottom = max(bottom, *(box.bottom for box in above))
        gaps.append(min(box.top for box in below) - bottom)
    return gaps


def _beside(left: Rows, right: Rows) -> bool:
    """Whether two sides stand beside each other for at least half of the lower one."""
    (top, bottom), (other_top, other_bottom) = (
        (min(box.top for row in side for box in row), max(box.bottom for row in side for box in row))
        for side in (left, right)
    )
    common = min(bottom, other_bottom) - max(top, other_top)
    return common > _MOST * min(bottom - top, other_bottom - other_top)


def _width(gap: Gap) -> float:
    return gap[1] - gap[0]


def _blocks(order: Sequence[_Box]) -> list[list[_Box]]:
    """Cut lines in reading order into blocks."""
    steps = [_step(above, below) for above, below in itertools.pairwise(order)]
    down = [number for number, step in enumerate(steps) if step is None or step > 0]
    starts = {0}
    for place, number in enumerate(down):
        step = steps[number]
        around = [steps[other] for other in (*down[max(0, place - 1) : place], *down[place + 1 : place + 2])]
        usual = min((other for other in around if other is not None), default=0.0)
        if step is None or (step > _PARAGRAPH and step > _UNEVEN * usual):
            starts.add(number + 1)
    return [list(order[a:b]) for a, b in itertools.pairwise([*sorted(starts), len(order)])] if order else []


def _step(above: _Box, below: _Box) -> float | None:
    """How much is blank between a line and the next, in line heights; 0 in a row, None where another part begins."""
    if _same_row([above], below):
        return 0.0
    if below.middle < above.middle or not 1 / _SAME_SIZE < below.height / above.height < _SAME_SIZE:
        return None
    return (below.top - above.bottom) / min(below.height, above.height)
