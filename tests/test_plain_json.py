"""JSON of strangers: what is said comes out, and all else is one kind of error."""

import json

import pytest

from talkface_core.plain_json import DEEPEST, parse_json, parse_object


def test_values() -> None:
    value = {"a": [1, 2.5, None, True, "é"], "b": {}}
    assert parse_json(json.dumps(value)) == value
    assert parse_object(json.dumps(value).encode()) == value
    assert parse_json("[" * DEEPEST + "]" * DEEPEST) is not None


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "{'a': 1}", "NaN", "[Infinity]", "-Infinity", "9" * 5000, b"\xff\xfe\xfa", "[1] 2"),
        *("[" * (DEEPEST + 2) + "]" * (DEEPEST + 2), "[" * 10**6, '{"a":' * 10**5 + "1" + "}" * 10**5),
    ],
)
def test_anything_else(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"a"'])
def test_no_object(text: str) -> None:
    with pytest.raises(ValueError, match="object"):
        parse_object(text)
