"""Settings: what goes to JSON comes back, and what is not understood is refused by the name of its key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from talkface_core.config import Config
from talkface_core.errors import InputError


@dataclass(frozen=True)
class Wheel(Config):
    spokes: int
    tubeless: bool = False

    def __post_init__(self) -> None:
        if self.spokes < 3:
            raise InputError(f"a wheel of {self.spokes} spokes breaks.")


@dataclass(frozen=True)
class Bicycle(Config):
    name: str
    front: Wheel = field(default_factory=lambda: Wheel(24))
    gears: tuple[int, ...] = (12, 14, 17)
    ratio: float = 2.0
    bell: str | None = None
    spares: dict[str, Wheel] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.gears[0] / self.ratio < 1:
            raise InputError(f"{self.gears[0]} teeth are too few.")

    @classmethod
    def presets(cls) -> dict[str, Bicycle]:
        return {"city": cls("city", bell="ding"), "race": cls("race", Wheel(16, True), (11, 12))}


def test_settings_go_through_json() -> None:
    settings = Bicycle("tour", Wheel(36), (11, 13), 1.5, None, {"winter": Wheel(32, True)})
    text = json.dumps(settings.to_dict())
    assert json.loads(text) == settings.to_dict(), "tuples are lists already"
    assert Bicycle.from_dict(json.loads(text)) == settings


def test_what_has_a_default_may_be_missing() -> None:
    assert Bicycle.from_dict({"name": "old"}) == Bicycle("old")


def test_a_preset_with_changes() -> None:
    assert Bicycle.preset("race") == Bicycle("race", Wheel(16, True), (11, 12))
    assert Bicycle.preset("city", ratio=3.0) == Bicycle("city", ratio=3.0, bell="ding")
    with pytest.raises(InputError, match="preset 'cargo' of Bicycle is unknown: choose one of city, race"):
        Bicycle.preset("cargo")


def test_whole_numbers_are_numbers() -> None:
    assert isinstance(Bicycle.from_dict({"name": "x", "ratio": 2}).ratio, float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wings": 2}, "wings is unknown; Bicycle has name, front, gears, ratio, bell, spares"),
        ({"front": {"spokes": 24, "size": 1}}, "front.size is unknown; Wheel has spokes, tubeless"),
        ({"front": {}}, "front.spokes is missing; Wheel needs spokes"),
        ({"front": None}, "front is None, not an object with the settings of Wheel"),
        ({"front": [24]}, r"front is \[24\], not an object"),
        ({"front": {"spokes": 24.0}}, "front.spokes is 24.0, not a whole number"),
        ({"front": {"spokes": True}}, "front.spokes is True, not a whole number"),
        ({"front": {"spokes": 24, "tubeless": 1}}, "front.tubeless is 1, not true or false"),
        ({"front": {"spokes": 2}}, "front does not fit together: a wheel of 2 spokes"),
        ({"gears": "12"}, "gears is '12', not a list"),
        ({"gears": [12, "14"]}, r"gears\[1\] is '14', not a whole number"),
        ({"gears": [1]}, "Bicycle does not fit together: 1 teeth are too few"),
        ({"gears": []}, "Bicycle does not fit together"),
        ({"ratio": 0}, "Bicycle does not fit together"),
        ({"ratio": "fast"}, "ratio is 'fast', not a number"),
        ({"ratio": float("nan")}, "ratio is nan, not a number"),
        ({"ratio": 2.0**21}, "ratio is 2097152.0, not within -1048576 to 1048576"),
        ({"name": None}, "name is None, not a text"),
        ({"bell": 3}, "bell is 3, not a text"),
        ({"spares": [1]}, r"spares is \[1\], not an object"),
        ({"spares": {"winter": {"spokes": "many"}}}, "spares.winter.spokes is 'many', not a whole number"),
    ],
)
def test_the_key_that_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Bicycle.from_dict({"name": "x", **change})


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(InputError, match=r"Bicycle is \[\], not an object"):
        Bicycle.from_dict([])
    with pytest.raises(InputError, match="name is missing; Bicycle needs name"):
        Bicycle.from_dict({})
