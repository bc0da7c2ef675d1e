"""Arrays in pickled files of other programs, read without pickle: a few instructions are understood, none is run.

A pickle is a program for a small stack machine. Here that machine knows texts, numbers, tuples, lists, mappings and
what numpy writes of an array; names of classes and functions are compared, never looked up. Whatever else stands in a
file makes it refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .foreign import refuse

LARGEST = 64 * 2**20
"""Bytes; such files hold means and ranges, not weights."""

_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
_NAMES = ("ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer")
_KINDS = "fiub"
_MARK = object()


@dataclass(frozen=True)
class _Name:
    """A class or function that a file asks for."""

    module: str
    name: str


@dataclass
class _Made:
    """An array or number type in the making: what was called, with what, and the state it was given."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


def read_pickled_arrays(path: Path, expected: str) -> dict[str, NDArray[Any]]:
    """The arrays and numbers of the mapping that a pickled file holds, by their texts; all else in it is left out.

    `expected` names the files that are looked for. Raises InputError for a missing, large, damaged or foreign file.
    """
    if not path.is_file():
        refuse(path, "a folder" if path.is_dir() else "no such file", expected)
    if path.stat().st_size > LARGEST:
        refuse(path, f"a file of more than {LARGEST >> 20} MiB", expected)
    try:
        value = _run(path.read_bytes())
        if not isinstance(value, Mapping):
            raise ValueError(f"one {type(value).__name__}")
        found = {key: _array(entry) for key, entry in value.items() if isinstance(key, str)}
    except Exception as error:  # the bytes of a foreign file can raise anything
        refuse(path, f"no plain arrays ({str(error)[:200]})", expected, error)
    return {key: array for key, array in found.items() if array is not None}


def _run(data: bytes) -> Any:
    """What the instructions leave on the stack. Raises ValueError for one that is not understood."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        place = len(stack) - 1 - next(n for n, entry in enumerate(reversed(stack)) if entry is _MARK)
        taken = stack[place + 1 :]
        del stack[place:]
        return taken

    for code, argument, _ in pickletools.genops(data):
        name = code.name
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            return stack.pop()
        if name == "MARK":
            stack.append(_MARK)
        elif name in _PLAIN:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            memo[len(memo) if argument is None else int(argument)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(str(argument))])
        elif name == "GLOBAL":
            stack.append(_Name(*str(argument).split(" ")))
        elif name == "STACK_GLOBAL":
            stack[-2:] = [_Name(stack[-2], stack[-1])]
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, called = stack.pop(), stack.pop()
            stack.append(_made(called, arguments))
        elif name == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], _Made):
                raise ValueError("a state of what is no array")
            stack[-1].state = state
        elif name in ("SETITEMS", "SETITEM"):
            pairs = since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))
        elif name in ("APPENDS", "APPEND"):
            entries = since_mark() if name == "APPENDS" else [stack.pop()]
            stack[-1].extend(entries)
        else:
            raise ValueError(f"the instruction {name}")
    raise ValueError("no end")


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PLAIN = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}


def _made(called: Any, arguments: Any) -> Any:
    if not isinstance(called, _Name) or not isinstance(arguments, tuple):
        raise ValueError("a call of what is no name")
    if (called.module, called.name) == ("_codecs", "encode"):  # bytes, as protocol 2 writes them
        text, coding = arguments
        if coding != "latin1":
            raise ValueError(f"a text in {coding}")
        return text.encode("latin1")
    if called.module not in _MODULES or called.name not in _NAMES:
        raise ValueError(f"an object of another program ({called.module}.{called.name}), which is never made")
    return _Made(called.name, arguments)


def _array(value: Any) -> NDArray[Any] | None:
    """An array of what was made; None for a value of another kind."""
    if isinstance(value, bool) or value is None or isinstance(value, str | bytes):
        return None
    if isinstance(value, int | float):
        return np.asarray(value)
    if not isinstance(value, _Made):
        return None
    if value.name == "scalar":
        kind, content = value.arguments
        return np.frombuffer(content, _dtype(kind)).reshape(())
    if value.name == "_frombuffer":
        content, kind, shape, order = value.arguments
        return np.frombuffer(bytes(content), _dtype(kind)).reshape(shape, order=order)
    if value.name != "_reconstruct":
        return None
    _, shape, kind, fortran, content = value.state
    return np.frombuffer(content, _dtype(kind)).reshape(shape, order="F" if fortran else "C")


def _dtype(value: Any) -> np.dtype[Any]:
    """A type of plain numbers. Raises ValueError for any other."""
    if not isinstance(value, _Made) or value.name != "dtype" or not isinstance(value.arguments[0], str):
        raise ValueError("an array of no known type")
    found = np.dtype(value.arguments[0])
    if found.kind not in _KINDS:
        raise ValueError(f"an array of {found}")
    order = value.state[1] if value.state else "="
    if order == ">":
        return found.newbyteorder(">")
    return found.newbyteorder("<") if order == "<" else found
