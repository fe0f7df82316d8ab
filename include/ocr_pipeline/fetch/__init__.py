"""Asynchronous download of images: ``ImageRef`` -> ``FetchedImage | Failure``.

Public surface: :class:`Fetcher`, :class:`ByteBudget` for what it may hold in memory, :class:`RetryPolicy` for
how it deals with struggling hosts, :func:`parse_base` for where a dataset's relative links start and
:func:`host_name` for where a link leads, :func:`is_missing` for whether there is one, :func:`download` for the dataset
itself, :func:`exists` for whether it is there, and :func:`parse_url` for its address.
"""

from ocr_pipeline.fetch.attempt import MAX_REDIRECTS
from ocr_pipeline.fetch.budget import ByteBudget
from ocr_pipeline.fetch.downloads import download, exists
from ocr_pipeline.fetch.fetcher import Fetcher
from ocr_pipeline.fetch.links import Base, host_name, is_missing, parse_base, parse_url
from ocr_pipeline.fetch.retries import RetryPolicy

__all__ = [
    "MAX_REDIRECTS",
    "Base",
    "ByteBudget",
    "Fetcher",
    "RetryPolicy",
    "download",
    "exists",
    "host_name",
    "is_missing",
    "parse_base",
    "parse_url",
]
