"""Loaded models that stay for the next job of the same weights: a small cache, which long-lived workers switch on."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
Model = TypeVar("Model")

_kept: OrderedDict[Hashable, Any] = OrderedDict()
_most = 0


def keep_models(most: int) -> None:
    """From now on this process keeps what `kept` loads, the `most` that were used last; 0: none."""
    global _most
    _most = most
    _shrink()


def forget_models() -> None:
    """Let go of what is kept: the next job needs other models, and the memory."""
    _kept.clear()


def kept(load: Callable[P, Model], *args: P.args, **named: P.kwargs) -> Model:
    """load(*args, **named), or what the same call gave before, where this process keeps models.

    The same is: the same function and arguments, and files of these names that have not changed since. For what nobody
    changes by using it.
    """
    if not _most:
        return load(*args, **named)
    key = (
        load.__module__,
        load.__qualname__,
        *map(_identity, args),
        *sorted((k, _identity(v)) for k, v in named.items()),
    )
    if key not in _kept:
        _kept[key] = load(*args, **named)
    _kept.move_to_end(key)
    _shrink()
    return _kept[key]


def _identity(value: Any) -> Hashable:
    """The argument itself; of the name of a file or folder also its place, size and time."""
    try:
        path = os.path.realpath(value)
        about = os.stat(path)
    except (OSError, TypeError, ValueError):
        return repr(value)
    return path, about.st_size, about.st_mtime_ns


def _shrink() -> None:
    while len(_kept) > _most:
        _kept.popitem(last=False)
