"""Several texts in one: as a JSON list, which carries any text, such as a path with commas or line ends."""

from __future__ import annotations

import json
from collections.abc import Iterable


def read_list(text: str) -> list[str] | None:
    """The texts of a JSON list; None when ``text`` is none, or not one of texts."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if all(isinstance(entry, str) for entry in found) else None


def write_list(texts: Iterable[str]) -> str:
    """The JSON list of ``texts``, as people read it."""
    return json.dumps(list(texts), ensure_ascii=False)
