"""Lips that are judged as pictures: a frame of the clip is moved by them, and a lip expert looks whether they go with
the sound.

Source: See the Speaker (Wang et al., arXiv 2510.26819), section on lip refinement: the loss of a lip expert, which is
Wav2Lip's (Prajwal et al. 2020). The head stands still as in the clip's frame, for the expert sees aligned faces, and a
face that does not turn is drawn best. Renderer and expert are frozen; a gradient reaches the motion alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError
from ...faces.align import template
from ...faces.landmarks import STABLE
from ...faces.lip_reading import cut, reader_crops
from ...media.timebase import FPS
from ...speech.mel_windows import FRAMES, mel_windows
from ...sync.syncnet import SyncNet, drawn_sync_loss
from ...training.recipe import Batch
from ..motion import Motion
from ..motion_extractor import Seen
from ..renderer import HolisticRenderer, Identity
from .motion_clips import MotionClip
from .motion_losses import expression
from .moving_heads import MovingHeads
from .recipe_renderer import unit

EVERY = 25
"""One frame of so many may be the one that is moved."""

_SEEN = ("canonical", "expression", "rotation", "translation", "scale")


class DrawnLips(nn.Module):
    """The frozen expert and renderer, and frames of the clips to draw with: `heads`, one frame of `every`.

    Raises InputError for a renderer whose keypoints are not tied to landmarks, and for heads of other clips or size.
    """

    def __init__(
        self,
        expert: SyncNet,
        renderer: HolisticRenderer,
        heads: MovingHeads,
        clips: Sequence[MotionClip],
        every: int = EVERY,
    ) -> None:
        super().__init__()
        if not renderer.config.tied:
            raise InputError("lips are drawn for the expert by a renderer whose keypoints are tied to landmarks.")
        if (len(heads.starts) - 1, heads.size, heads.pad) != (len(clips), renderer.config.size, 0):
            raise InputError(
                f"heads of {len(heads.starts) - 1} clips at {heads.size} px; expected {len(clips)} clips at "
                f"{renderer.config.size} px, without a margin."
            )
        self.expert = expert.eval().requires_grad_(False)
        self.renderer = renderer.eval().requires_grad_(False)
        self._heads, self._clips, self._every = heads, clips, every
        points = torch.from_numpy(heads.landmarks[:, list(STABLE)])
        self._where = reader_crops(template(), points, heads.size)

    def batch(self, clip: int, middle: int, rng: np.random.Generator) -> Batch:
        """What it takes to judge the five frames about frame `middle` of a clip: a frame of it as `picture` uint8
        [S,S,3], its parts of `Seen`, `rest` [K,3], the person's expression at rest, `where` its aligned face lies, and
        the `sound` [1,80,16]."""
        heads, one = self._heads, self._clips[clip]
        first = int(heads.starts[clip])
        source = int(rng.integers(first, int(heads.starts[clip + 1])))
        own = {name: getattr(heads.seen, name)[source] for name in _SEEN}
        return {
            "picture": torch.from_numpy(heads.frames[source].copy()),
            **own,
            "rest": own["expression"] - expression(one.values[self._every * (source - first)]),
            "where": self._where[source],
            "sound": mel_windows(one.mels[0].float(), [middle], FPS, self.expert.config.mel_shift)[0],
        }

    def loss(self, said: Tensor, batch: Batch) -> Tensor:
        """The expert's loss on expressions about rest [W,5,K,3], with `batch` stacked [W,...]."""
        faces = cut(self.pictures(said, batch), _each(batch["where"]), self.expert.config.size)
        return drawn_sync_loss(self.expert, faces, batch["sound"])

    def pictures(self, said: Tensor, batch: Batch) -> Tensor:
        """The clips' frames with these expressions [5 W,3,S,S] in 0..1."""
        net, shown = self.renderer, unit(batch["picture"])
        with torch.no_grad():
            volume, maps = net.appearance(shown)
            guide = net.warping.motion.shown(volume)
        own = Seen(*(_each(batch[name]) for name in _SEEN))
        driven = replace(own, expression=(batch["rest"][:, None] + said).flatten(0, 1))
        motion = Motion(own.expression, own.rotation, own.translation, own.scale)
        kept = None if maps is None else _each(maps)
        identity = Identity(_each(volume), _each(guide), kept, _each(shown), own.canonical, motion)
        return net.moved(identity, own, driven).pictures.float().clamp(0, 1)


def _each(part: Tensor) -> Tensor:
    """What belongs to a window [W,...], for each of its frames [5 W,...]."""
    return part.repeat_interleave(FRAMES, 0)
