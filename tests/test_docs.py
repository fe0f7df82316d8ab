"""What the documentation refers to is there: files, headings, commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract import PROJECT, anchor

MAKEFILE = (PROJECT / "Makefile").read_text()
PAGES = sorted(
    [*PROJECT.glob("*.md"), *(page for folder in ("docs", "benchmarks") for page in (PROJECT / folder).rglob("*.md"))]
)

_FENCED = re.compile(r"^(```|~~~).*?^\1$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`]+`")
_LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_MAKE = re.compile(r"(?:^|[`$]\s?|&& )make ([a-z-]+)((?: \[?[A-Z_]+=[^\s`]*)*)", re.MULTILINE)


def blank(match: re.Match[str]) -> str:
    """What was matched without its text; its lines stay."""
    return "\n" * match[0].count("\n")


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Line and target of every link of a page to something in the project."""
    text = _CODE.sub(blank, _FENCED.sub(blank, page.read_text()))
    for link in _LINK.finditer(text):
        if "://" not in link[1]:
            yield text.count("\n", 0, link.end()) + 1, link[1]


def anchors(page: Path) -> set[str]:
    """What links to the headings of a page may end in; headings of the same text are numbered."""
    found: list[str] = []
    for heading in _HEADING.findall(_FENCED.sub(blank, page.read_text())):
        name = anchor(_LINK.sub(lambda link: link[0][1:].partition("]")[0], heading))
        found.append(f"{name}-{count}" if (count := found.count(name)) else name)
    return set(found)


def broken_links(page: Path) -> list[str]:
    """Every link of a page that leads nowhere, with its line."""
    broken = []
    for line, target in links(page):
        name, _, heading = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (heading and (path.suffix != ".md" or heading not in anchors(path))):
            broken.append(f"{page}:{line} {target}")
    return broken


def test_every_link_leads_somewhere() -> None:
    assert sum(1 for page in PAGES for _ in links(page)) > 50
    assert [broken for page in PAGES for broken in broken_links(page)] == []


@pytest.mark.parametrize(
    ("target", "leads_somewhere"),
    [
        ("other.md", True),
        ("other.md#its-own-ocr_names-2026", True),
        ("other.md#twice-1", True),
        ("#here", True),
        ("folder/", True),
        ("https://example.org/nowhere", True),
        ("missing.md", False),
        ("other.md#elsewhere", False),
        ("other.md#not-a-heading", False),
        ("other.md#twice-2", False),
        ("#elsewhere", False),
        ("data.csv#here", False),
    ],
)
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, target: str, leads_somewhere: bool) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "data.csv").touch()
    (tmp_path / "other.md").write_text(
        "# Its *own*, `ocr_names` (2026)\n\n## Twice\n\n## Twice\n\n```sh\n# not a heading\n```\n"
    )
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n\n```\n[code](nowhere)\n```\n\n`[code](nowhere)`, and [a\nlink]({target})\n")
    assert broken_links(page) == ([] if leads_somewhere else [f"{page}:8 {target}"])


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [PROJECT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            ahead += [(page.parent / target.partition("#")[0]).resolve() for _, target in links(page)]
    assert set(PAGES) - reached == set()


def commands() -> Iterator[tuple[str, str, str]]:
    """Page, target and variables of every make command that the documentation names."""
    for page in PAGES:
        for target, variables in _MAKE.findall(page.read_text()):
            yield page.name, target, variables


def test_every_command_is_one_of_the_makefile() -> None:
    named = list(commands())
    assert len(named) > 30
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert [(page, target) for page, target, _ in named if target not in targets] == []


def test_every_variable_of_a_command_is_one_of_the_makefile() -> None:
    named = [(page, name) for page, _, variables in commands() for name in re.findall(r"([A-Z_]+)=", variables)]
    assert len(named) > 10
    assert [(page, name) for page, name in named if not re.search(rf"\b{name}\b", MAKEFILE)] == []
