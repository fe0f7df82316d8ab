"""What PDFium believes and a PDF may get wrong: where it ends, and how many pages it has.

PDFium rebuilds a PDF that was cut off from what there is of it, and takes the number of pages from the page tree's
``/Count``, even where there are more. Layout: ISO 32000-1, sections 7.5 and 7.7.3.
"""

from __future__ import annotations

import io
import re

import pypdfium2
from pypdfium2 import raw

from ocr_pipeline.images.checks import MAX_PAGES

_LINEARIZED = re.compile(rb"<<[^>]*/Linearized[^>]*>>")
_LENGTH = re.compile(rb"/L\s+(\d{1,15})\b")
_LINEARIZED_WITHIN = 1_024
_END = b"%%EOF"
_OBJECT = re.compile(rb"\b\d+\s+\d+\s+obj\b")
_OBJECT_END = b"endobj"
_TABLE = re.compile(rb"\bxref\s|\bstartxref\b")

_PAGE = re.compile(rb"/Type\s*/Page\b")
_ROOT = re.compile(rb"/Root\s+(\d+)\s+\d+\s+R")
_PAGES = re.compile(rb"/Pages\s+(\d+)\s+\d+\s+R")
_COUNT = re.compile(rb"/Count\s+-?\d+")


def shortfall(body: bytes) -> str:
    """What a PDF lacks at its end, for people; empty where it lacks nothing that matters.

    The end mark alone does not matter, nor does the list of objects above it, from which PDFium can do without: all
    objects are there then. An update that was appended and is not whole does: without it, the PDF is an older one.
    """
    # One made for the web has an end mark near its start too, and states its length there (annex F).
    linearized = _LINEARIZED.search(body, 0, _LINEARIZED_WITHIN)
    length = linearized and _LENGTH.search(linearized[0])
    if length and int(length[1]) > len(body):
        return f"the PDF has {len(body):,} of {int(length[1]):,} bytes; get the file again"
    ended = body.rfind(_END) + 1
    if not _OBJECT.search(body, ended):
        return ""
    last = body.rfind(_OBJECT_END, ended)
    if last >= 0 and _TABLE.search(body, last):
        return ""
    return f"the PDF stops after {len(body):,} bytes, within its objects; get the file again"


def count_pages(body: bytes, document: pypdfium2.PdfDocument) -> tuple[int, bytes]:
    """How many pages a PDF has, and the PDF to open to have all of them: another where its page tree says fewer.

    :param document: ``body``, opened.
    """
    pages = len(document)
    if (
        all(_is_there(document, number) for number in range(min(pages, MAX_PAGES)))
        and len(_PAGE.findall(body)) <= pages
    ):
        return pages, body
    try:
        more = _with_count(document, MAX_PAGES + 1)
    except ValueError:
        return pages, body
    recounted = pypdfium2.PdfDocument(more)
    try:
        there = [number for number in range(pages, MAX_PAGES + 1) if _is_there(recounted, number)]
    finally:
        recounted.close()
    return (there[-1] + 1, more) if there else (pages, body)


def _is_there(document: pypdfium2.PdfDocument, number: int) -> bool:
    return bool(raw.FPDF_GetPageSizeByIndexF(document, number, raw.FS_SIZEF()))


def _with_count(document: pypdfium2.PdfDocument, pages: int) -> bytes:
    """The PDF as PDFium saves it, each object as text, with an update that says how many pages it has.

    :raises ValueError: when its page tree is not found.
    """
    file = io.BytesIO()
    document.save(file, flags=raw.FPDF_REMOVE_SECURITY)
    saved = file.getvalue()
    head, _, start = saved.rpartition(b"startxref")
    root = int(_found(_ROOT, head[head.rindex(b"trailer") :]))
    tree = int(_found(_PAGES, _object(head, root)))
    counted = _COUNT.sub(b"/Count %d" % pages, _object(head, tree), count=1)
    updated = saved + b"%d 0 obj\n%s\nendobj\n" % (tree, counted)
    return (
        updated
        + b"xref\n%d 1\n%010d 00000 n \n" % (tree, len(saved))
        + b"trailer\n<</Root %d 0 R/Size %d/Prev %d>>\n" % (root, tree + 1, int(start.split()[0]))
        + b"startxref\n%d\n%%%%EOF\n" % len(updated)
    )


def _object(saved: bytes, number: int) -> bytes:
    """What stands between the beginning and the end of an object."""
    return _found(re.compile(rb"[\r\n]%d 0 obj\s*(.*?)\s*endobj" % number, re.DOTALL), saved)


def _found(pattern: re.Pattern[bytes], text: bytes) -> bytes:
    found = pattern.search(text)
    if found is None:
        raise ValueError("the page tree is not where it should be")
    return found[1]
