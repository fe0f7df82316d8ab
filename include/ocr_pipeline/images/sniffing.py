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
    HEIC = "HEIC"
    JPEG2000 = "JPEG 2000"
    PNM = "PNM"
    PDF = "PDF"
    PSD = "Photoshop file"
    ICO = "Windows icon"
    ICNS = "macOS icon"
    PCX = "PCX"
    DCX = "DCX"
    SGI = "SGI image"
    SUN = "Sun raster"
    DDS = "DDS"
    QOI = "QOI"
    XBM = "XBM"
    XPM = "XPM"
    TGA = "TGA"


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
        (Format.JPEG2000, rb"\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
        (Format.PNM, rb"P[1-6](\s|#[^\n]*\n)+\d"),
        # Readers accept a PDF with up to 1 kB in front of it; a page that speaks of PDF is none.
        (Format.PDF, rb"(?!\s*[<{\[]).{0,1019}?%PDF-"),
        (Format.PSD, rb"8BPS\x00\x01"),
        # Icons and cursors, of at least one picture.
        (Format.ICO, rb"\x00\x00[\x01\x02]\x00[^\x00]\x00.{3}\x00"),
        (Format.ICNS, rb"icns.{4}[A-Za-z]"),
        # Compressed by runs, 1 to 8 bits a plane.
        (Format.PCX, rb"\x0a[\x00\x02-\x05]\x01[\x01\x02\x04\x08]"),
        (Format.DCX, rb"\xb1\x68\xde\x3a"),
        (Format.SGI, rb"\x01\xda[\x00\x01][\x01\x02]\x00[\x01-\x03]"),
        (Format.SUN, rb"\x59\xa6\x6a\x95"),
        (Format.DDS, rb"DDS \x7c\x00\x00\x00"),
        (Format.QOI, rb"qoif.{8}[\x03\x04][\x00\x01]"),
        (Format.XBM, rb"\s*(/\*.{0,500}?\*/\s*)?#define\s+\w+_width\s+\d+\s+#define\s+\w+_height\s+\d"),
        (Format.XPM, rb"/\* XPM \*/"),
        # It has no signature: that the kind of picture, its palette and the bits a pixel agree must do.
        (
            Format.TGA,
            rb".(\x01[\x01\x09].{4}[\x0f\x10\x18\x20].{8}\x08|\x00[\x02\x0a]\x00{5}.{8}[\x0f\x10\x18\x20]"
            rb"|\x00[\x03\x0b]\x00{5}.{8}[\x01\x08\x10])[\x00-\x3f]",
        ),
    )
)

_AVIF_BRANDS = frozenset([b"avif", b"avis"])
_HEIC_BRANDS = frozenset([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"])

_MOST_BRANDS = 512

_OTHERS: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), name)
    for pattern, name in (
        (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "a JPEG XL image, which is not read; convert it to JPEG or PNG"),
        (rb"8BPS", "a large Photoshop file (PSB), which is not read; export it as PNG"),
        (rb"II\xbc\x01|\x57\x4d\x50\x48", "a JPEG XR image, which is not read; convert it to JPEG or PNG"),
        (
            rb"\xd7\xcd\xc6\x9a|\x01\x00\x09\x00\x00\x03|\x01\x00\x00\x00.{36} EMF",
            "a Windows metafile; convert it to PNG",
        ),
        (rb"AT&TFORM", "a DjVu document, which is not read; convert it to PDF"),
        (rb"gimp xcf", "a GIMP file, which is not read; export it as PNG"),
        (rb"v/1\x01|#\?(RADIANCE|RGBE)", "an image of high dynamic range, which is not read; convert it to PNG"),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file, which is not read; convert it to PDF"),
        (rb"PK(\x03\x04|\x05\x06)", "a ZIP archive or an Office document"),
        (rb"\x1f\x8b", "gzip-compressed data"),
        (rb"BZh[1-9]|\xfd7zXZ\x00|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd", "an archive or compressed data"),
        (rb"\xd0\xcf\x11\xe0", "a Microsoft Office document"),
        (rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI |\x00\x00\x01\xba|FLV\x01", "a video"),
        (rb"ID3|OggS|fLaC|RIFF.{4}WAVE", "an audio file"),
        (rb"\x7fELF|MZ.{58}", "a program"),
    )
)

_HTML = re.compile(r"<(!doctype html|html|head|body|title|script|meta)\b", re.IGNORECASE)
_SVG = re.compile(r"<(!doctype\s+)?([\w.-]+:)?svg\b", re.IGNORECASE)
_TEXT_SAMPLE = 1024
_EXCERPT = 60


def sniff_format(body: bytes) -> Format:
    """The format of ``body``, which is not empty.

    :raises ImageError: ``NOT_AN_IMAGE``, saying what it looks like instead.
    """
    for image_format, signature in _SIGNATURES:
        if signature.match(body):
            return image_format
    if brands := _brands(body):
        if brands & _AVIF_BRANDS:
            return Format.AVIF
        if brands & _HEIC_BRANDS:
            return Format.HEIC
    raise ImageError(ErrorCategory.NOT_AN_IMAGE, f"the bytes are {_describe(body)}")


def _brands(body: bytes) -> set[bytes]:
    """What an ISO base media file says it is: the major and the compatible brands (ISO/IEC 14496-12, section 4.3)."""
    if body[4:8] != b"ftyp":
        return set()
    size = min(int.from_bytes(body[:4]), _MOST_BRANDS)
    return {body[8:12], *(body[at : at + 4] for at in range(16, size, 4))}


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
    # What begins first tells: a drawing may hold a title or a script, and a page a drawing.
    drawing, page = _SVG.search(text), _HTML.search(text)
    if drawing and (page is None or drawing.start() < page.start()):
        return "an SVG drawing; render it to PNG"
    if page:
        return "an HTML page"
    if text.startswith("<"):
        return "an XML document"
    if text[0] in "{[":
        return "JSON"
    return f"text: {' '.join(text.split())[:_EXCERPT]!r}"
