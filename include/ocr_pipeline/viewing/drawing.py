"""Drawing a page with its lines, as SVG."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape

from ocr_pipeline.records import Quad, TextLine
from ocr_pipeline.viewing.characters import visible_text

MOST_LINES = 400
"""Lines that are drawn of a page; one of a newspaper or of noise may have thousands."""

STYLE = (
    ".page{display:block;width:100%;height:100%}.page .paper{fill:#fff;stroke:#8886}"
    ".page text{fill:#1b2430;font-family:system-ui,sans-serif}"
    ".page polygon{fill-opacity:.1;stroke-opacity:.75;vector-effect:non-scaling-stroke;stroke-width:1}"
    ".page polygon:hover{fill-opacity:.35}"
    ".page .sure{fill:#1a8f4c;stroke:#1a8f4c}.page .fair{fill:#c77700;stroke:#c77700}"
    ".page .unsure{fill:#d3302f;stroke:#d3302f}"
)
"""How pages look, as CSS: lines by how sure the recogniser was."""

SURE, FAIR = 0.9, 0.7
"""From which confidence a line counts as sure, and from which as fair."""

_WEBP = (b"RIFF", b"WEBP")


def draw_page(width: int, height: int, lines: Sequence[TextLine], picture: bytes | None) -> str:
    """A page of ``width`` x ``height`` pixels with the first :data:`MOST_LINES` of its lines.

    :param picture: of the page, as WebP; without one, the texts stand where the lines were.
    """
    parts = [f'<rect class="paper" width="{width}" height="{height}"/>']
    if picture is not None and is_webp(picture):
        data = base64.b64encode(picture).decode("ascii")
        parts.append(
            f'<image width="{width}" height="{height}" preserveAspectRatio="none" '
            f'href="data:image/webp;base64,{data}"/>'
        )
    else:
        parts += [_placed_text(line) for line in lines[:MOST_LINES] if _is_drawable(line.quad)]
    parts += [_outline(line) for line in lines[:MOST_LINES] if _is_drawable(line.quad)]
    label = f"page of {width} by {height} pixels with {len(lines):,} lines of text"
    return (
        f'<svg class="page" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}" direction="ltr" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def is_webp(content: bytes) -> bool:
    """Whether ``content`` begins as a WebP picture does."""
    return (content[:4], content[8:12]) == _WEBP


def _outline(line: TextLine) -> str:
    kind = "sure" if line.confidence >= SURE else "fair" if line.confidence >= FAIR else "unsure"
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in line.quad)
    said = f"{_shortened(line.text, 200)} ({line.confidence:.2f})"
    return f'<polygon class="{kind}" points="{points}"><title>{escape(said)}</title></polygon>'


def _placed_text(line: TextLine) -> str:
    """The text of a line as large as the line is, from where reading starts."""
    (left, top), (right, upper), _, (below, bottom) = line.quad
    width = math.hypot(right - left, upper - top)
    height = math.hypot(below - left, bottom - top)
    turned = math.degrees(math.atan2(upper - top, right - left))
    if not line.text.strip() or width < 1 or height < 1:
        return ""
    # What a line is taller than wide is often a column of Chinese or Japanese: letters get the width of it.
    size = min(height, width) * 0.78
    base = height / 2 + size * 0.35
    return (
        f'<text transform="translate({left:.1f} {top:.1f}) rotate({turned:.1f})" x="0" y="{base:.1f}" '
        f'font-size="{size:.1f}" textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs">'
        f"{escape(_shortened(line.text, 300))}</text>"
    )


def _is_drawable(quad: Quad) -> bool:
    return all(math.isfinite(x) and math.isfinite(y) and max(abs(x), abs(y)) < 1e6 for x, y in quad)


def _shortened(text: str, most: int) -> str:
    text = visible_text(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"
