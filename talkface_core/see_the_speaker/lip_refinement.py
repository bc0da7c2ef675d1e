"""Lip refinement: the lips of a motion once more, beside the sound they say.

Source: See the Speaker (Wang et al., arXiv 2510.26819), section on lip refinement, after Hallo (Xu et al. 2024): audio
cross-attention under three masks, of the lips, the face and the whole, each through a projection that begins as zero,
summed. Ours acts on the motion's keypoints, not on pixels: each keypoint of each frame asks the sound around it, and a
mask says how much it belongs to the lips or to the face. An untrained refinement changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError
from .motion import POSE_VALUES
from .prosody import Prosody

COMPONENT = "lip_refinement"
MASKS = ("lip", "face", "full")


@dataclass(frozen=True)
class LipRefinementConfig(Config):
    """Sizes of a `LipRefinement`: audio: values of a frame's sound; around: frames of sound to either side that a
    frame's keypoints ask."""

    keypoints: int = 21
    audio: int = 160 + Prosody.dim
    width: int = 64
    heads: int = 4
    ff: int = 128
    around: int = 3
    kernel: int = 5

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "audio", "width", "ff")
        self.check_range(1, 1000, "keypoints", "heads")
        self.check_range(0, 100, "around")
        self.check_range(1, 99, "kernel")
        if self.width % (2 * self.heads) or not self.kernel % 2:
            raise InputError(f"a width of {self.width}, {self.heads} heads and a kernel of {self.kernel} do not fit")

    @classmethod
    def presets(cls) -> dict[str, LipRefinementConfig]:
        """ "tiny" (bundled) and "base"."""
        return {"tiny": cls(), "base": cls(audio=768, width=256, heads=8, ff=1024)}


class MaskedAudioAttention(nn.Module):
    """Keypoints ask the sound around their frame; what they hear counts as much as a mask says."""

    def __init__(self, config: LipRefinementConfig, operations: Operations = nn) -> None:
        super().__init__()
        self.heads, self.around = config.heads, config.around
        self.query = operations.Linear(config.width, config.width)
        self.key_value = operations.Linear(config.width, 2 * config.width)
        self.out = operations.Linear(config.width, config.width)
        if self.out.weight is not None:  # a host's layers may come without weights
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

    def forward(self, tokens: Tensor, sound: Tensor, mask: Tensor) -> Tensor:
        """tokens [B,T,K,d], sound [B,T,d], mask [K] -> [B,T,K,d]."""
        q = rearrange(self.query(tokens), "b t k (h d) -> (b t) h k d", h=self.heads)
        near = F.pad(self.key_value(sound).transpose(1, 2), (self.around, self.around), mode="replicate")
        near = near.unfold(2, 2 * self.around + 1, 1)
        k, v = rearrange(near, "b (two h d) t n -> two (b t) h n d", two=2, h=self.heads)
        heard = F.scaled_dot_product_attention(q, k, v)
        heard = rearrange(heard, "(b t) h k d -> b t k (h d)", b=len(tokens))
        return self.out(heard) * mask.to(heard)[:, None]


class LipRefinement(nn.Module):
    """Normalised motion and its sound -> the same with other lips. Buffers: masks [3,K] of lips, face and whole, 0..1,
    by how much a keypoint moves with the mouth."""

    masks: Tensor

    def __init__(self, config: LipRefinementConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or LipRefinementConfig()
        width = config.width
        self.sound = operations.Linear(config.audio, width)
        self.point = operations.Linear(3, width)
        self.which = nn.Parameter(0.02 * torch.randn(config.keypoints, width))
        self.mix = operations.Conv1d(3 * config.keypoints, width, config.kernel, padding=config.kernel // 2)
        self.norm = operations.LayerNorm(width)
        self.attend = nn.ModuleDict({name: MaskedAudioAttention(config, operations) for name in MASKS})
        self.norm_out = operations.LayerNorm(width)
        self.wide = operations.Linear(width, config.ff)
        self.narrow = operations.Linear(config.ff, 3)
        self.register_buffer("masks", torch.ones(len(MASKS), config.keypoints))

    def forward(self, values: Tensor, features: Tensor) -> Tensor:
        """values [B,T,3K+7] and what is heard [B,T,A] -> [B,T,3K+7]: expressions that differ as the lips' mask lets.

        A refinement whose attention says nothing gives the values themselves. Raises InputError for other shapes.
        """
        config = self.config
        if values.shape[-1] != 3 * config.keypoints + POSE_VALUES or features.shape[-1] != config.audio:
            raise InputError(
                f"motion {list(values.shape)} and sound {list(features.shape)}; expected "
                f"{3 * config.keypoints + POSE_VALUES} and {config.audio} values a frame."
            )
        expression, rest = values.split([3 * config.keypoints, POSE_VALUES], -1)
        points = expression.unflatten(-1, (config.keypoints, 3)).to(self.which)
        over_time = self.mix(expression.to(self.which).transpose(1, 2)).transpose(1, 2)
        tokens = self.norm(self.point(points) + self.which + over_time[:, :, None])
        sound = self.sound(features.to(self.which))
        heard = sum(self.attend[name](tokens, sound, mask) for name, mask in zip(MASKS, self.masks, strict=True))
        # Only what was heard is turned into motion: without it there is none.
        moved = self.narrow(F.gelu(self.wide(self.norm_out(tokens + heard))))
        still = self.narrow(F.gelu(self.wide(self.norm_out(tokens))))
        change = (moved - still) * self.masks[0].to(moved)[:, None]
        return torch.cat([expression + change.flatten(2).to(expression), rest], -1)


LIP_REFINEMENT = Component(COMPONENT, LipRefinementConfig, lambda config, layers: LipRefinement(config, layers))
