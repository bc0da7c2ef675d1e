"""Where wires run in the page, and a way for each that no node hides.

A wire is drawn as the page draws it: a Bézier curve from output to input, or from dot to dot where it has reroutes,
which are dots (x, y). Units are those of node positions; y grows downwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""
Curve = NDArray[np.float64]
"""Points [n, 2] of a drawn wire."""

TITLE = 30
"""Height of a node's title bar, above its position."""
_INSIDE = 14  # so far into its own node a slot lies
_APART = 5  # from a node, at least
_SPACE = 16  # between two wires that run along each other
_PER_DOT = 100  # as if a wire were so much longer
_LONGEST = 20  # of a dot's control arm: the page's setting LiteGraph.Reroute.SplineOffset
_STEPS = np.linspace(0, 1, 25)[:, None]
_SHARES = ((1 - _STEPS) ** 3, 3 * (1 - _STEPS) ** 2 * _STEPS, 3 * (1 - _STEPS) * _STEPS**2, _STEPS**3)


def curve(points: Sequence[Point]) -> Curve:
    """The drawn wire through output, dots and input."""
    ends = [np.asarray(point, dtype=float) for point in points]
    arms = [_arms(before, at, after) for before, at, after in zip(ends, ends[1:], ends[2:], strict=False)]
    parts = []
    for number, (a, b) in enumerate(pairwise(ends)):
        level = np.array([_distance(a, b) / 4, 0.0])
        out = arms[number - 1][1] if number else level
        into = arms[number][0] if number < len(arms) else -level
        parts.append(_bezier(a, a + out, b + into, b))
    return np.concatenate(parts)


def hidden(wire: Curve, boxes: Sequence[Box], own: tuple[int, int]) -> bool:
    """Whether a node lies over the wire. `own` are the indexes, in `boxes`, of the nodes at its ends."""
    aside = np.full(len(boxes), -_APART)
    aside[list(own)] = _INSIDE
    left, top, right, bottom = np.array(boxes).T
    x, y = wire[:, :1], wire[:, 1:]
    over = (x > left + aside) & (x < right - aside) & (y > top - _APART) & (y < bottom + _APART)
    return bool(over.any())


def route(start: Point, end: Point, boxes: Sequence[Box], own: tuple[int, int], taken: Sequence[Curve]) -> list[Point]:
    """Dots that lead a wire past all nodes: none where it runs free, else as few and as short a way as there is.

    `taken` are the wires drawn already; a way along one of them is a longer way. Raises ValueError if there is none.
    """
    straight = curve([start, end])
    if not hidden(straight, boxes, own):
        return []
    best: tuple[float, list[Point]] | None = None
    around = np.array([(*(wire.min(0) - _SPACE), *(wire.max(0) + _SPACE)) for wire in taken]).reshape(-1, 4)
    for shortest, dots in sorted((_dear([start, *dots, end]), dots) for dots in _ways(start, end, boxes)):
        if best and shortest >= best[0]:
            break
        way = curve([start, *dots, end])
        price = _length(way) + _PER_DOT * len(dots)
        if (best and price >= best[0]) or hidden(way, boxes, own):
            continue
        for number in _near(way, around):
            price += _along(way, taken[number])
            if best and price >= best[0]:
                break
        if best is None or price < best[0]:
            best = price, dots
    if best is None:
        raise ValueError(f"no way from {start} to {end}: leave more room between the nodes")
    return best[1]


def _ways(start: Point, end: Point, boxes: Sequence[Box]) -> Iterator[list[Point]]:
    """One dot; or two on one height, right of the output and left of the input, where a third and a fourth beside the
    output and the input keep long climbs upright."""
    top = min(box[1] for box in boxes) - 20
    bottom = max(box[3] for box in boxes) + 40
    for y in range(int(top) // 20 * 20, int(bottom), 20):
        for aside, before in product((20, 40), repeat=2):
            x, last = start[0] + _INSIDE + aside, end[0] - _INSIDE - before
            near, far = sorted((x, last))
            if any(box[1] < y < box[3] and box[0] < far and box[2] > near for box in boxes):
                continue
            for first, third in product((False, True), repeat=2):
                yield [*[(x, start[1])] * first, (x, y), (last, y), *[(last, end[1])] * third]
        for x in range(int(start[0]) + 30, int(end[0]) - 30, 40):
            yield [(x, y)]


def _length(way: Curve) -> float:
    return float(np.hypot(*np.diff(way, axis=0).T).sum())


def _dear(points: list[Point]) -> float:
    """No wire through these points is cheaper."""
    return sum(map(math.dist, points, points[1:])) + _PER_DOT * (len(points) - 2)


def _near(way: Curve, around: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which of the wires a way may run along, by the boxes [n, 4] around them: most are nowhere near it."""
    left, top, right, bottom = around.T[:, :, None]
    x, y = way.T
    return np.flatnonzero(((x > left) & (x < right) & (y > top) & (y < bottom)).any(axis=1))


def _along(way: Curve, other: Curve) -> float:
    """How far two wires run so near to each other that they look like one, with a weight of 3."""
    aside, above = (np.abs(np.subtract.outer(way[:, axis], other[:, axis])) < _SPACE for axis in (0, 1))
    near = (aside & above).any(axis=1)
    steps = np.hypot(*np.diff(way, axis=0).T)
    return 3 * float((steps * (near[1:] & near[:-1])).sum())


def _arms(before: Curve, at: Curve, after: Curve) -> tuple[Curve, Curve]:
    """The control arms of a dot, towards where the wire comes from and where it goes on: along the mean direction."""
    came, goes = _direction(before, at), _direction(at, after)
    half = (came - goes) / 2
    if abs(half) > np.pi / 2:
        half += np.pi
    way = np.array([np.cos(came - half), np.sin(came - half)])
    return (
        -way * min(_LONGEST, _distance(before, at) / 4),
        way * min(_LONGEST, _distance(at, after) / 4),
    )


def _bezier(a: Curve, b: Curve, c: Curve, d: Curve) -> Curve:
    of_a, of_b, of_c, of_d = _SHARES
    return of_a * a + of_b * b + of_c * c + of_d * d


def _distance(a: Curve, b: Curve) -> float:
    return math.dist(a, b)


def _direction(a: Curve, b: Curve) -> float:
    return math.atan2(b[1] - a[1], b[0] - a[0])
