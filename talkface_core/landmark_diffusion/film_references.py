"""The references of one film's faces as TalkFormer is shown them: a shut and a wide open mouth of the same scene.

Whole pictures, unlike LaDTalk's (dubbing/reference_mouths.py): the painter moves them by the landmarks itself. They are
encoded when a frame first asks for them and are kept as far as there is room, so a long film needs no more memory than
a short one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..dubbing.light import Light
from ..pixels import to_bytes, to_unit

ROOM = 2**28
"""Bytes of encoded references that are kept, unless a window needs more."""

_AT_ONCE = 8  # references that are encoded together

Encoded = Any
"""A tree of tensors [K,...]: dataclasses and tuples, and how to take frames' own out of it (`at`)."""


def some_reference(
    chosen: NDArray[np.int64], usable: NDArray[np.bool_], scenes: Iterable[slice], away: int = 0
) -> NDArray[np.int64]:
    """`choose_references`' frames [T,R], where each frame but those that others are shown has another beside it.

    For those that have none, being turned farther away than any, the nearest in time of the scene's references; with
    `away` one of another moment, if there is one. Landmarks tell the painter how the head has turned.
    """
    chosen = chosen.copy()
    for scene in scenes:
        frames = np.arange(len(chosen))[scene]
        own = frames[usable[scene]]
        for column in range(chosen.shape[1]) if len(own) else ():
            picks = chosen[own, column]
            others = np.unique(picks[picks != own])
            pool = others if len(others) else own[len(own) // 2 :][:1]
            alone = frames[(chosen[frames, column] == frames) & ~(np.isin(frames, pool) & (away == 0))]
            far = np.abs(pool[:, None] - alone).astype(float)
            far[far < away] += len(chosen)
            chosen[alone, column] = pool[far.argmin(0)]
    return chosen


class FilmReferences:
    """What is shown beside each frame of a film: `chosen` [T,R], of which the faces were `cut` out [S,S,3], uint8 or
    0..1, by frame; landmarks [T,68,2] of the film in shares of the crop.

    encode: pictures [K,3,S,S] in 0..1 and landmarks [K,68,2] to a tree of tensors [K,...], TalkFormerModel's.
    """

    def __init__(
        self,
        encode: Callable[[Tensor, Tensor], Encoded],
        chosen: NDArray[np.int64],
        cut: Mapping[int, NDArray[np.generic]],
        landmarks: Tensor,
        device: torch.device,
    ) -> None:
        self._encode, self._chosen, self._landmarks, self._device = encode, chosen, landmarks, device
        # As bytes, whatever the film is: they are kept as long as it is dubbed.
        self._cut = {k: to_bytes(face) for k, face in cut.items()}
        self._held: list[int] = []
        self._encoded: Encoded = None

    def at(self, frames: Sequence[int]) -> tuple[Encoded, Tensor]:
        """Encoded references among which are those of these frames of the film, and the places of theirs [n,R]."""
        wanted = self._chosen[list(frames)]
        needed = np.unique(wanted).tolist()
        self._hold(needed)
        place = {k: n for n, k in enumerate(self._held)}
        index = torch.tensor([[place[k] for k in row] for row in wanted.tolist()], device=self._device)
        return self._encoded, index

    def _hold(self, needed: list[int]) -> None:
        missing = [k for k in needed if k not in self._held]
        if not missing:
            return
        parts = [self._look_at(missing[n : n + _AT_ONCE]) for n in range(0, len(missing), _AT_ONCE)]
        if self._encoded is not None:
            size = sum(part.nbytes for part in leaves(self._encoded)) / len(self._held)
            if size * (len(self._held) + len(missing)) > ROOM:
                kept = [n for n, k in enumerate(self._held) if k in needed]
                self._held = [self._held[n] for n in kept]
                self._encoded = mapped(lambda part: part[kept], self._encoded)
            parts.insert(0, self._encoded)
        # Nothing is remembered before all is encoded: where memory runs out, the same is asked for again.
        self._encoded = parts[0] if len(parts) == 1 else mapped(lambda *part: torch.cat(part), *parts)
        self._held = [*self._held, *missing]

    def _look_at(self, frames: list[int]) -> Encoded:
        pictures = to_unit(torch.from_numpy(np.stack([self._cut[k] for k in frames])).to(self._device))
        pictures = rearrange(pictures, "k h w c -> k c h w")
        return self._encode(Light.of(pictures).evened(pictures), self._landmarks[frames].to(self._device))


def mapped(function: Callable[..., Tensor], *trees: Any) -> Any:
    """A function of tensors at the same place of dataclasses and tuples of one make, as another such."""
    first = trees[0]
    if isinstance(first, Tensor):
        return function(*trees)
    if is_dataclass(first) and not isinstance(first, type):
        parts = {f.name: mapped(function, *(getattr(tree, f.name) for tree in trees)) for f in fields(first)}
        return replace(first, **parts)
    return type(first)(mapped(function, *parts) for parts in zip(*trees, strict=True))


def leaves(tree: Any) -> list[Tensor]:
    """The tensors of dataclasses and tuples."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    mapped(note, tree)
    return found
