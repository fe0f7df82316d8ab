"""Why a value is refused, in words that say what to write."""

from __future__ import annotations

from collections.abc import Mapping

_REASONS = {
    **dict.fromkeys(("bool_type", "bool_parsing"), "write true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "write a whole number, without quotes"),
    **dict.fromkeys(("float_type", "float_parsing"), "write a number, without quotes"),
    "string_type": "write text, in quotes where it looks like a number or the like",
    **dict.fromkeys(("tuple_type", "list_type"), "write a list, such as [a, b]"),
    **dict.fromkeys(("dict_type", "model_type"), "write keys with their values below it"),
}
"""In place of pydantic's own words, by the type of the error; the others are clear as they are."""


def why_refused(error: Mapping[str, object]) -> str:
    """What ``error``, one of those that pydantic found (``ValidationError.errors``), says of a value."""
    return _REASONS.get(str(error["type"]), str(error["msg"]).removeprefix("Value error, "))
