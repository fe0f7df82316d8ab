"""Asynchronous download of images: ``ImageRef`` -> ``FetchedImage | Failure``.

Public surface: :class:`Fetcher`, :class:`ByteBudget` for what it may hold in memory, :class:`Manners` for how
patiently it treats struggling hosts, :func:`parse_base` for where a dataset's relative links start,
:func:`download` for the dataset itself, :func:`exists` for whether it is there, and :func:`parse_url` for its address.
"""

from ocr_pipeline.fetch.budget import ByteBudget
from ocr_pipeline.fetch.downloads import download, exists
from ocr_pipeline.fetch.fetcher import MAX_REDIRECTS, Fetcher
from ocr_pipeline.fetch.links import parse_base, parse_url
from ocr_pipeline.fetch.politeness import Manners

__all__ = ["MAX_REDIRECTS", "ByteBudget", "Fetcher", "Manners", "download", "exists", "parse_base", "parse_url"]
