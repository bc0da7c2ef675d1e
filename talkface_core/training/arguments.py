"""The flags that several recipes share: a recipe declares those that it has a use for."""

import argparse
from collections.abc import Callable, Sequence
from typing import TypeVar

Number = TypeVar("Number", int, float)


def add_preset(parser: argparse.ArgumentParser, choices: Sequence[str] = ("tiny", "base")) -> None:
    """`--preset`: the sizes of the networks and what goes with them."""
    parser.add_argument("--preset", choices=choices, default="tiny", help="sizes (default: tiny)")


def add_batch_size(parser: argparse.ArgumentParser) -> None:
    """`--batch-size`, None where it is not given."""
    parser.add_argument("--batch-size", type=above_zero(int), metavar="N", help="default: the preset's")


def add_compile(parser: argparse.ArgumentParser) -> None:
    """`--compile`."""
    parser.add_argument("--compile", action="store_true", help="torch.compile: faster after a slow start")


def above_zero(kind: Callable[[str], Number]) -> Callable[[str], Number]:
    """A type of argument: a number above zero, and finite."""

    def parse(text: str) -> Number:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text}: give a number above zero")
        return value

    parse.__name__ = kind.__name__  # argparse names it where `kind` refuses the text
    return parse


def share(text: str) -> float:
    """A type of argument: a share from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: give a share between 0 and 1")
    return value


share.__name__ = "float"
