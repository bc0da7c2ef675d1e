"""Settings of networks: frozen dataclasses with named presets that go to JSON and come back checked, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import InputError

Settings = TypeVar("Settings", bound="Config")

LARGEST = 2**20
"""No whole number in the settings of a network is larger or below zero: they are lengths, widths and counts."""

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True)
class Config:
    """What every class of settings can do; subclass it as a frozen dataclass.

    Fields are bool, int, float, str, other settings, and tuples, dicts by name and optional ones of these. A field with
    a default may be missing in what is read, so that old files load after a field was added, and `retired` ones, which
    there once were, are passed over. `__post_init__` raises InputError for values that do not fit together.
    """

    retired: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def presets(cls: type[Settings]) -> dict[str, Settings]:
        """The named sizes."""
        return {}

    @classmethod
    def preset(cls: type[Settings], name: str, **changes: Any) -> Settings:
        """A named size, with some fields changed: `preset("tiny", dropout=0.0)`. Raises InputError for another name."""
        known = cls.presets()
        if name not in known:
            raise InputError(f"preset {name!r} of {cls.__name__} is unknown: choose one of {', '.join(known)}")
        return replace(known[name], **changes)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON has them: nested ones as mappings, tuples as lists."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls: type[Settings], values: Mapping[str, Any]) -> Settings:
        """The settings that `to_dict` described.

        Raises InputError, naming the key, for one that is unknown or missing, for a value of another kind, and for
        values that the class refuses.
        """
        return _settings(cls, values, "")

    def check_range(self, lowest: float, highest: float, *names: str) -> None:
        """Raises InputError unless these settings, or all entries of a tuple, lie within the limits, ends included."""
        for name in names:
            value = getattr(self, name)
            for entry in value if isinstance(value, tuple) else (value,):
                if not lowest <= entry <= highest:
                    raise InputError(f"{name} is {entry}, not within {lowest} to {highest}")


def _plain(value: Any) -> Any:
    if isinstance(value, Config):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, tuple | list) else value


def _settings(cls: type[Settings], values: Any, key: str) -> Settings:
    if not isinstance(values, Mapping):
        raise InputError(
            f"{key or cls.__name__} is {_brief(values)}, not an object with the settings of {cls.__name__}"
        )
    known, inside = {field.name: field for field in fields(cls)}, f"{key}." if key else ""
    values = {name: value for name, value in values.items() if name not in cls.retired}
    if unknown := sorted(str(name) for name in values.keys() - known.keys()):
        raise InputError(f"{inside}{unknown[0][:80]} is unknown; {cls.__name__} has {', '.join(known)}")
    required = [name for name, field in known.items() if field.default is field.default_factory is MISSING]
    if missing := [name for name in required if name not in values]:
        raise InputError(f"{inside}{missing[0]} is missing; {cls.__name__} needs {', '.join(required)}")
    hints = get_type_hints(cls)
    read = {name: _value(hints[name], value, inside + name) for name, value in values.items()}
    try:
        return cls(**read)
    except (ValueError, ArithmeticError, LookupError, TypeError) as error:
        raise InputError(f"{key or cls.__name__} does not fit together: {str(error)[:200]}") from error


def _value(hint: Any, value: Any, key: str) -> Any:
    """The value of a field of type `hint`."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return None if value is None else _value(next(one for one in inner if one is not NoneType), value, key)
    if kind is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{key} is {_brief(value)}, not a list")
        return tuple(_value(inner[0], entry, f"{key}[{n}]") for n, entry in enumerate(value))
    if kind is dict:
        if not isinstance(value, Mapping):
            raise InputError(f"{key} is {_brief(value)}, not an object")
        return {name: _value(inner[1], entry, f"{key}.{name}") for name, entry in value.items()}
    if is_dataclass(hint):
        return _settings(hint, value, key)
    fits = type(value) is hint or (hint is float and type(value) is int)
    if not fits or value != value:  # NaN
        raise InputError(f"{key} is {_brief(value)}, not {_KINDS[hint]}")
    lowest = {int: 0, float: -LARGEST}.get(hint)
    if lowest is not None and not lowest <= value <= LARGEST:
        raise InputError(f"{key} is {_brief(value)}, not within {lowest} to {LARGEST}")
    return float(value) if hint is float else value


def _brief(value: Any) -> str:
    said = repr(value)
    return said if len(said) <= 80 else f"{said[:77]}..."
