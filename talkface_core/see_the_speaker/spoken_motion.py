"""The motion that a sound asks for, on its way to a portrait: whose keypoints it moves, and how it is put on a face.

Ours: in See the Speaker (Wang et al., arXiv 2510.26819) one program holds both ends. Keypoints mean something only to
the renderer that they were learned with: another one would tear a face by them, so it refuses them by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..checkpoints import Checkpoint
from ..errors import InputError
from .controls import ControlTable
from .motion import Motion
from .motion_diffusion import MOTION, MotionConfig
from .renderer import RENDERER, RendererConfig
from .rendering import Portrait
from .style import keep_shut, placed


@dataclass(frozen=True)
class MotionSpace:
    """The keypoints that a checkpoint's motion moves and its renderer draws.

    keypoints: how many; relative: whether motion is about a face at rest, as the pack's own is; fingerprint: of the
    network that reads them off faces, "" where a file holds none.
    """

    name: str = field(compare=False)
    keypoints: int
    relative: bool
    fingerprint: str

    def fits(self, other: MotionSpace) -> bool:
        """Whether a motion of the one may move the other's keypoints, as far as both are known."""
        known = self.fingerprint and other.fingerprint
        alike = (self.keypoints, self.relative) == (other.keypoints, other.relative)
        return alike and (not known or self.fingerprint == other.fingerprint)


@dataclass(frozen=True)
class SpokenMotion:
    """The motion of a sound's frames in the keypoints of `space`.

    controls: of those keypoints; relative, turned: see `placed`.
    """

    motion: Motion
    space: MotionSpace
    controls: ControlTable
    relative: bool = True
    turned: bool = False

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.motion)

    def on(self, portrait: Portrait, space: MotionSpace) -> Motion:
        """The motion of a portrait's own keypoints, for a renderer of `space`. Raises InputError for another's."""
        if not self.space.fits(space):
            raise InputError(
                f"this motion belongs to the model {self.space.name!r} and the renderer to {space.name!r}, whose "
                "keypoints are others: take both from one checkpoint, or LivePortrait's with JoyVASA's"
            )
        return placed(self.motion, at_rest(portrait, self.controls), self.relative, self.turned)


def motion_space(checkpoint: Checkpoint) -> MotionSpace | None:
    """The keypoints of a checkpoint; None where it has neither motion nor renderer. Raises CheckpointError."""
    name = checkpoint.path.stem
    if RENDERER.name in checkpoint.configs:
        drawn = checkpoint.config(RENDERER.name, RendererConfig)
        return MotionSpace(name, drawn.keypoints, drawn.turns, _fingerprint(checkpoint.states[RENDERER.name]))
    if MOTION.name in checkpoint.configs:
        moved = checkpoint.config(MOTION.name, MotionConfig)
        return MotionSpace(name, moved.keypoints, moved.relative, "")
    return None


def _fingerprint(renderer: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(key for key in renderer if key.startswith("motion_extractor.")):
        digest.update(key.encode())
        digest.update(renderer[key].half().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def at_rest(portrait: Portrait, controls: ControlTable) -> Motion:
    """The motion of a portrait's face at rest: as it is in the picture, but with its mouth shut."""
    own = portrait.identity.motion
    if not controls.names:
        return own
    return replace(own, expression=keep_shut(own.expression, torch.ones(len(own)), controls))
