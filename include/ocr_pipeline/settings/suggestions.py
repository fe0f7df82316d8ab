"""What a person may have meant who wrote a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, name: str, names: Iterable[str]) -> str:
    """Says that there is no ``kind`` with the ``name``: the one that looks like it, or else all that there are."""
    known = sorted(names)
    alike = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
    return f"there is no such {kind}; " + (f"did you mean {alike[0]}?" if alike else f"there are {', '.join(known)}")
