"""JSON that strangers wrote: whatever is wrong with it is a ValueError of one line."""

from __future__ import annotations

import json
from typing import Any, NoReturn

DEEPEST = 32
"""Levels of lists and objects within each other; files of the pack have six."""


def parse_json(text: str | bytes) -> Any:
    """The value that a text says. Raises ValueError for text that is no JSON, NaN and infinity, nesting too deep."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(f"lists and objects are nested more than {DEEPEST} deep") from None
    level, depth = [value], 0
    while level := [child for entry in level for child in _children(entry)]:
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"lists and objects are nested more than {DEEPEST} deep")
    return value


def parse_object(text: str | bytes) -> dict[str, Any]:
    """The same where an object is expected."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise ValueError(f"a {type(value).__name__} where an object is expected")
    return value


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
