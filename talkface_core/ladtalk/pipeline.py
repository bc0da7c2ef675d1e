"""LaDTalk as a lip-sync model for dubbing: Wav2Lip says the words, the SOVQAE restores the texture.

Source: LaDTalk (Yang et al. 2024), inference; the voice activity gate, the references and the matched strength are
ours. What is done with a film besides (tracking, cutting out, pasting, writing) is dubbing's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..dubbing.model import DubContext, MouthModel, MouthPainter
from ..dubbing.reference_mouths import ReferenceMouths
from ..dubbing.references import choose_references, likely_references
from ..errors import InputError
from ..memory import AdaptiveBatch
from ..pixels import to_unit
from ..stage_timer import StageTimer
from .enhance import PAINTED, enhance_memory, restored, restored_paint
from .hearing import Speech, hear_silence, listen
from .matching import matching_strength
from .model import LaDTalk, Wav2LipModel
from .repaint import repaint_faces, repaint_memory
from .sovqae import SOVQAE
from .wav2lip import picture_size, resized

TEXTURE = "texture"
"""The stage of the SOVQAE, for a timer."""

MATCHED_ON, MATCHED_OVER = 8, 40
"""The matched strength is taken from so many frames, spread over so many that show the face, from the first on."""


def check_strength(strength: float | None) -> None:
    """Raises InputError for a strength that is none."""
    if strength is not None and not 0 <= strength <= 1:
        raise InputError(f"strength {strength}; it lies between 0 (nothing is restored) and 1, or is left out.")


def matched_on(context: DubContext) -> NDArray[np.int64]:
    """Frames near the beginning of what is shown that a strength is matched on, whatever comes in which chunk."""
    candidates = np.flatnonzero(context.visible[: len(context.order)])[:MATCHED_OVER]
    if not len(candidates):
        return candidates
    return candidates[np.unique(np.linspace(0, len(candidates) - 1, MATCHED_ON).round().astype(int))]


@dataclass(frozen=True)
class LaDTalkMouths(MouthModel):
    """LaDTalk as dubbing asks for it.

    sovqae: None leaves mouths as soft as Wav2Lip's. strength: 0..1, how far the SOVQAE restores; None matches it to
    each film's own sharpness. away: frames that lie at least between a frame and its references, for measurements in
    which these must not tell the answer. Raises InputError for another strength.
    """

    lips: Wav2LipModel
    sovqae: SOVQAE | None = None
    strength: float | None = None
    away: int = 0

    def __post_init__(self) -> None:
        check_strength(self.strength)

    @classmethod
    def of(cls, model: LaDTalk, strength: float | None = None) -> LaDTalkMouths:
        """Of a loaded checkpoint's networks."""
        return cls(model.lips, model.sovqae, strength)

    @property
    def crop_size(self) -> int:
        return picture_size(self.lips.wav2lip.config)

    def begin(self, context: DubContext) -> LaDTalkPainter:
        """Cut out the references and what the strength is matched on, and open the sound's stream."""
        crop, track = context.crop, context.track
        config = self.lips.wav2lip.config
        chosen = choose_references(
            crop, (track.valid & track.readable).numpy(), track.scenes, config.references, self.away
        )
        unmatched = self.sovqae is None or self.strength is not None
        matched = np.zeros(0, np.int64) if unmatched else matched_on(context)
        wanted = np.unique(chosen[chosen != np.arange(len(chosen))[:, None]])
        real_size = self.crop_size if self.sovqae is None else self.sovqae.config.image_size
        cut, small, real = context.crops((wanted, crop.size), (matched, config.size), (matched, real_size))
        strength = None if self.sovqae is None else self.strength
        if self.sovqae is not None and len(matched):
            faces, goal = (np.stack(list(crops.values())) for crops in (small, real))
            strength = self._matching_strength(self.sovqae, faces, goal, context.timer)
        speech = listen(self.lips, context.source, context.film.fps)
        return LaDTalkPainter(self, context, strength, speech, ReferenceMouths(crop, chosen, cut))

    def rank(self, landmarks: Tensor, frames: Tensor) -> Tensor:
        """The first frames, for the strength; then shut and wide open mouths, which references are taken from."""
        useful = likely_references(landmarks, self.lips.wav2lip.config.references)
        first = frames < MATCHED_OVER if self.sovqae is not None and self.strength is None else frames < 0
        return torch.where(first, torch.inf, useful)

    def memory(self, frames: int) -> float:
        """Bytes of activations that so many frames at once need, for a host that makes room beforehand."""
        restoring = 0.0 if self.sovqae is None else enhance_memory(self.sovqae, frames)
        return max(repaint_memory(self.lips.wav2lip, frames), restoring)

    def _matching_strength(
        self, sovqae: SOVQAE, small: NDArray[np.generic], real: NDArray[np.generic], timer: StageTimer
    ) -> float:
        """The strength that makes mouths as sharp as the footage's faces, which are given at both networks' sizes.

        The mouths say nothing, which does not matter: the upper halves of the faces are compared.
        """
        device = self.lips.wav2lip.pixels.weight.device
        faces = to_unit(rearrange(torch.from_numpy(small).to(device), "n h w c -> n c h w"))
        silence = hear_silence(self.lips, len(faces))

        def pair(faces: Tensor, speech: Tensor) -> Tensor:
            mouths = repaint_faces(self.lips.wav2lip, faces, speech, faces).frames
            with timer.part(TEXTURE):
                return torch.stack(restored(sovqae, mouths), 1).cpu()

        inputs, sharp = (
            rearrange(part, "n c h w -> n h w c") for part in AdaptiveBatch(pair)(faces, silence).unbind(1)
        )
        with timer.part(TEXTURE):
            return matching_strength(inputs, sharp, to_unit(torch.from_numpy(real)))


class LaDTalkPainter(MouthPainter):
    """One film's references, strength and sound."""

    def __init__(
        self,
        model: LaDTalkMouths,
        context: DubContext,
        strength: float | None,
        speech: Speech,
        references: ReferenceMouths,
    ) -> None:
        self.device = model.lips.wav2lip.pixels.weight.device
        self.settings = {TEXTURE: strength}
        self._model, self._strength, self._speech, self._references = model, strength, speech, references
        self._order, self._timer = torch.from_numpy(context.order), context.timer

    def paint(self, faces: Tensor, frames: Tensor) -> Tensor:
        """See `MouthPainter.paint`; what `restored_paint` restores wholly counts wholly as paint."""
        speech = self._speech.at(frames.tolist())
        references = self._references.composite(faces, self._order[frames].tolist())
        output = repaint_faces(self._model.lips.wav2lip, faces, speech, references)
        mouths = output.frames
        if self._model.sovqae is not None and self._strength:
            with self._timer.part(TEXTURE):
                if self._model.lips.wav2lip.config.flow:
                    # What was carried over from the footage has its own texture; only paint lacks it.
                    mouths = restored_paint(self._model.sovqae, mouths, output.mask, self._strength)
                else:
                    mouths = restored(self._model.sovqae, mouths, self._strength)[1]
        share = resized((output.mask / PAINTED).clamp(0, 1), mouths.shape[-1])
        return torch.cat([mouths, share.to(mouths)], 1)
