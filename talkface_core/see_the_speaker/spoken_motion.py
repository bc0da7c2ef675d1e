"""The motion that a sound asks for, on its way to a portrait: whose keypoints it moves, and how it is put on a face.

Ours: in See the Speaker (Wang et al., arXiv 2510.26819) one program holds both ends. Keypoints mean something only to
the renderer that they were learned with: another one would tear a face by them, so it refuses them by name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import torch

from ..checkpoints import Checkpoint
from ..errors import InputError
from .controls import ControlTable
from .motion import Motion
from .renderer import RENDERER
from .rendering import Portrait
from .style import keep_shut, placed


@dataclass(frozen=True)
class MotionSpace:
    """The keypoints of one renderer. Two are equal where the network that reads them off faces is, whatever the file
    is called; "" is the fingerprint where a file holds no renderer."""

    name: str = field(compare=False)
    fingerprint: str

    def fits(self, other: MotionSpace) -> bool:
        """Whether a motion of the one may move the other's keypoints, as far as both are known."""
        return not self.fingerprint or not other.fingerprint or self == other


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
                f"this motion belongs to the model {self.space.name!r} ({self.space.fingerprint}), and the renderer is "
                f"of {space.name!r} ({space.fingerprint}), whose keypoints are others: take both from one checkpoint"
            )
        return placed(self.motion, at_rest(portrait, self.controls), self.relative, self.turned)


def motion_space(checkpoint: Checkpoint) -> MotionSpace:
    """What tells this file's keypoints from others': a fingerprint of what reads them off faces."""
    state, digest = checkpoint.states.get(RENDERER.name, {}), hashlib.sha256()
    keys = sorted(key for key in state if key.startswith("motion_extractor."))
    for key in keys:
        digest.update(key.encode())
        digest.update(state[key].half().contiguous().numpy().tobytes())
    return MotionSpace(checkpoint.path.stem, digest.hexdigest()[:12] if keys else "")


def at_rest(portrait: Portrait, controls: ControlTable) -> Motion:
    """The motion of a portrait's face at rest: as it is in the picture, but with its mouth shut."""
    own = portrait.identity.motion
    if not controls.names:
        return own
    return replace(own, expression=keep_shut(own.expression, torch.ones(len(own)), controls))
