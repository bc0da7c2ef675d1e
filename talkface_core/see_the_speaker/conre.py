"""ConRe: encoders of speech and of faces that meet in one space.

Source: See the Speaker (Wang et al., arXiv 2510.26819), contrastive and reconstructive pre-training across speech and
face, whose details are not public. Speech goes through residual convolutions over time, as voices are commonly read for
faces (Wen et al. 2019, "Face reconstruction from voice"), to tokens, which a denoiser attends to, and by attentive
statistics (Okabe et al. 2018) to one vector of the voice. Faces go through the half of a U-Net. Both vectors have
length 1: their product says how well a face suits a voice. What a voice does not tell is not in them; sex and age
group, which it does, are read off it by two small heads, for reports.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations
from ..diffusion.unet import EncoderConfig, ImageEncoder
from ..errors import InputError
from ..pixels import resized_pictures
from ..speech.features import LogMel

SPEECH, FACE = "speech_encoder", "face_encoder"

SEXES = ("female", "male")
AGES = ("young", "middle", "old")
"""What the heads tell apart, in the order of their numbers."""

SHORTEST, LONGEST = 80, 800
"""Mel steps that are listened to at least and at most: 1 and 10 seconds."""


@dataclass(frozen=True)
class SpeechCode:
    """What is heard of B voices: tokens [B,L,D], ten a second; identity [B,E] of length 1."""

    tokens: Tensor
    identity: Tensor


@dataclass(frozen=True)
class SpeechEncoderConfig(Config):
    """Sizes of a `SpeechEncoder`. strides: of the stages behind the first layer, which halves the steps too; blocks: of
    each stage; tokens: width of a token; identity: length of the voice's vector."""

    width: int = 88
    strides: tuple[int, ...] = (2, 2)
    blocks: int = 2
    tokens: int = 96
    identity: int = 256
    dropout: float = 0.1

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "width", "tokens", "identity")
        self.check_range(1, 8, "strides", "blocks")
        self.check_range(0, 0.9, "dropout")

    @classmethod
    def presets(cls) -> dict[str, SpeechEncoderConfig]:
        """ "tiny" (bundled) and "base"."""
        return {"tiny": cls(), "base": cls(width=512, blocks=4, tokens=768, identity=512)}


class SpeechEncoder(nn.Module):
    """Log-mels [B,S,80] of 1 to 10 seconds -> a `SpeechCode`."""

    def __init__(self, config: SpeechEncoderConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config, ops = config or SpeechEncoderConfig(), operations
        width, tokens, identity = self.config.width, self.config.tokens, self.config.identity
        self.enter = ops.Conv1d(LogMel.dim, width, 5, stride=2, padding=2)
        layers: list[nn.Module] = []
        for stride in self.config.strides:
            layers += [_TimeBlock(width, stride if n == 0 else 1, ops) for n in range(self.config.blocks)]
        self.blocks = nn.ModuleList(layers)
        self.to_tokens, self.norm = ops.Linear(width, tokens), ops.LayerNorm(tokens)
        self.attend, self.dropout = ops.Linear(tokens, 1), nn.Dropout(self.config.dropout)
        self.to_identity = ops.Linear(2 * tokens, identity)
        self.sex, self.age = ops.Linear(identity, 1), ops.Linear(identity, len(AGES))

    def forward(self, mel: Tensor) -> SpeechCode:
        """Raises InputError for a mel of another shape, and for less than a second or more than ten."""
        if mel.ndim != 3 or mel.shape[2] != LogMel.dim or not SHORTEST <= mel.shape[1] <= LONGEST:
            raise InputError(
                f"log-mels of shape {list(mel.shape)}; the speech encoder hears [B, S, {LogMel.dim}] of {SHORTEST} to "
                f"{LONGEST} steps (1 to 10 seconds)."
            )
        x = self.enter(mel.transpose(1, 2) / LogMel.LIMIT)
        for block in self.blocks:
            x = block(x)
        tokens = self.norm(self.to_tokens(x.transpose(1, 2)))
        share = self.attend(tokens).softmax(1)
        mean = (share * tokens).sum(1)
        spread = ((share * (tokens - mean[:, None]).square()).sum(1) + 1e-5).sqrt()
        heard = self.to_identity(self.dropout(torch.cat([mean, spread], 1)))
        return SpeechCode(tokens, F.normalize(heard, dim=1))

    def attributes(self, identity: Tensor) -> tuple[Tensor, Tensor]:
        """Of identity vectors [B,E] the logit of a male voice [B] and of the age groups [B,3] (`SEXES`, `AGES`)."""
        scaled = identity * identity.shape[1] ** 0.5
        return self.sex(scaled)[:, 0], self.age(scaled)


class _TimeBlock(nn.Module):
    """Two convolutions over time and what came in, [B,C,S] -> [B,C,ceil(S/stride)]."""

    def __init__(self, width: int, stride: int, ops: Operations) -> None:
        super().__init__()
        self.stride = stride
        self.norm_in, self.norm_out = ops.LayerNorm(width), ops.LayerNorm(width)
        self.conv_in = ops.Conv1d(width, width, 3, stride=stride, padding=1)
        self.conv_out = ops.Conv1d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(F.silu(self.norm_in(x.transpose(1, 2))).transpose(1, 2))
        h = self.conv_out(F.silu(self.norm_out(h.transpose(1, 2))).transpose(1, 2))
        return h + (F.avg_pool1d(x, self.stride, ceil_mode=True) if self.stride > 1 else x)


def _encoder() -> EncoderConfig:
    return EncoderConfig(64, 3, 256, (32, 64, 96), (False, False, False), blocks=1, patch=4, learned_position=True)


@dataclass(frozen=True)
class FaceEncoderConfig(Config):
    """Sizes of a `FaceEncoder`: those of the net, whose `out_dim` is the length of the speech encoder's vector."""

    encoder: EncoderConfig = field(default_factory=_encoder)

    @classmethod
    def presets(cls) -> dict[str, FaceEncoderConfig]:
        """ "tiny" and "base", for 128 px."""
        channels, attention = (64, 128, 256, 512), (False, False, True, True)
        base = EncoderConfig(128, 3, 512, channels, attention, blocks=2, heads=8, patch=2, learned_position=True)
        return {"tiny": cls(), "base": cls(base)}


class FaceEncoder(nn.Module):
    """Portraits [B,3,H,H] in -1..1, of any size, -> vectors [B,E] of length 1."""

    def __init__(self, config: FaceEncoderConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config or FaceEncoderConfig()
        self.net = ImageEncoder(self.config.encoder, operations)

    def forward(self, pictures: Tensor) -> Tensor:
        return F.normalize(self.net(resized_pictures(pictures, self.config.encoder.image_size)), dim=1)


SPEECH_ENCODER = Component(SPEECH, SpeechEncoderConfig, lambda config, layers: SpeechEncoder(config, layers), half=True)
FACE_ENCODER = Component(FACE, FaceEncoderConfig, lambda config, layers: FaceEncoder(config, layers), half=True)
