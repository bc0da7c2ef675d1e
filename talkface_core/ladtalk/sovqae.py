"""SOVQAE: the vector-quantised auto-encoder that restores a face's texture (LaDTalk, Yang et al. 2024, v3).

Nearest-code quantisation is the denoiser: noise on the input below the margin of a position leaves its code, and what
the decoder draws, unchanged (robustness.py). The paper does not tell its network. `base` is the first stage of
CodeFormer (Zhou et al. 2022), the standard among face VQ auto-encoders: 512 px, 16 x 16 codes.

`tiny` is made for a CPU: 256 px, pixels folded 4 x 4 into channels, 32 x 32 codes, no normalisation. So small a book of
codes cannot hold the looks of people that it never saw, so `tiny` has a by-pass (ours): the picture's low band, below
what Wav2Lip's 96 px can show, reaches the decoder unquantised, and the codes add what lies above it. Blur and
resampling change the low band little; all fine texture still has to pass the codes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..components import Component
from ..errors import InputError
from ..faces.align import Framing
from ..quantisation.quantiser import CodebookConfig
from ..quantisation.vq_autoencoder import VQAutoencoder, VQAutoencoderConfig

COMPONENT = "sovqae"

FRAMINGS = {"own": Framing(), "ffhq": Framing(height=0.4315, eyes=0.469)}
"""Ours, and that of FFHQ's 512 px pictures, in which restorers learned: wider, the eyes lower."""


@dataclass(frozen=True)
class SOVQAEConfig(VQAutoencoderConfig):
    """Sizes of a SOVQAE. `framing`: how the faces that it learned from were cut out, a name of `FRAMINGS`."""

    framing: str = "own"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.framing not in FRAMINGS:
            raise InputError(f"framing {self.framing!r} is unknown; choose one of {', '.join(FRAMINGS)}.")

    @classmethod
    def presets(cls) -> dict[str, SOVQAEConfig]:
        """ "base", of the standard's size, and "tiny" (bundled)."""
        tiny = cls(
            image_size=256,
            patch=4,
            channels=(96, 144),
            blocks=3,
            attention=(False, False),
            middle=False,
            norm=False,
            bypass=96,
            unseen=32,
            codebook=CodebookConfig(codes=1024, dim=8, sphere=True, whiten=True),
        )
        return {"base": cls(), "tiny": tiny}


class SOVQAE(VQAutoencoder):
    """Frames [B, 3, H, W] in -1..1 to codes and back; height and width are multiples of the config's factor."""

    config: SOVQAEConfig


TEXTURE = Component(COMPONENT, SOVQAEConfig, SOVQAE, half=True, exact=("quantiser",))
