"""Normalises the light of faces for the models, and undoes it: dark frames are brightened, grey ones stay grey.

Models have seen neither fades nor films without colour: red lips would glow in nearly black frames. Frames in ordinary
light and colour pass unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from ..faces.align import EYE_LEVEL, MARGIN, Framing

DARK = 0.25
"""Brightness (luma, 0..1) of a face below which it is brightened to this."""

GREY = 0.02
"""Chroma by brightness below which a face counts as grey, more the lower it is; skin has about 0.2."""

_MOST = 32.0  # times that a face is brightened at most: what is darker holds nothing but noise
_LUMA = (0.299, 0.587, 0.114)
# Where all faces show skin, by the side of a crop of the pack's own framing: forehead to nose, between the temples.
_ROWS, _COLUMNS = (0.2, 0.62), (0.25, 0.75)


@dataclass(frozen=True)
class Light:
    """How bright faces are and how much colour they have: gain [n,1,1,1] >= 1, colour [n,1,1,1] in 0..1."""

    gain: Tensor
    colour: Tensor

    @classmethod
    def of(cls, faces: Tensor, framing: Framing | None = None) -> Light:
        """Of aligned faces [n,3,S,S] in 0..1, by the skin that no mouth reaches. framing: the crops', None: usual."""
        size, framing = faces.shape[-1], framing or Framing()
        smaller = framing.height / MARGIN
        (top, bottom), (left, right) = (
            [round((level + (share - own) * smaller) * size) for share in part]
            for part, own, level in ((_ROWS, EYE_LEVEL, framing.eyes), (_COLUMNS, 0.5, 0.5))
        )
        skin = faces[:, :, top:bottom, left:right]
        luma, chroma = luma_chroma(skin)
        brightness = luma.mean((1, 2, 3), keepdim=True).clamp(min=1e-4)
        saturation = chroma.abs().sum(1, keepdim=True).mean((1, 2, 3), keepdim=True) / brightness
        return cls((DARK / brightness).clamp(1, _MOST), (saturation / GREY).clamp(0, 1))

    def evened(self, faces: Tensor) -> Tensor:
        """The faces as a model is to see them."""
        return (faces * self.gain).clamp(max=1)

    def given_back(self, faces: Tensor) -> Tensor:
        """What a model made of them [n,3,S',S'], in their own light."""
        luma, chroma = luma_chroma(faces)
        coloured = torch.where(self.colour < 1, luma + chroma * self.colour, faces)
        return coloured / self.gain


def luma_chroma(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """[n,3,H,W] as brightness [n,1,H,W] (Rec. 601) and what is left of the three colours [n,3,H,W]."""
    weights = rearrange(torch.tensor(_LUMA, device=pictures.device, dtype=pictures.dtype), "c -> c 1 1")
    luma = (pictures * weights).sum(1, keepdim=True)
    return luma, pictures - luma
