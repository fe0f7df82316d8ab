"""The lines of a page, out of the column that holds them."""

from __future__ import annotations

import json
from typing import Any

from ocr_pipeline.records import Quad, TextLine, TextWord


def parse_lines(lines: str) -> tuple[TextLine, ...]:
    """The lines in a cell of ``ocr_lines``."""
    return tuple(
        TextLine(
            text=line["text"],
            confidence=line["confidence"],
            quad=_quad(line["quad"]),
            words=tuple(
                TextWord(word["text"], word["confidence"], _quad(word["quad"])) for word in line.get("words", ())
            ),
            block=line.get("block", 0),
        )
        for line in json.loads(lines)
    )


def _quad(corners: list[list[Any]]) -> Quad:
    first, second, third, fourth = ((float(x), float(y)) for x, y in corners)
    return first, second, third, fourth
