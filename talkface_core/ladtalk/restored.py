"""Any system's mouths with their texture restored by the SOVQAE: two papers joined.

Source: LaDTalk (Yang et al. 2024), second stage, behind whatever paints a mouth: its SOVQAE restores faces, whoever
made them. Only what a painter says it painted is restored; the strength is matched to each film's own sharpness as in
LaDTalk's own pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..dubbing.model import DubContext, MouthModel, MouthPainter
from ..faces.align import Framing
from ..memory import AdaptiveBatch
from ..pixels import to_unit
from .enhance import PAINTED, restored, restored_paint
from .matching import matching_strength
from .pipeline import TEXTURE, check_strength, matched_on
from .sovqae import SOVQAE
from .wav2lip import resized


@dataclass(frozen=True)
class RestoredMouths(MouthModel):
    """Mouths of another model, restored. strength: 0..1, how far; None matches it to each film's own sharpness. Raises
    InputError for another strength."""

    mouths: MouthModel
    sovqae: SOVQAE
    strength: float | None = None

    def __post_init__(self) -> None:
        check_strength(self.strength)

    @property
    def crop_size(self) -> int:
        return self.mouths.crop_size

    @property
    def painted_size(self) -> int:
        return self.mouths.painted_size

    @property
    def framing(self) -> Framing:
        return self.mouths.framing

    def begin(self, context: DubContext) -> RestoredPainter:
        """Match the strength, then begin as the other model does."""
        strength = self.strength
        if strength is None and len(frames := matched_on(context)):
            strength = self._matching_strength(context, frames)
        return RestoredPainter(self.mouths.begin(context), self.sovqae, strength, context)

    def rank(self, landmarks: Tensor, frames: Tensor) -> Tensor:
        """As the other model has it; faces that are matched on lie among the first and are soon read once more."""
        return self.mouths.rank(landmarks, frames)

    def _matching_strength(self, context: DubContext, frames: np.ndarray) -> float:
        """The strength that makes faces as soft as what is painted as sharp as they were, by their upper halves, which
        no mouth reaches."""
        small, real = context.crops((frames, self.mouths.painted_size), (frames, self.sovqae.config.image_size))
        faces = rearrange(to_unit(torch.from_numpy(np.stack(list(small.values())))), "n h w c -> n c h w")
        with context.timer.part(TEXTURE):
            pairs = AdaptiveBatch(lambda part: torch.stack(restored(self.sovqae, part), 1).cpu())(faces)
            soft, sharp = (rearrange(part, "n c h w -> n h w c") for part in pairs.unbind(1))
            return matching_strength(soft, sharp, to_unit(torch.from_numpy(np.stack(list(real.values())))))


class RestoredPainter(MouthPainter):
    """One film's painter of another model, and the strength."""

    def __init__(self, painter: MouthPainter, sovqae: SOVQAE, strength: float | None, context: DubContext) -> None:
        self.device, self.window = painter.device, painter.window
        self.settings = {**painter.settings, TEXTURE: strength}
        self._painter, self._sovqae, self._strength, self._timer = painter, sovqae, strength, context.timer

    def paint(self, faces: Tensor, frames: Tensor) -> Tensor:
        """See `MouthPainter.paint`; what `restored_paint` restores wholly counts wholly as paint."""
        painted = self._painter.paint(faces, frames)
        mouths, share = painted[:, :3], painted[:, 3:] if painted.shape[1] > 3 else torch.ones_like(painted[:, :1])
        if self._strength:
            with self._timer.part(TEXTURE):
                mouths = restored_paint(self._sovqae, mouths, share, self._strength).to(mouths.device)
        share = resized((share / PAINTED).clamp(0, 1), mouths.shape[-1])
        return torch.cat([mouths, share.to(mouths)], 1)
