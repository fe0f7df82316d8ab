"""Of aiohttp, only what it publishes is used: an update of anything else may break the fetching without a word."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import aiohttp.abc

FETCH = Path(__file__).parents[2] / "include" / "ocr_pipeline" / "fetch"


def names_used(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of everything of aiohttp's that the module at ``path`` uses."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(ast.Name("aiohttp"), name):
                yield node.lineno, name
            case ast.ImportFrom(module) if (module or "").partition(".")[0] == "aiohttp":
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
            case ast.Import():
                yield from ((node.lineno, name.name) for name in node.names if name.name.startswith("aiohttp."))


def test_only_published_names_of_aiohttp_are_used() -> None:
    published = {*aiohttp.__all__, "aiohttp.abc.AbstractResolver", "aiohttp.abc.ResolveResult"}
    used = {f"{path.name}:{line}": name for path in FETCH.glob("*.py") for line, name in names_used(path)}
    assert len(used) > 20
    assert {place: name for place, name in used.items() if name not in published} == {}
