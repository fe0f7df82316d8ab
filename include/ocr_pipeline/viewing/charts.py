"""Charts as SVG, drawn on the server: text without scripts, for the pages and the report.

Each is one ``<svg>`` that takes the width it is given. Colours are those of the page that it stands in: text and lines
``currentColor``, shapes by their classes (``chart-good``, ``chart-bad``, ``chart-bar``, ``chart-line``, and
``chart-1`` to ``chart-8`` for categories), for which :data:`STYLE` has colours, light and dark. Values stand in
``<title>`` elements, which browsers show under the pointer and readers read out.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocr_pipeline.viewing.answers import BatchOverview, Histogram, HostOverview

STYLE = ""
"""Colours of the shapes, as CSS."""


def progress_chart(batches: Sequence[BatchOverview]) -> str:
    """Images finished over time, those that failed below; empty before a batch is staged."""
    return ""


def rate_chart(batches: Sequence[BatchOverview]) -> str:
    """Images a second over time; empty before a batch is staged."""
    return ""


def hosts_chart(hosts: Sequence[HostOverview]) -> str:
    """Pages that failed by host, a bar each, in parts by category; empty where none failed."""
    return ""


def confidence_chart(histogram: Histogram) -> str:
    """How many pages were read with which confidence; empty where none was."""
    return ""


def seconds_chart(histogram: Histogram, label: str) -> str:
    """How many images or pages took how long; empty where none did.

    :param label: what it took time for, such as ``seconds to fetch an image``.
    """
    return ""
