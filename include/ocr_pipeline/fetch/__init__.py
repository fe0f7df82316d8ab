"""Asynchronous download of images: ``ImageRef`` -> ``FetchedImage | Failure``.

Public surface: :class:`Fetcher`, :class:`ByteBudget` for what it may hold in memory, and :class:`Manners` for how
patiently it treats struggling hosts.
"""

from ocr_pipeline.fetch.budget import ByteBudget
from ocr_pipeline.fetch.fetcher import MAX_REDIRECTS, Fetcher
from ocr_pipeline.fetch.politeness import Manners

__all__ = ["MAX_REDIRECTS", "ByteBudget", "Fetcher", "Manners"]
