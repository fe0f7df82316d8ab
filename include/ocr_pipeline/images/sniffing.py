"""What bytes are, by their content alone."""

from __future__ import annotations

import re
from enum import StrEnum

from ocr_pipeline.errors import ErrorCategory, ImageError


class Format(StrEnum):
    """Formats that can be decoded; the values are how error details call them."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"
    GIF = "GIF"
    BMP = "BMP"
    TIFF = "TIFF"
    AVIF = "AVIF"
    JPEG2000 = "JPEG 2000"
    PNM = "PNM"
    PDF = "PDF"


_SIGNATURES: tuple[tuple[Format, re.Pattern[bytes]], ...] = tuple(
    (image_format, re.compile(pattern, re.DOTALL))
    for image_format, pattern in (
        (Format.JPEG, rb"\xff\xd8\xff"),
        (Format.PNG, rb"\x89PNG\r\n\x1a\n"),
        (Format.WEBP, rb"RIFF.{4}WEBP"),
        (Format.GIF, rb"GIF8[79]a"),
        # The second field is the size of the header that follows: 12 (OS/2) to 124 (version 5).
        (Format.BMP, rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00"),
        (Format.TIFF, rb"II\*\x00|MM\x00\*|II\+\x00|MM\x00\+"),
        (Format.AVIF, rb".{4}ftypavi[fs]"),
        (Format.JPEG2000, rb"\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
        (Format.PNM, rb"P[1-6](\s|#[^\n]*\n)+\d"),
        # Readers accept a PDF with up to 1 kB in front of it; a page that speaks of PDF is none.
        (Format.PDF, rb"(?!\s*[<{\[]).{0,1019}?%PDF-"),
    )
)

_OTHERS: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), name)
    for pattern, name in (
        (rb".{4}ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)", "a HEIC image; convert it to JPEG or PNG"),
        (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "a JPEG XL image; convert it to JPEG or PNG"),
        (rb"8BPS", "a Photoshop file; export it as PNG"),
        (rb"\x00\x00\x01\x00[^\x00]", "a Windows icon"),
        (rb"%!PS", "a PostScript file; convert it to PDF"),
        (rb"PK(\x03\x04|\x05\x06)", "a ZIP archive or an Office document"),
        (rb"\x1f\x8b", "gzip-compressed data"),
        (rb"BZh[1-9]|\xfd7zXZ\x00|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd", "an archive or compressed data"),
        (rb"\xd0\xcf\x11\xe0", "a Microsoft Office document"),
        (rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI |\x00\x00\x01\xba|FLV\x01", "a video"),
        (rb"ID3|OggS|fLaC|RIFF.{4}WAVE", "an audio file"),
        (rb"\x7fELF|MZ.{58}", "a program"),
    )
)

_HTML = re.compile(rb"<(!doctype html|html|head|body|title|script|meta)\b", re.IGNORECASE)
_TEXT_SAMPLE = 1024
_EXCERPT = 60


def sniff_format(body: bytes) -> Format:
    """The format of ``body``, which is not empty.

    :raises ImageError: ``NOT_AN_IMAGE``, saying what it looks like instead.
    """
    for image_format, signature in _SIGNATURES:
        if signature.match(body):
            return image_format
    raise ImageError(ErrorCategory.NOT_AN_IMAGE, f"the bytes are {_describe(body)}")


def _describe(body: bytes) -> str:
    """What ``body``, which is no image, looks like to a person."""
    for pattern, name in _OTHERS:
        if pattern.match(body):
            return name
    start = body[:_TEXT_SAMPLE]
    if not start.strip(b"\0"):
        return f"{len(body):,} bytes that start with zeros"
    text = _decode_text(start)
    return f"unknown binary data that starts with {body[:8].hex(' ')}" if text is None else _describe_text(text)


def _decode_text(start: bytes) -> str | None:
    """The start of a file as text, or None if it is not text."""
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = start.decode("utf-16", errors="replace")
    else:
        text = start.decode("utf-8-sig", errors="replace")
    # Older encodings are not guessed, but plain letters among a few unknown ones are text all the same.
    unknown = text.count("\N{REPLACEMENT CHARACTER}")
    control = sum(ord(character) < 32 and character not in "\t\n\r\f\x1b" for character in text)
    return None if control or unknown * 4 > len(text) or not text.strip() else text.strip()


def _describe_text(text: str) -> str:
    if _HTML.search(text.encode()):
        return "an HTML page"
    if "<svg" in text.lower():
        return "an SVG drawing; render it to PNG"
    if text.startswith("<"):
        return "an XML document"
    if text[0] in "{[":
        return "JSON"
    return f"text: {' '.join(text.split())[:_EXCERPT]!r}"
