"""What is wrong with a YAML file, in words that say what to write."""

from __future__ import annotations

import re

import yaml

_INDENTED = (
    "it is indented unlike the keys before it, or is a value with a colon in it: begin keys of one level below each "
    "other, and put such a value in quotes"
)
_ADVICE = {
    "mapping values are not allowed here": _INDENTED,
    "expected <block end>, but found '<block mapping start>'": _INDENTED,
    "could not find expected ':'": "the key before it has no colon: write it as key: value",
    "found character '\\t' that cannot start any token": "it is indented with a tab: use spaces",
    "found unexpected end of stream": "quotes or a bracket that begin here are not closed",
}
_KEY = re.compile(r"([\w.-]{1,60}):")
_TEMPLATE = re.compile(r"[:-]\s+\{\{")


def explain_yaml(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str]:
    """The line of ``text``, from 1, and what is wrong there; the value is left out, as it may be a secret."""
    problem = error.problem or error.context or "it is no YAML"
    unclosed = problem == "found unexpected end of stream"
    mark = (error.context_mark if unclosed else None) or error.problem_mark or error.context_mark
    number = mark.line if mark else 0
    line = next(iter(text.splitlines()[number : number + 1]), "").strip()
    if _TEMPLATE.search(line):
        advice = "a value that begins with {{ needs quotes, such as source: '{{ day }}.csv'"
    elif re.match(r"found character '[^\\]' that cannot start any token", problem):
        advice = "a value that begins with this character needs quotes"
    else:
        advice = _ADVICE.get(problem, "")
    key = found[1] if (found := _KEY.match(line)) else ""
    return number + 1, ": ".join(filter(None, [key, advice or problem, advice and f"YAML says: {problem}"]))
