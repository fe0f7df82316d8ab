"""Telling links: which columns are called as columns of links usually are, and which values look like links."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ocr_pipeline.dataset.locations import is_image
from ocr_pipeline.fetch import is_missing

_SURE = (("image_link",), ("image_url",), ("image_uri",), ("image_path",), ("image",))
_LIKELY = (
    tuple(
        f"{what}_{how}"
        for what in ("image", "img", "photo", "picture", "pic")
        for how in ("link", "url", "uri", "src", "href", "path", "file")
    ),
    ("photo", "picture", "scan"),
    ("media_url", "document_url", "file_url"),
)
_PLAIN = (("url",), ("link",), ("uri",), ("path",), ("file",), ("filename",), ("src",), ("img",))
_LAST = (
    ("href", "file_path"),
    ("images", "photos", "pictures", "pic"),
    ("thumbnail", "thumbnail_url", "thumb", "thumb_url"),
)
USUAL_IMAGE_COLUMNS = (*_SURE, *_LIKELY, *_PLAIN, *_LAST)
"""Column names taken to hold the links when none is named, the surest first; those in one group are equally sure."""

_LINK = re.compile(r"\s*(?:https?|s3|gs|file)://\S", re.IGNORECASE)


def usual_columns(names: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
    """Those of ``names`` that are usual for columns of links, by group, and whether their name says enough.

    How people write them does not matter: ``imageUrl``, ``Image URL`` and ``image-url`` are one. Yet the surest that
    are written as in the list come first and, where a group is one name, the one that is exactly that, or but for
    capitals.
    """
    for sure in _SURE:
        if written := _as_listed(names, sure):
            yield written, True
    plain = {name: plain_name(name) for name in names}
    for group in USUAL_IMAGE_COLUMNS:
        alike = {plain_name(usual) for usual in group}
        if found := [name for name in names if plain[name] in alike]:
            yield (_as_listed(found, group) or found, True) if len(group) == 1 else (found, False)


def _as_listed(names: Sequence[str], group: Sequence[str]) -> list[str]:
    """Those of ``names`` that are written as in ``group``; if none is exactly, those that are but for capitals."""
    return [name for name in names if name in group] or [name for name in names if name.strip().lower() in group]


def plain_name(name: str) -> str:
    """``name`` without what people write in different ways; what may separate fields stays."""
    return "".join(character for character in name.lower() if character.isalnum() or character in ",;|\t")


def is_link(text: str) -> bool:
    """Whether ``text`` is an address, or the path of an image by its ending."""
    return bool(_LINK.match(text)) or is_image(text.strip())


def holds_links(values: Iterable[str | None]) -> bool:
    """Whether all of ``values`` that there are look like links, and there are some."""
    texts = [text for text in values if text and not is_missing(text)]
    return bool(texts) and all(map(is_link, texts))
