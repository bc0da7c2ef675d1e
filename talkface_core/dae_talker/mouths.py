"""The inpainting DAE-Talker as a lip-sync model: the sound moves lip latents, the decoder paints mouths by them.

Source: DiffDub (Liu et al. 2024), inference with several references. What a film's own lips look like is read off it
once: 75 frames in a row for the speech side, and for the decoder one picture of each scene. What is done with a film
besides (tracking, cutting out, pasting, writing) is dubbing's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..diffusion.sampling import Callback, seeded
from ..dubbing.light import Light
from ..dubbing.model import DubContext, MouthModel, MouthPainter
from ..dubbing.references import choose_references, likely_references
from ..faces.align import Framing
from ..media.audio import analysis_blocks
from ..media.timebase import frame_count
from ..pixels import signed_to_unit, to_signed, to_unit
from ..speech.hidden_states import Mixed
from .autoencoder import DiffusionAutoencoder
from .decode import decode_memory, default_window
from .inpainting import Inpainting, inpaint, shared_start, soft
from .lip_region import lip_picture, mouth_region
from .model import DAEDubber
from .speech2lips import Speech2Lips, lip_latents

FRAMING = Framing(height=0.36, eyes=0.45)
"""How large and where faces are in the published training pictures: measured on the ten that are public."""

REFERENCES = 75
"""Frames in a row, three seconds, whose lips the speech side is shown."""

_AT_ONCE = 8  # lips that are encoded together


@dataclass(frozen=True)
class InpaintedMouths(MouthModel):
    """The inpainting DAE-Talker as dubbing asks for it.

    hidden: what a large speech encoder says of the sound, on demand: its hidden states, mixed by the weights that it is
    given (`EncodedAudio.mixed`, speech/hidden_states.py). callback: is told of each step of sampling. Raises InputError
    for another seed.
    """

    autoencoder: DiffusionAutoencoder
    speech: Speech2Lips
    hidden: Mixed
    settings: Inpainting = field(default_factory=Inpainting)
    callback: Callback | None = None

    def __post_init__(self) -> None:
        seeded(self.settings.seed)

    @classmethod
    def of(cls, model: DAEDubber, hidden: Mixed, settings: Inpainting | None = None) -> InpaintedMouths:
        """Of a loaded checkpoint's networks."""
        return cls(model.autoencoder, model.speech, hidden, settings or Inpainting())

    @property
    def crop_size(self) -> int:
        return self.autoencoder.config.image_size

    @property
    def framing(self) -> Framing:
        return FRAMING

    def begin(self, context: DubContext) -> InpaintingPainter:
        """Look at the film's lips, hear the whole sound, and cut out the references."""
        return InpaintingPainter(self, context)

    def rank(self, landmarks: Tensor, frames: Tensor) -> Tensor:
        """The first frames show the speech side what lips look like, wide open mouths the decoder."""
        open_wide = likely_references(landmarks, 2)
        return torch.where(frames < REFERENCES, open_wide.max() + 1, open_wide)

    def memory(self, frames: int) -> float:
        """Bytes of activations that so many frames at once need, for a host that makes room beforehand."""
        return decode_memory(self.autoencoder, min(frames, default_window(self.autoencoder)))


class InpaintingPainter(MouthPainter):
    """One film's lip latents and references."""

    def __init__(self, model: InpaintedMouths, context: DubContext) -> None:
        self.device = model.autoencoder.compute_device
        self.window = default_window(model.autoencoder)
        steps = model.settings.steps or model.autoencoder.config.sampling.steps
        self.settings = {"steps": steps, "seed": model.settings.seed}
        self._model, self._order = model, context.order
        self._points = context.crop.landmarks.numpy()
        self._x_T = shared_start(model.autoencoder, model.settings.seed).to(self.device)
        shown = _shown_by_scene(context)
        rows = _in_a_row(context)
        cut, whole = context.crops((rows, model.crop_size), (np.unique(shown), model.crop_size))
        self._references = {k: self._reference(face) for k, face in whole.items()}
        self._shown = shown
        self._latents = self._say(context, self._look(cut, rows))

    @torch.no_grad()
    def paint(self, faces: Tensor, frames: Tensor) -> Tensor:
        """See `MouthPainter.paint`. Outside of the painted region a face is its own."""
        model, footage = self._model, self._order[frames.numpy()]
        size = model.crop_size
        region = np.stack([mouth_region(self._points[k], size) for k in footage])
        regions = torch.from_numpy(region)[:, None].to(self.device)
        references = torch.cat([self._references[int(self._shown[k])] for k in footage])
        latents = self._latents[frames].to(self.device)
        painted = inpaint(
            model.autoencoder,
            to_signed(faces.to(self.device, torch.float32)),
            regions,
            references,
            latents,
            self._x_T,
            model.settings,
            model.callback,
        )
        share = soft(regions)
        return torch.cat([torch.lerp(faces.float(), signed_to_unit(painted), share), share], 1)

    def _reference(self, face: NDArray[np.generic]) -> Tensor:
        """A face [S,S,3] as the decoder is shown it: [1,3,S,S] in -1..1, in ordinary light."""
        picture = rearrange(to_unit(torch.from_numpy(face)), "h w c -> 1 c h w").float()
        return to_signed(Light.of(picture, FRAMING).evened(picture)).to(self.device)

    @torch.no_grad()
    def _look(self, cut: Mapping[int, NDArray[np.generic]], rows: NDArray[np.int64]) -> Tensor:
        """Lip latents [REFERENCES, D] of the film's frames `rows`, from the beginning again where they are fewer."""
        net = self._model.autoencoder
        dtype, size, latents = next(net.encoder.parameters()).dtype, self._model.crop_size, []
        for first in range(0, len(rows), _AT_ONCE):
            now = rows[first : first + _AT_ONCE]
            faces = rearrange(to_unit(torch.from_numpy(np.stack([cut[int(k)] for k in now]))), "n h w c -> n c h w")
            even = rearrange(Light.of(faces.float(), FRAMING).evened(faces.float()), "n c h w -> n h w c").numpy()
            lips = np.stack([lip_picture(face, self._points[k], size) for face, k in zip(even, now, strict=True)])
            pixels = to_signed(rearrange(torch.from_numpy(lips), "n h w c -> n c h w"))
            latents.append(net.encode(pixels.to(self.device, dtype)).float().cpu())
        return torch.cat(latents)[torch.arange(REFERENCES) % len(rows)]

    def _say(self, context: DubContext, references: Tensor) -> Tensor:
        """Lip latents [N, D] of the dubbed film; of frames behind the sound the last one's."""
        speech, source, fps = self._model.speech, context.source, context.film.fps
        hidden = self._model.hidden(speech.layer_weights)
        features, frames = hidden.stream(analysis_blocks(source)), len(context.order)
        sounding = min(frame_count(source.num_samples(), source.sample_rate, fps), frames)
        rows = torch.cat(list(lip_latents(speech, features, references, sounding, fps)))
        return rows[torch.arange(frames).clamp(max=len(rows) - 1)]


def _usable(context: DubContext) -> NDArray[np.bool_]:
    """Frames that show a mouth well; all where none does."""
    usable = (context.track.valid & context.track.readable).numpy()
    return usable if usable.any() else np.ones_like(usable)


def _in_a_row(context: DubContext) -> NDArray[np.int64]:
    """Up to `REFERENCES` usable frames from the beginning of the scene that has most of them."""
    usable = _usable(context)
    scenes = [np.arange(len(usable))[scene][usable[scene]] for scene in context.track.scenes]
    return max(scenes, key=len)[:REFERENCES]


def _shown_by_scene(context: DubContext) -> NDArray[np.int64]:
    """For each frame [T] the one that is shown beside it: of its scene the wide open mouth that suits most frames.

    One alone, so that skin and teeth do not change while it is dubbed; a mouth that is shut hides the teeth.
    """
    usable = _usable(context)
    chosen = choose_references(context.crop, usable, context.track.scenes, 2)[:, 1]
    shown = np.arange(len(chosen))
    for scene in context.track.scenes:
        own = chosen[scene][usable[scene]]
        picks, counts = np.unique(own if len(own) else shown[scene], return_counts=True)
        shown[scene] = picks[counts.argmax()]
    return shown
